//! Numbers on the command line: what makes no sense is refused with the flag, before anything is begun.

/// More threads than any machine that this runs on has; beyond it the system would refuse some in the middle of the work.
const MOST_THREADS: usize = 4096;

/// A whole number of at least `least`.
pub(super) fn at_least(
    least: usize,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| *number >= least);
        number.ok_or_else(|| format!("give a whole number from {least}"))
    }
}

/// A number of threads, or of tasks at a time.
pub(super) fn threads(text: &str) -> Result<usize, String> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=MOST_THREADS).contains(number));
    number.ok_or_else(|| {
        format!(
            "give a whole number from 1 to {MOST_THREADS}, or leave it out for as many as there are cores"
        )
    })
}

/// MiB, of which there must be some.
pub(super) fn mebibytes(text: &str) -> Result<usize, String> {
    match some_mebibytes(text)? {
        0 => Err(
            "nothing can be done in no memory; give the MiB there are, or leave it out for all".to_owned(),
        ),
        mib => Ok(mib),
    }
}

/// MiB, or none.
pub(super) fn some_mebibytes(text: &str) -> Result<usize, String> {
    // As bytes they must still be a number.
    let number = text.parse().ok().filter(|mib| *mib <= usize::MAX >> 20);
    number.ok_or_else(|| "give a whole number of MiB".to_owned())
}

/// Seconds, of which there must be some.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|seconds| *seconds > 0);
    number.ok_or_else(|| "give a whole number of seconds from 1".to_owned())
}

/// Any number that is one.
pub(super) fn finite(text: &str) -> Result<f64, String> {
    number(text, |_| true).ok_or_else(|| "give a number".to_owned())
}

/// A number that is 0 or above.
pub(super) fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |number| number >= 0.0).ok_or_else(|| "give a number from 0".to_owned())
}

/// The two-sided level of a test.
pub(super) fn level(text: &str) -> Result<f64, String> {
    number(text, |level| (1e-6..0.5).contains(&level))
        .ok_or_else(|| "give a level above 0 and below 0.5, such as 0.05".to_owned())
}

/// A number above 0.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    number(text, |number| number > 0.0).ok_or_else(|| "give a number above 0".to_owned())
}

/// A share, 0 and 1 included.
pub(super) fn share(text: &str) -> Result<f64, String> {
    number(text, |share| (0.0..=1.0).contains(&share)).ok_or_else(|| "give a share, from 0 to 1".to_owned())
}

/// A share that is not all.
pub(super) fn share_below_one(text: &str) -> Result<f64, String> {
    number(text, |share| (0.0..1.0).contains(&share))
        .ok_or_else(|| "give a share, from 0 to below 1".to_owned())
}

fn number(text: &str, fits: impl Fn(f64) -> bool) -> Option<f64> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    fits(number).then_some(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_and_what_does_is_taken() {
        assert_eq!(at_least(2)("2"), Ok(2));
        assert_eq!(threads("4096"), Ok(4096));
        assert_eq!(mebibytes("1"), Ok(1));
        assert_eq!(some_mebibytes("0"), Ok(0));
        assert_eq!((finite("-3"), positive("1e-9")), (Ok(-3.0), Ok(1e-9)));
        assert_eq!((share("1"), share_below_one("0")), (Ok(1.0), Ok(0.0)));
        for text in ["1", "-1", "", "x", "2.5", "99999999999999999999"] {
            assert!(at_least(2)(text).is_err(), "{text}");
        }
        assert!(threads("0").is_err() && threads("4097").is_err());
        // As bytes it would be no number any more.
        assert!(mebibytes("0").is_err() && some_mebibytes("18446744073709551615").is_err());
        for text in ["nan", "inf", "-inf", "", "x"] {
            assert!(
                finite(text).is_err() && positive(text).is_err() && share(text).is_err(),
                "{text}"
            );
        }
        assert!(positive("0").is_err() && share("1.1").is_err() && share_below_one("1").is_err());
    }
}
