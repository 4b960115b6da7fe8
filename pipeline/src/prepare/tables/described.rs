//! Whether the item files are about the items that the interactions name. Where ids are written in two ways nothing fails later: every
//! title is a stand-in, and nobody is told.

use std::collections::HashMap;

use datafusion::arrow::array::AsArray;
use datafusion::common::JoinType;
use datafusion::prelude::{DataFrame, col};
use futures::StreamExt;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::packed::Packed;
use crate::prepare::store::Rows;
use crate::quote::shown;

/// Items without a description that are looked at for what may be wrong with their ids.
const LOOKED_AT: usize = 1_000;

/// Fails where fewer than half of the items that the interactions name, whatever stages will leave of them, are in the item files.
pub async fn check_described(engine: &Engine, rows: &Rows, items: &DataFrame) -> Result<()> {
    let ids = items.clone().select(vec![col("item_id")])?;
    let found = match rows {
        Rows::Packed(packed) => in_memory(engine, packed, &ids).await?,
        Rows::Settled(rows) => by_plans(rows, &ids).await?,
    };
    if 2 * found.described >= found.named {
        return Ok(());
    }
    let mut pairs = Pairs::new(found.without);
    each(&ids, |id| pairs.look_at(id)).await?;
    let (interaction, item, cause) = pairs.tell();
    let hint = hint(&interaction, item.as_deref(), cause);
    Err(Error::ItemsApart {
        described: found.described,
        named: found.named,
        hint,
    })
}

/// What to say of an id from each side.
fn hint(interaction: &str, item: Option<&str>, cause: Option<&str>) -> String {
    let interaction = shown(interaction);
    match (item.map(shown), cause) {
        (None, _) => format!("there is none in the item files, and `{interaction}` in the interactions"),
        (Some(item), Some(cause)) => {
            format!(
                "the interactions have `{interaction}` where the item files have `{item}`: the ids differ in {cause}"
            )
        }
        (Some(item), None) => {
            format!("the interactions have ids such as `{interaction}`, the item files such as `{item}`")
        }
    }
}

/// How the two sides meet.
struct Found {
    /// Items that the interactions name.
    named: u64,
    /// Those of them that are in the item files.
    described: u64,
    /// The first of the others, by id.
    without: Vec<String>,
}

async fn in_memory(engine: &Engine, packed: &Packed, ids: &DataFrame) -> Result<Found> {
    let mut described = vec![false; packed.items.len()];
    each(ids, |id| {
        if let Some(code) = packed.items.code(id) {
            described[code as usize] = true;
        }
    })
    .await?;
    let count = described.iter().filter(|described| **described).count();
    let mut without = Vec::new();
    if 2 * count < described.len() {
        let others = engine.install(|| packed.items.sorted(|code| !described[code as usize]));
        let first = others.iter().take(LOOKED_AT);
        without.extend(first.map(|code| packed.items.text(*code).to_owned()));
    }
    Ok(Found {
        named: described.len() as u64,
        described: count as u64,
        without,
    })
}

async fn by_plans(rows: &DataFrame, ids: &DataFrame) -> Result<Found> {
    let named = rows.clone().select(vec![col("item_id")])?.distinct()?;
    let ids = ids
        .clone()
        .select(vec![col("item_id").alias("described")])?
        .distinct()?;
    let joined = |how| {
        named
            .clone()
            .join(ids.clone(), how, &["item_id"], &["described"], None)
    };
    let count = named.clone().count().await? as u64;
    let described = joined(JoinType::LeftSemi)?.count().await? as u64;
    let mut without = Vec::new();
    if 2 * described < count {
        let sorted = joined(JoinType::LeftAnti)?.sort(vec![col("item_id").sort(true, true)])?;
        each(&sorted.limit(0, Some(LOOKED_AT))?, |id| {
            without.push(id.to_owned())
        })
        .await?;
    }
    Ok(Found {
        named: count,
        described,
        without,
    })
}

/// Hands over the ids of a frame's only column.
async fn each(ids: &DataFrame, mut visit: impl FnMut(&str)) -> Result<()> {
    let mut batches = ids.clone().execute_stream().await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        batch
            .column(0)
            .as_string::<i32>()
            .iter()
            .flatten()
            .for_each(&mut visit);
    }
    Ok(())
}

