//! Sizes of files on the command line.

/// Units as they are written, with their bytes; transformers counts in powers of ten too.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Bytes, of which there must be some: a number and its unit, as 500MB or 4.5GiB, or a number alone.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let unit = UNITS.iter().find_map(|(unit, bytes)| {
        let cut = text.len().checked_sub(unit.len())?;
        let (digits, ending) = (text.get(..cut)?, text.get(cut..)?);
        ending.eq_ignore_ascii_case(unit).then_some((digits, *bytes))
    });
    let (digits, unit) = unit.unwrap_or((text, 1));
    let number = digits.trim().parse::<f64>().ok();
    let bytes = number.map(|number| number * unit as f64);
    match bytes {
        Some(bytes) if (1.0..1e18).contains(&bytes) => Ok(bytes as u64),
        _ => Err("give a size such as 500MB, 5GB or 4GiB".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_a_unit() {
        for (text, expected) in [
            ("5GB", Some(5_000_000_000)),
            ("4GiB", Some(4 << 30)),
            ("1.5 MB", Some(1_500_000)),
            ("200mb", Some(200_000_000)),
            ("77", Some(77)),
            ("77b", Some(77)),
            ("0", None),
            ("-1GB", None),
            ("GB", None),
            ("much", None),
            ("5 apples", None),
            ("inf", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }
}
