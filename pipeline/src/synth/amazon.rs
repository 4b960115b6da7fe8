//! Writes Amazon 2014 logs: reviews as JSON lines, metadata as Python dictionary literals, both gzipped.

use std::fmt::Write as _;
use std::io::{self, Write};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::dirt::{BROKEN_TITLE, Dirt, ItemFault, LineFault, escape_title, item_fault, line_fault};
use super::domain::{Domain, Event};
use super::words::SENTENCES;

/// The name under which Amazon would publish the category.
pub fn category(name: &str) -> String {
    let words = name.split(['-', '_']).filter(|word| !word.is_empty());
    let capitalised = words.map(|word| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| {
            first.to_uppercase().collect::<String>() + letters.as_str()
        })
    });
    capitalised.collect::<Vec<_>>().join("_")
}

/// A reviewer id: the index scattered by an odd factor, so that ids neither collide nor betray their order.
pub fn reviewer_id(domain: usize, user: usize) -> String {
    let index = ((domain as u64) << 40) | user as u64;
    format!(
        "A{}",
        base36(index.wrapping_mul(0x2545_F491_4F6C_DD1D) & ((1 << 62) - 1), 12)
    )
}

/// An item id in the shape of an ASIN.
pub fn asin(domain: usize, item: usize) -> String {
    let index = ((domain as u64) << 32) | item as u64;
    format!(
        "B{}",
        base36(index.wrapping_mul(0x9E37_79B9_7F4A_7C15) & ((1 << 46) - 1), 9)
    )
}

fn base36(mut value: u64, digits: usize) -> String {
    let mut text = vec![b'0'; digits];
    for place in text.iter_mut().rev() {
        *place = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(value % 36) as usize];
        value /= 36;
    }
    text.into_iter().map(char::from).collect()
}

/// Writes one review, and after it the fault that the draw says.
pub fn write_review(
    domain: &Domain,
    user: usize,
    event: &Event,
    rng: &mut ChaCha8Rng,
    dirt: &mut Dirt,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (who, what) = (
        reviewer_id(domain.index, user),
        asin(domain.index, event.item as usize),
    );
    let text = match &domain.language {
        Some(language) => language.text(rng),
        None => (0..rng.random_range(1..4))
            .map(|_| SENTENCES[rng.random_range(0..SENTENCES.len())])
            .collect::<Vec<_>>()
            .join(" "),
    };
    let text = serde_json::Value::from(text).to_string();
    let line = |item: &str, time: &str| {
        format!(
            "{{\"reviewerID\": \"{who}\", {item}\"helpful\": [0, 0], \"reviewText\": {text}, \"overall\": {:.1}, \
             \"summary\": \"\"{time}}}",
            event.rating
        )
    };
    let item = format!("\"asin\": \"{what}\", ");
    let time = format!(
        ", \"unixReviewTime\": {}, \"reviewTime\": \"{}\"",
        event.seconds,
        review_time(event.seconds)
    );
    let whole = line(&item, &time);
    writeln!(out, "{whole}")?;
    match line_fault(domain.dirt, rng, dirt) {
        None => Ok(()),
        Some(LineFault::Garbage) => writeln!(out, "{}", &whole[..whole.len() / 4]),
        Some(LineFault::NoItem) => writeln!(out, "{}", line("", &time)),
        Some(LineFault::NoTime) => writeln!(out, "{}", line(&item, "")),
        Some(LineFault::Negative) => writeln!(out, "{}", line(&item, ", \"unixReviewTime\": -62135596800")),
        Some(LineFault::Duplicate) => writeln!(out, "{whole}"),
    }
}

/// `MM D, YYYY`, as the published files have it beside the time in seconds.
fn review_time(seconds: i64) -> String {
    // Civil date from days since 1970, after Howard Hinnant's `civil_from_days`.
    let z = seconds.div_euclid(86_400) + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{month:02} {day}, {year}")
}

