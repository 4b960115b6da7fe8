//! From what a file gives to a record: what users had is taken away, and the scores of each user's candidates, or the target's place in the
//! catalogue, are what is kept.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use weaverec_pipeline::schema::{Prompt, PromptFormat, Split};

use super::given::Given;
use super::{Extent, History, Scope, Source, Told, largest_cut};
use crate::experiment::case::Cases;
use crate::experiment::cell::{Cell, Kind, Ranking, Record, ScoredCase};
use crate::experiment::cost::Cost;
use crate::experiment::domain::DomainData;
use crate::experiment::environment::Environment;
use crate::experiment::ranking::scored_hash;
use crate::method;
use crate::metric::Place;
use crate::protocol::{Protocol, union};

/// The score of a candidate that a file does not have: below all that it has.
pub const UNLISTED: f32 = f32::NEG_INFINITY;

/// Longest identifier of a row.
const LONGEST: usize = 60;

/// Refuses identifiers that rows of the program have or may have, and such as are none.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(row: &str) -> Result<()> {
    ensure!(
        method::named(row).is_none(),
        "{row} is a row of this program; name the other program's row otherwise, such as recbole-{row}"
    );
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    ensure!(
        !row.is_empty() && row.len() <= LONGEST && row.chars().all(plain),
        "{row:?} is no name of a row: use lower-case letters, digits, - . and _, {LONGEST} at most"
    );
    ensure!(
        !row.starts_with("stranger"),
        "{row} would be taken for a control with a stranger's history; name it otherwise"
    );
    Ok(())
}

/// Refuses what would not stand in a line.
///
/// # Errors
/// What is wrong with it.
pub fn check_made_by(text: &str) -> Result<()> {
    ensure!(
        !text.trim().is_empty(),
        "--made-by is empty: say what made the file, as \"RecBole 1.2.1, seed 2024, 25 minutes\", or leave it out"
    );
    ensure!(
        !text.contains(char::is_control),
        "--made-by has a line break or another control character: say in one line what made the file"
    );
    Ok(())
}

/// The cell of an imported file.
///
/// # Errors
/// None that a file could cause.
pub fn cell(source: &Source) -> Result<Cell> {
    let label = match source.deterministic {
        true => format!("{}: {}", source.target.name, source.label),
        false => format!(
            "{}: {}, replicate {}",
            source.target.name, source.label, source.replicate
        ),
    };
    Ok(Cell::new(Kind::Outside, label, serde_json::to_value(source)?))
}

/// Refuses a file that does not go with those of the same row that were imported before.
///
/// # Errors
/// The record that it does not go with.
pub fn check_beside(source: &Source, cell: &Cell, before: &[Record]) -> Result<()> {
    for record in before.iter().filter(|record| record.key != cell.key) {
        let other: Source = serde_json::from_value(record.configuration.clone())
            .with_context(|| format!("the record of {} ({})", record.label, record.key))?;
        if other.outside != source.outside || other.target != source.target {
            continue;
        }
        let (row, key) = (&source.outside, &record.key);
        let again = "remove its folder (outside/, in cells/ and in the report's records/) to import it anew";
        if other.replicate == source.replicate || other.deterministic || source.deterministic {
            bail!(
                "the row {row} has a record of replicate {} already ({key}), of another file or with other options; {again}, or name another \
                 --replicate",
                other.replicate
            );
        }
        let what = [
            (other.label == source.label, "--label"),
            (other.history == source.history, "--history"),
            (other.scope == source.scope, "--scope"),
        ];
        if let Some((_, option)) = what.iter().find(|(same, _)| !same) {
            bail!(
                "replicate {} of the row {row} ({key}) was imported with another {option}; the replicates of a row are read alike: give the \
                 same, or {again}",
                other.replicate
            );
        }
    }
    Ok(())
}

/// The record of a file.
///
/// # Errors
/// A list that is too short or has items that it cannot have, with the user.
pub fn record(
    source: &Source,
    cell: &Cell,
    domain: &DomainData,
    format: PromptFormat,
    given: &Given,
    environment: Environment,
    cost: Cost,
) -> Result<Record> {
    let (cases, told) = cases(source, domain, format, given)?;
    let hash = scored_hash(&cases, source.target.cut);
    ensure!(
        hash == domain.candidate_hash,
        "the cases of {} are {} and those of the scores {hash}: this is a bug",
        domain.name,
        domain.candidate_hash
    );
    let manifest = domain.folder.manifest();
    let mut record = Record::new(cell, environment, cost);
    record.ranking = Some(Ranking {
        candidate_hash: hash,
        split: manifest.split.clone(),
        order: manifest.order(),
        rank_seconds: 0.0,
        validation_loss: None,
        selection_loss: None,
        invalid_output_rate: None,
        recall: None,
        cases,
    });
    record.outside = Some(told);
    Ok(record)
}

