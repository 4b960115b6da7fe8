//! Writes MovieLens logs: `ratings.csv` and `movies.csv`, with quoted commas, years and articles behind the title.

use std::io::{self, Write};

use rand_chacha::ChaCha8Rng;

use super::dirt::{BROKEN_TITLE, Dirt, ItemFault, LineFault, escape_title, item_fault, line_fault};
use super::domain::{Domain, Event};
use super::words::GENRES;

/// Header of `ratings.csv`.
pub const RATINGS_HEADER: &str = "userId,movieId,rating,timestamp";
/// Header of `movies.csv`.
pub const MOVIES_HEADER: &str = "movieId,title,genres";

/// A user's number; domains have ranges of their own.
pub fn user_id(domain: &Domain, user: usize) -> String {
    (domain.index as u64 * 1_000_000_000 + user as u64 + 1).to_string()
}

/// A film's number; domains have ranges of their own.
pub fn movie_id(domain: &Domain, item: usize) -> String {
    (domain.index as u64 * 1_000_000_000 + item as u64 + 1).to_string()
}

/// Writes one rating, and after it the fault that the draw says.
pub fn write_rating(
    domain: &Domain,
    user: usize,
    event: &Event,
    rng: &mut ChaCha8Rng,
    dirt: &mut Dirt,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (who, what) = (user_id(domain, user), movie_id(domain, event.item as usize));
    let (rating, time) = (event.rating, event.seconds);
    writeln!(out, "{who},{what},{rating:.1},{time}")?;
    match line_fault(domain.dirt, rng, dirt) {
        None => Ok(()),
        Some(LineFault::Garbage) => writeln!(out, "{who};{what}"),
        Some(LineFault::NoItem) => writeln!(out, "{who},,{rating:.1},{time}"),
        Some(LineFault::NoTime) => writeln!(out, "{who},{what},{rating:.1},"),
        Some(LineFault::Negative) => writeln!(out, "{who},{what},{rating:.1},-62135596800"),
        Some(LineFault::Duplicate) => writeln!(out, "{who},{what},{rating:.1},{time}"),
    }
}

/// Writes one film's line, with the fault that the draw says.
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
        Some(ItemFault::NoTitle) => String::new(),
        Some(ItemFault::BrokenTitle) => BROKEN_TITLE.to_string(),
        Some(ItemFault::EscapedTitle) => escape_title(&domain.title(item), rng),
        None | Some(ItemFault::GarbageAfter | ItemFault::Duplicate) => domain.title(item),
    };
    let theme = domain.catalogue.item(item).theme;
    let genres = format!("{}|{}", GENRES[theme], GENRES[(theme + 5) % GENRES.len()]);
    let line = format!("{},{},{genres}", movie_id(domain, item), quoted(&title));
    writeln!(out, "{line}")?;
    match fault {
        Some(ItemFault::GarbageAfter) => writeln!(out, "no film here"),
        Some(ItemFault::Duplicate) => writeln!(out, "{line}"),
        _ => Ok(()),
    }
}

/// A CSV field: in quotes where it holds a comma or a quote, as in the published files.
fn quoted(field: &str) -> String {
    if field.contains([',', '"']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_string()
    }
}