/// Writes one item's metadata line, with the fault that the draw says.
pub fn write_item(
    domain: &Domain,
    item: usize,
    rng: &mut ChaCha8Rng,
    dirt: &mut Dirt,
    out: &mut dyn Write,
) -> io::Result<()> {
    let fault = item_fault(domain.dirt, rng, dirt);
    let title = match fault {
        Some(ItemFault::NoLine) => return Ok(()),
        Some(ItemFault::NoTitle) => None,
        Some(ItemFault::BrokenTitle) => Some(BROKEN_TITLE.to_string()),
        Some(ItemFault::EscapedTitle) => Some(escape_title(&domain.title(item), rng)),
        None | Some(ItemFault::GarbageAfter | ItemFault::Duplicate) => Some(domain.title(item)),
    };
    let mut line = format!("{{'asin': {}", repr(&asin(domain.index, item)));
    if let Some(title) = title {
        let _ = write!(line, ", 'title': {}", repr(&title));
    }
    let theme = domain.theme_word(item);
    let price = if rng.random_bool(0.1) {
        "None".into()
    } else {
        format!("{:.2}", rng.random_range(1.0..90.0))
    };
    let description = SENTENCES[rng.random_range(0..SENTENCES.len())];
    let related = asin(domain.index, rng.random_range(0..domain.catalogue.len()));
    let _ = write!(
        line,
        ", 'price': {price}, 'salesRank': {{{}: {}}}, 'related': {{'also_bought': [{}], 'bought_together': []}}, \
         'categories': [[{}, {}]], 'description': {}}}",
        repr(&category(&domain.name)),
        rng.random_range(1..900_000),
        repr(&related),
        repr(&category(&domain.name)),
        repr(theme),
        repr(description),
    );
    writeln!(out, "{line}")?;
    match fault {
        Some(ItemFault::GarbageAfter) => writeln!(out, "{{'asin': 'B0', 'title': 'never"),
        Some(ItemFault::Duplicate) => writeln!(out, "{line}"),
        _ => Ok(()),
    }
}

/// A string as Python 2.7's `repr` of a unicode string writes it, without the `u`: ASCII, double quotes where the text holds an apostrophe.
fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push(quote);
    for c in text.chars() {
        match c {
            '\n' => literal.push_str("\\n"),
            '\t' => literal.push_str("\\t"),
            '\\' => literal.push_str("\\\\"),
            c if c == quote => {
                literal.push('\\');
                literal.push(c);
            }
            ' '..='~' => literal.push(c),
            c if (c as u32) < 0x100 => drop(write!(literal, "\\x{:02x}", c as u32)),
            c if (c as u32) < 0x1_0000 => drop(write!(literal, "\\u{:04x}", c as u32)),
            c => drop(write!(literal, "\\U{:08x}", c as u32)),
        }
    }
    literal.push(quote);
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn review_times_are_civil_dates() {
        assert_eq!(review_time(1_172_275_200), "02 24, 2007");
        assert_eq!(review_time(951_782_400), "02 29, 2000");
        assert_eq!(review_time(1_356_912_000), "12 31, 2012");
    }

    #[test]
    fn literals_quote_like_python() {
        assert_eq!(repr("Baker's Apron"), "\"Baker's Apron\"");
        assert_eq!(repr("5\" it's"), "'5\" it\\'s'");
        assert_eq!(repr("é\n\\"), "'\\xe9\\n\\\\'");
        assert_eq!(repr("\u{20ac}"), "'\\u20ac'");
    }

    #[test]
    fn ids_are_distinct_within_and_across_domains() {
        let mut seen = std::collections::HashSet::new();
        for domain in 0..3 {
            for index in 0..2000 {
                assert!(
                    seen.insert(reviewer_id(domain, index)),
                    "reviewer {index} of domain {domain} repeats"
                );
                assert!(
                    seen.insert(asin(domain, index)),
                    "item {index} of domain {domain} repeats"
                );
            }
        }
    }
}
