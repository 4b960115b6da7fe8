//! Steam: reviews and games, one Python dict a line.
//!
//! A review names its author by `username` (`user_id` is missing from most) and its day; there is no rating. A game may lack its id
//! (then it is no row) or its title (then `app_name` stands in).

use std::path::Path;

use super::Progress;
use super::clock::Time;
use super::nested::literal_words;
use super::python_literal::{ParseError, Value as Literal, parse_keys};
use super::scan::{Refusal, Scan};
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::error::Result;

/// `steam_reviews.json`.
pub(crate) fn reviews(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let [user, item, date] = parse_keys(bytes, ["username", "product_id", "date"]).map_err(refusal)?;
        let (user, item) = (text(user, "username")?, text(item, "product_id")?);
        let date = text(date, "date")?;
        let found = Interaction {
            user: &user,
            item: &item,
            rating: None,
            time: Time::Text(&date),
        };
        table.push(&found, f64::MIN..=f64::MAX, line)
    })
}

/// `steam_games.json`; a game without genres has its tags.
pub(crate) fn games(
    path: &Path,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let [id, title, name, genres, tags] =
            parse_keys(bytes, ["id", "title", "app_name", "genres", "tags"]).map_err(refusal)?;
        let id = text(id, "id")?;
        let title = title.as_ref().and_then(Literal::as_text);
        let title = title.or_else(|| name.as_ref().and_then(Literal::as_text));
        let mut words = Vec::new();
        literal_words(genres.as_ref(), &mut words);
        if words.is_empty() {
            literal_words(tags.as_ref(), &mut words);
        }
        table.push(&id, title, Some(&words.join(", ")), line)
    })
}

fn refusal(error: ParseError) -> Refusal {
    format!("not a Python dict: {}", error.what).into()
}

/// A text, or a whole number, which some crawls have for ids.
fn text(value: Option<Literal>, key: &str) -> Result<String, Refusal> {
    match value {
        Some(Literal::Text(text)) => Ok(text),
        Some(Literal::Int(number)) => Ok(number.to_string()),
        None | Some(Literal::None) => Err(format!("lacks {key}").into()),
        Some(_) => Err(format!("{key} is no text").into()),
    }
}