/// One user's list without what the user had, and what it lacks.
struct Own<'a> {
    prompt: &'a Prompt,
    candidates: Vec<u32>,
    protocols: Vec<u8>,
    scores: HashMap<u32, f64>,
    /// Whether everything there was to score is scored.
    whole: bool,
    /// Items that some metric looks at and that are not there.
    lacks: usize,
}

fn cases(
    source: &Source,
    domain: &DomainData,
    format: PromptFormat,
    given: &Given,
) -> Result<(Vec<ScoredCase>, Told)> {
    let mut all = Vec::new();
    for (prompt, list) in domain.ranked.iter().zip(&given.lists) {
        let own =
            own(source, domain, prompt, format, list).with_context(|| format!("user {}", prompt.user_id))?;
        if own.lacks > 0 && !source.allow_short {
            let taken = match list.len() - own.scores.len() {
                0 => String::new(),
                taken => format!(" ({taken} more are of the history, and taken away)"),
            };
            bail!(
                "the list of user {} has {} items{taken}, {} too few for metrics that look at the first {}: give longer lists, or pass \
                 --allow-short, which counts targets that are not on them as missed",
                prompt.user_id,
                own.scores.len(),
                own.lacks,
                largest_cut()
            );
        }
        all.push(own);
    }
    let told = Told {
        extent: match (all.iter().all(|own| own.whole), source.scope) {
            (true, _) => Extent::Whole,
            (false, Scope::Candidates) => Extent::Listed,
            (false, Scope::Catalogue) => Extent::Best,
        },
        users: all.len(),
        short: all.iter().filter(|own| own.lacks > 0).count(),
        shortest: all.iter().map(|own| own.scores.len()).min().unwrap_or(0),
        made_by: None,
    };
    let looks = Cases::of(&domain.items);
    let cases = all
        .into_iter()
        .map(|own| case(source, domain, &told, &looks, own));
    Ok((cases.collect::<Result<_>>()?, told))
}

/// Takes away what the user had, and looks at what is left.
fn own<'a>(
    source: &Source,
    domain: &DomainData,
    prompt: &'a Prompt,
    format: PromptFormat,
    list: &[(u32, f64)],
) -> Result<Own<'a>> {
    let (candidates, protocols) = union(prompt, format);
    let history = domain.histories.before(Split::Test, prompt)?;
    let had: HashSet<u32> = history.iter().copied().collect();
    let among: HashSet<u32> = candidates.iter().copied().collect();
    let mut scores = HashMap::with_capacity(list.len());
    for (item, score) in list {
        // A target that the user had before is asked for all the same.
        let taken = had.contains(item) && *item != prompt.target;
        match (source.scope, source.history) {
            (Scope::Candidates, _) if among.contains(item) => {}
            (Scope::Catalogue, _) if !taken => {}
            (_, History::Kept) if taken => continue,
            (Scope::Candidates, _) => bail!(
                "item {} is none of the user's candidates; score those of cases.parquet, or import with --scope catalogue",
                domain.raw(*item)?
            ),
            (Scope::Catalogue, _) => bail!(
                "item {} is of the user's history, and --history excluded says that there are none of these; import with --history kept, \
                 which takes them away",
                domain.raw(*item)?
            ),
        }
        scores.insert(*item, *score);
    }
    let wanted = largest_cut();
    let (whole, lacks) = match source.scope {
        Scope::Candidates => {
            let lacks = Protocol::ALL.iter().map(|protocol| {
                let drawn = candidates.iter().zip(&protocols);
                let drawn: Vec<&u32> = drawn
                    .filter(|(_, bits)| protocol.has(**bits))
                    .map(|(item, _)| item)
                    .collect();
                let listed = drawn.iter().filter(|item| scores.contains_key(item)).count();
                wanted.min(drawn.len()).saturating_sub(listed)
            });
            (scores.len() == candidates.len(), lacks.max().unwrap_or(0))
        }
        Scope::Catalogue => {
            let others = domain.items.len() - had.len();
            let listed = scores.keys().filter(|item| !had.contains(item)).count();
            let length = scores.len();
            (listed == others, wanted.min(others).saturating_sub(length))
        }
    };
    Ok(Own {
        prompt,
        candidates,
        protocols,
        scores,
        whole,
        lacks,
    })
}

