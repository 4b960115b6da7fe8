//! `strftime_now`: the day on which prompts are written.

use minijinja::{Error, ErrorKind};

/// The day is always the one that Llama 3's templates fall back to, 26 July 2024, at midnight: a prompt that changed overnight would be
/// another one than the adapter was trained on.
///
/// The directives are those of C and glibc, with the flags `-`, `_`, `0`, `^` and `#`; as in Python, a time that knows no zone writes none.
pub(super) fn strftime(format: &str) -> Result<String, Error> {
    let mut text = String::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let directive = rest.as_str();
        let flags = directive.len() - directive.trim_start_matches(['-', '_', '0', '^', '#']).len();
        let (flags, code) = directive.split_at(flags);
        let Some(code) = code.chars().next() else {
            // As C has it.
            text.push('%');
            text.push_str(flags);
            break;
        };
        let value = value(code).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("strftime_now does not know %{flags}{code}; take one of C's directives, such as %d, %B or %Y"),
            )
        })?;
        text.push_str(&flagged(value, flags));
        rest = directive[flags.len() + code.len_utf8()..].chars();
    }
    Ok(text)
}

/// What a directive stands for on that day.
fn value(code: char) -> Option<&'static str> {
    Some(match code {
        'a' => "Fri",
        'A' => "Friday",
        'b' | 'h' => "Jul",
        'B' => "July",
        'c' => "Fri Jul 26 00:00:00 2024",
        'C' => "20",
        'd' | 'e' => "26",
        'D' | 'x' => "07/26/24",
        'f' => "000000",
        'F' => "2024-07-26",
        'g' | 'y' => "24",
        'G' | 'Y' => "2024",
        'H' | 'M' | 'S' => "00",
        'I' | 'l' => "12",
        'j' => "208",
        'k' => " 0",
        'm' => "07",
        'n' => "\n",
        'p' => "AM",
        'P' => "am",
        'r' => "12:00:00 AM",
        'R' => "00:00",
        's' => "1721952000",
        't' => "\t",
        'T' | 'X' => "00:00:00",
        'u' | 'w' => "5",
        'U' => "29",
        'V' | 'W' => "30",
        'z' | 'Z' => "",
        '%' => "%",
        _ => return None,
    })
}

/// A value as a directive's flags want it.
fn flagged(value: &str, flags: &str) -> String {
    let is_number = value.trim_start().bytes().all(|byte| byte.is_ascii_digit());
    let mut text = value.to_string();
    for flag in flags.chars() {
        let digits = text.trim_start_matches([' ', '0']);
        // A number keeps its last digit.
        let digits = if digits.is_empty() {
            &text[text.len().saturating_sub(1)..]
        } else {
            digits
        };
        text = match flag {
            '-' if is_number => digits.to_string(),
            '_' if is_number => format!("{digits:>width$}", width = text.len()),
            '0' if is_number => format!("{digits:0>width$}", width = text.len()),
            '^' => text.to_uppercase(),
            // What is in capitals alone gets small letters, everything else capitals.
            '#' if text.chars().any(char::is_lowercase) => text.to_uppercase(),
            '#' => text.to_lowercase(),
            _ => text,
        };
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What `datetime(2024, 7, 26).strftime` writes in Python 3.11 on Linux.
    #[test]
    fn the_day_in_a_prompt_never_changes_and_is_written_as_python_does() {
        for (format, expected) in [
            ("%d %b %Y, %A 100%%", "26 Jul 2024, Friday 100%"),
            ("%d %B %Y", "26 July 2024"),
            ("%H:%M:%S %I:%M %p, day %j", "00:00:00 12:00 AM, day 208"),
            ("%Y-%m-%dT%H:%M:%S.%f%z%Z", "2024-07-26T00:00:00.000000"),
            (
                "%c | %x | %X | %D | %F | %T | %R",
                "Fri Jul 26 00:00:00 2024 | 07/26/24 | 00:00:00 | 07/26/24 | 2024-07-26 | 00:00:00 | 00:00",
            ),
            (
                "%U %W %V %G %g %u %w %C %h %e %y",
                "29 30 30 2024 24 5 5 20 Jul 26 24",
            ),
            (
                "%-m/%-d/%-y %-H %_m %0e %^a %^B %#p",
                "7/26/24 0  7 26 FRI JULY am",
            ),
            ("%k|%l|%P|%r|%n|%t", " 0|12|am|12:00:00 AM|\n|\t"),
            ("50%", "50%"),
            ("", ""),
        ] {
            assert_eq!(strftime(format).unwrap(), expected, "{format}");
        }
        for unknown in ["%Q", "%-Q", "%\u{e9}"] {
            let error = strftime(unknown).unwrap_err().to_string();
            assert!(error.contains(unknown), "{error}");
        }
    }
}