/// A way in which one id is written twice, and what is left of an id without it.
type Cause = (&'static str, fn(&str) -> String);

const CAUSES: [Cause; 4] = [
    (
        "a `.0` at the end, as programs write whole numbers that they took for floating ones",
        |id| match id.split_once('.') {
            Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole.to_owned(),
            _ => id.to_owned(),
        },
    ),
    (
        "leading zeros, which are lost where ids are taken for numbers",
        |id| id.trim_start_matches('0').to_owned(),
    ),
    ("capitals and small letters", str::to_lowercase),
    ("blanks, quotes or other signs", |id| {
        id.chars().filter(|c| c.is_alphanumeric()).collect()
    }),
];

/// Ids of the interactions and of the item files that would be one without one of the causes.
struct Pairs {
    without: Vec<String>,
    /// By cause, and then by what is left of an id.
    left: Vec<HashMap<String, usize>>,
    /// By cause, and then by number among `without`: the counterpart.
    met: Vec<HashMap<usize, String>>,
    /// The first id of the item files.
    first: Option<String>,
}

impl Pairs {
    fn new(without: Vec<String>) -> Self {
        // Of ids that are one when changed the first counts.
        let left = |(_, form): &Cause| {
            (0..without.len())
                .rev()
                .map(|at| (form(&without[at]), at))
                .collect()
        };
        Self {
            left: CAUSES.iter().map(left).collect(),
            met: vec![HashMap::new(); CAUSES.len()],
            first: None,
            without,
        }
    }

    fn look_at(&mut self, id: &str) {
        if self.first.as_deref().is_none_or(|first| id < first) {
            self.first = Some(id.to_owned());
        }
        for ((left, met), (_, form)) in self.left.iter().zip(&mut self.met).zip(&CAUSES) {
            if let Some(at) = left.get(&form(id)) {
                let counterpart = met.entry(*at).or_insert_with(|| id.to_owned());
                if id < counterpart.as_str() {
                    *counterpart = id.to_owned();
                }
            }
        }
    }

    /// An id of each side, and in what they differ where one cause explains at least half of them.
    fn tell(self) -> (String, Option<String>, Option<&'static str>) {
        for ((cause, _), (left, met)) in CAUSES.iter().zip(self.left.iter().zip(&self.met)) {
            if let Some((at, id)) = met.iter().min()
                && 2 * met.len() >= left.len()
            {
                return (self.without[*at].clone(), Some(id.clone()), Some(cause));
            }
        }
        (
            self.without.into_iter().next().unwrap_or_default(),
            self.first,
            None,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(without: &[&str], described: &[&str]) -> (String, Option<String>, Option<&'static str>) {
        let mut pairs = Pairs::new(without.iter().map(|id| (*id).to_owned()).collect());
        described.iter().for_each(|id| pairs.look_at(id));
        pairs.tell()
    }

    #[test]
    fn what_two_ways_of_writing_ids_differ_in_is_told() {
        for (one, other, word) in [
            ("7.0", "7", ".0"),
            ("7", "7.00", ".0"),
            ("7", "0007", "zeros"),
            ("B00x", "B00X", "capitals"),
            ("ab cd", "ab-cd", "signs"),
            ("\"x\"", "x", "quotes"),
        ] {
            let (left, right, cause) = told(&["other", one], &["zz", other]);
            assert_eq!((left.as_str(), right.as_deref()), (one, Some(other)));
            assert!(cause.is_some_and(|cause| cause.contains(word)), "{cause:?}");
        }
    }

    #[test]
    fn ids_are_quoted_as_what_any_file_holds() {
        let said = hint("a\u{1b}[31m\"b\"", Some(&"é".repeat(500)), None);
        assert!(
            said.contains("`a\\u{1b}[31m\"b\"`") && said.contains("é…`"),
            "{said}"
        );
        assert!(said.len() < 400, "{said}");
        assert!(hint("7.0", Some("7"), Some("a `.0`")).contains("have `7.0` where the item files have `7`"));
        assert!(hint("7", None, None).contains("none in the item files, and `7`"));
    }

    #[test]
    fn where_nothing_explains_it_an_id_of_each_side_is_told() {
        let (left, right, cause) = told(&["a", "b", "c"], &["3", "2"]);
        assert_eq!((left.as_str(), right.as_deref(), cause), ("a", Some("2"), None));
        assert_eq!(told(&["a"], &[]), ("a".to_owned(), None, None));
    }
}
