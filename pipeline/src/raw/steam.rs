//! Steam: reviews, libraries and games, one Python dict a line.
//!
//! A review names its author by `username` (`user_id` is missing from most) and its day; there is no rating. A game may lack its id
//! (then it is no row) or its title (then `app_name` stands in).
//! A library holds all the games of a user, with the minutes each was played and no times at all.

use std::path::Path;

use super::Progress;
use super::clock::Time;
use super::id;
use super::json::Malformed;
use super::nested::literal_words;
use super::python_literal::{ParseError, Value as Literal, parse_keys};
use super::scan::{Refusal, Scan};
use super::table::{Interaction, InteractionTable, ItemTable};
use crate::error::Result;

/// Minutes.
const MINUTES: std::ops::RangeInclusive<f64> = 0.0..=f64::MAX;

/// `steam_reviews.json`.
pub(crate) fn reviews(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let [user, item, date] = parse_keys(bytes, ["username", "product_id", "date"]).map_err(refusal)?;
        let (user, item) = (id(user, "username")?, id(item, "product_id")?);
        let date = match date {
            Some(Literal::Text(date) | Literal::Cut(date)) => date,
            None | Some(Literal::None) => String::new(),
            Some(_) => return Err("date is no text".into()),
        };
        let found = Interaction {
            user: &user,
            item: &item,
            rating: None,
            time: Time::Text(&date),
        };
        table.push(&found, f64::MIN..=f64::MAX, line)
    })
}

/// `australian_users_items.json`: a row for each game of a line. The minutes played stand for a rating; every time is 0, so that only
/// what does not depend on order can be learnt from it.
pub(crate) fn libraries(
    path: &Path,
    scan: &mut Scan,
    table: &mut InteractionTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let [user, games] = parse_keys(bytes, ["user_id", "items"]).map_err(refusal)?;
        let user = id(user, "user_id")?;
        let Some(Literal::List(games)) = games else {
            return Err("items is no list".into());
        };
        // All or none: a line is not half a row.
        let games = games.into_iter().map(game).collect::<Result<Vec<_>, Refusal>>()?;
        if games.iter().any(|(item, _)| table.is_none(item)) {
            return Err("lacks item_id".into());
        }
        games.iter().try_for_each(|(item, minutes)| {
            let found = Interaction {
                user: &user,
                item,
                rating: Some(*minutes),
                time: Time::Millis(0),
            };
            table.push(&found, MINUTES, line)
        })
    })
}

/// The id of a game in a library and the minutes it was played.
fn game(found: Literal) -> Result<(String, f64), Refusal> {
    let Literal::Dict(pairs) = found else {
        return Err("a game is no dict".into());
    };
    let (mut item, mut minutes) = (None, None);
    for (key, value) in pairs {
        match key.as_text() {
            Some("item_id") => item = Some(value),
            Some("playtime_forever") => minutes = Some(value),
            _ => {}
        }
    }
    let item = id(item, "item_id")?;
    let minutes = match minutes {
        Some(Literal::Int(minutes)) => minutes as f64,
        // NaN: played, nobody knows for how long.
        Some(Literal::Float(minutes)) => minutes,
        _ => return Err("playtime_forever is no number".into()),
    };
    if !minutes.is_nan() && !MINUTES.contains(&minutes) {
        return Err("a game played for less than nothing".into());
    }
    Ok((item, minutes))
}

/// `steam_games.json`; a game without genres has its tags.
pub(crate) fn games(
    path: &Path,
    scan: &mut Scan,
    table: &mut ItemTable,
    progress: &dyn Progress,
) -> Result<()> {
    scan.each_record(path, progress, |bytes, line| {
        let [item, title, name, genres, tags] =
            parse_keys(bytes, ["id", "title", "app_name", "genres", "tags"]).map_err(refusal)?;
        let item = id(item, "id")?;
        let title = title.as_ref().and_then(Literal::as_text);
        let title = title.or_else(|| name.as_ref().and_then(Literal::as_text));
        let mut words = Vec::new();
        literal_words(genres.as_ref(), &mut words);
        if words.is_empty() {
            literal_words(tags.as_ref(), &mut words);
        }
        table.push(&item, title, Some(&words.join(", ")), line)
    })
}

fn refusal(error: ParseError) -> Refusal {
    format!("not a Python dict: {}", error.what).into()
}

/// A text, or a number, which some crawls have for ids; empty where there is none.
fn id(value: Option<Literal>, key: &str) -> Result<String, Refusal> {
    match value {
        Some(Literal::Text(text)) => Ok(text),
        Some(Literal::Cut(_)) => Err(Malformed::HalfCharacter.into()),
        Some(Literal::Int(number)) => Ok(number.to_string()),
        Some(Literal::Long(digits)) => Ok(digits),
        Some(Literal::Float(number)) => match id::of_float(number, id::LARGEST, key) {
            Ok(id) => Ok(id.unwrap_or_default()),
            Err(_) => Err(format!("{key} is no text").into()),
        },
        None | Some(Literal::None) => Ok(String::new()),
        Some(_) => Err(format!("{key} is no text").into()),
    }
}