fn case(source: &Source, domain: &DomainData, told: &Told, looks: &Cases, own: Own) -> Result<ScoredCase> {
    let prompt = own.prompt;
    let target = own.candidates.iter().position(|item| *item == prompt.target);
    let target = target.with_context(|| {
        format!(
            "the target of user {} is not among the candidates",
            prompt.user_id
        )
    })?;
    let scores: Vec<Option<f64>> = match told.extent {
        // Of the few candidates that happen to be among the best nothing follows for the others.
        Extent::Best => vec![None; own.candidates.len()],
        Extent::Whole | Extent::Listed => own
            .candidates
            .iter()
            .map(|item| own.scores.get(item).copied())
            .collect(),
    };
    let count = |id: &u32| {
        let item = domain.items.get(*id as usize - 1);
        item.map_or(0, |item| item.train_count)
    };
    let look = looks.case(prompt);
    Ok(ScoredCase {
        user_id: prompt.user_id.clone(),
        cut: source.target.cut,
        scale: 1.0,
        target: u32::try_from(target)?,
        popularity: own.candidates.iter().map(count).collect(),
        protocols: own.protocols,
        scores: narrowed(&scores),
        neutral: Vec::new(),
        tokens: Vec::new(),
        catalogue: (source.scope == Scope::Catalogue).then(|| place(&own.scores, prompt.target)),
        history: u32::try_from(prompt.history.len())?,
        descends: look.descends,
        ties: look.ties,
        candidates: own.candidates,
    })
}

/// Where the target stands among what is listed; a target that is not listed is missed.
fn place(scores: &HashMap<u32, f64>, target: u32) -> Place {
    let Some(own) = scores.get(&target) else {
        return Place::MISS;
    };
    let count = |is: fn(&f64, &f64) -> bool| scores.values().filter(|score| is(score, own)).count() as u32;
    Place {
        above: count(|score, own| score > own),
        tied: count(|score, own| score == own) - 1,
    }
}

/// Scores in the type of records. Where that would lose digits, and with them the order, each becomes the number of different scores above
/// it, taken negative.
fn narrowed(scores: &[Option<f64>]) -> Vec<f32> {
    let exact = |score: &f64| f64::from(*score as f32) == *score;
    let listed = || scores.iter().flatten();
    if listed().all(exact) {
        return scores
            .iter()
            .map(|score| score.map_or(UNLISTED, |score| score as f32))
            .collect();
    }
    let mut values: Vec<f64> = listed().copied().collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values.dedup();
    let rank = |score: f64| values.partition_point(|other| *other > score);
    scores
        .iter()
        .map(|score| score.map_or(UNLISTED, |score| -(rank(score) as f32)))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_differ_in_digits_that_records_do_not_have_keep_their_order() {
        let near = [Some(1.0 + 1e-12), None, Some(1.0), Some(1.0 + 1e-12), Some(-3.0)];
        assert_eq!(narrowed(&near), [0.0, UNLISTED, -1.0, 0.0, -2.0]);
        let exact = [Some(0.5), Some(f64::from(0.1_f32)), None];
        assert_eq!(narrowed(&exact), [0.5, 0.1, UNLISTED]);
    }

    #[test]
    fn a_target_that_is_not_listed_is_missed_and_ties_are_counted() {
        let scores: HashMap<u32, f64> = [(1, 0.5), (2, 0.5), (3, 0.9)].into();
        assert_eq!(place(&scores, 1), Place { above: 1, tied: 1 });
        assert_eq!(place(&scores, 3), Place { above: 0, tied: 0 });
        assert_eq!(place(&scores, 4), Place::MISS);
    }

    #[test]
    fn names_of_our_own_rows_are_not_taken() {
        assert!(check_name("recbole-sasrec").is_ok());
        for (name, words) in [
            ("weaverec", "a row of this program"),
            ("stranger-x", "stranger"),
            ("SASRec", "lower-case"),
            ("", "lower-case"),
        ] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_made_a_file_is_said_in_a_line() {
        assert!(check_made_by("RecBole 1.2.1, seed 2024").is_ok());
        for (text, words) in [(" ", "empty"), ("a\nb", "line break")] {
            let error = check_made_by(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    fn source(replicate: u32, file: &str) -> Source {
        Source {
            outside: "other".into(),
            label: "Other".into(),
            replicate,
            deterministic: false,
            target: super::super::Target {
                name: "drama".into(),
                fingerprint: "f".into(),
                candidates: "c".into(),
                cut: crate::cut::Cut::Dev,
            },
            history: History::Kept,
            scope: Scope::Catalogue,
            allow_short: false,
            file: file.into(),
        }
    }

    #[test]
    fn a_replicate_is_imported_once_and_replicates_are_read_alike() {
        let first = source(0, "a");
        let of = |source: &Source| {
            let cell = cell(source).unwrap();
            let environment = Environment::here(1, weaverec_model::device::Compute::default());
            (Record::new(&cell, environment, Cost::default()), cell)
        };
        let (record, same) = of(&first);
        let before = [record];
        check_beside(&first, &same, &before).unwrap();
        let asked = |source: &Source| check_beside(source, &of(source).1, &before);
        asked(&source(1, "b")).unwrap();
        let error = asked(&source(0, "b")).unwrap_err().to_string();
        assert!(error.contains("replicate 0 already"), "{error}");
        let mut other = source(1, "b");
        other.history = History::Excluded;
        let error = asked(&other).unwrap_err().to_string();
        assert!(error.contains("--history"), "{error}");
        let mut elsewhere = source(0, "b");
        elsewhere.target.candidates = "d".into();
        asked(&elsewhere).unwrap();
    }
}
