//! `weaverec score`.

mod catalogue;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use weaverec_model::device::Compute;

use super::reproduce::claim_report;
use super::target::{Named, Target};
use crate::experiment::assemble::scores::{UserScores, of_row};
use crate::experiment::cell::{Kind, Record};
use crate::experiment::cost::Cost;
use crate::experiment::domain::DomainData;
use crate::experiment::environment::Environment;
use crate::experiment::library::Library;
use crate::experiment::outside::written::{Form, Scored, write};
use crate::experiment::outside::{self, History, Scope, Source, cases, given, import, levels};
use crate::experiment::plan::Plan;
use crate::experiment::profile::Scenario;
use crate::experiment::replicate::Replicate;
use crate::experiment::store::Kept;
use crate::experiment::study_record::StudyRecord;
use crate::output::RECORDS;
use crate::progress::say;
use crate::protocol::Protocol;
use crate::scoring::Reading;

/// Import the scores of another program as a row, or write those of a row of ours.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Rank the cases of a target by a file of scores, and keep that as a row of its tables; prints what it comes to.
    ///
    /// The file is Parquet or CSV of (user, item, score), the higher the better, or of ranked lists (user, items), the best first; its columns
    /// say which. Users and items are called as in the folder that `weaverec cases export` writes. An item that is not on a user's list ranks
    /// below it; a target that is not on it is missed.
    #[command(after_help = "\
Examples:
  weaverec score import sasrec.parquet --profile quick --study movielens-genres --target drama \\
      --row recbole-sasrec --label \"SASRec (RecBole 1.2.1)\" --replicate 0 --history kept --scope catalogue \\
      --made-by \"RecBole 1.2.1, torch 2.6.0, seed 2024, 50 min of processor time on 2 threads\"
  weaverec score import knn.csv --target drama --row recbole-itemknn --label ItemKNN --deterministic --scope candidates
  weaverec report --profile quick                                          the tables with the row in them")]
    Import(Box<Import>),
    /// Write the scores of a row as a file of the same form, from the records of a run.
    #[command(after_help = "\
Examples:
  weaverec score export --target drama --row weaverec --replicate 0 --out weaverec.parquet
  weaverec score export --target drama --row counting --scope catalogue --top 10 --out counting.csv
  weaverec score export --target drama --row sasrec --replicate 1 --scope catalogue --out sasrec.parquet")]
    Export(Box<Export>),
}

#[derive(Debug, Args)]
struct Import {
    /// File of scores or ranked lists.
    file: PathBuf,
    #[command(flatten)]
    of: Named,
    /// Identifier of the row, as recbole-sasrec.
    #[arg(long)]
    row: String,
    /// Name of the row that people read.
    #[arg(long)]
    label: String,
    /// The replicate that the file is: its number tells training runs from each other.
    #[arg(long, default_value_t = 0)]
    replicate: Replicate,
    /// Nothing in the row is drawn: the file counts for every replicate.
    #[arg(long, conflicts_with = "replicate")]
    deterministic: bool,
    /// Whether the items that a user had are scored like all others, and taken away here, or left out.
    #[arg(long, value_enum, required_if_eq("scope", "catalogue"))]
    history: Option<History>,
    /// What is scored: each user's candidates, or all items.
    #[arg(long, value_enum)]
    scope: Scope,
    /// Take lists that are too short for some metric; targets that are not on them are missed.
    #[arg(long)]
    allow_short: bool,
    /// What made the file, in a line: program, version, seed, minutes; the report says it where it says where its numbers come from.
    #[arg(long, value_name = "TEXT")]
    made_by: Option<String>,
    /// Folder of the report, where the record is left as well [default: results/<profile>].
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Export {
    #[command(flatten)]
    of: Named,
    /// Row whose scores are written.
    #[arg(long)]
    row: String,
    /// Replicate.
    #[arg(long, default_value_t = 0)]
    replicate: Replicate,
    /// Scenario, where several have the target, as "comedy → drama".
    #[arg(long)]
    scenario: Option<String>,
    /// How recorded scores are read, as content/binned [default: the primary reading].
    #[arg(long, value_parser = reading)]
    reading: Option<Reading>,
    /// What is written: the scores of candidates, or of all items, which rows that count can give, and fitted ones whose weights are here.
    #[arg(long, value_enum, default_value = "candidates")]
    scope: Scope,
    /// Write ranked lists of the first so many (of candidates: the first so many of each protocol's).
    #[arg(long, value_parser = super::number::at_least(1))]
    top: Option<usize>,
    /// File to write, .parquet or .csv.
    #[arg(long)]
    out: PathBuf,
    /// Folder of records to look in besides the work folder [default: results/<profile>/records].
    #[arg(long)]
    records: Option<PathBuf>,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
}

fn reading(text: &str) -> Result<Reading, String> {
    let names = || Reading::ALL.map(|reading| reading.name()).join(", ");
    let found = Reading::ALL.into_iter().find(|reading| reading.name() == text);
    found.ok_or_else(|| format!("{text} is no reading; there are {}", names()))
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    match arguments.action {
        Action::Import(asked) => import(*asked),
        Action::Export(asked) => export(*asked),
    }
}

fn import(asked: Import) -> Result<()> {
    let started = std::time::Instant::now();
    import::check_name(&asked.row)?;
    ensure!(
        !asked.label.trim().is_empty(),
        "--label is empty: name the row as people are to read it"
    );
    if let Some(text) = &asked.made_by {
        import::check_made_by(text)?;
    }
    // A file that is not there is said before anything is prepared.
    let file = cases::hash(&asked.file)?;
    let target = asked.of.open()?;
    let out = asked
        .out
        .unwrap_or_else(|| PathBuf::from("results").join(&target.profile.name));
    let claim = claim_report(&out, &target.work, &target.inputs)?;
    let library = Library::new(target.store.clone(), Some(claim.place().join(RECORDS)))?;
    let domain = target.domain()?;
    target.record(&library, &domain)?;
    let source = Source {
        outside: asked.row,
        label: asked.label,
        replicate: asked.replicate,
        deterministic: asked.deterministic,
        target: outside::Target {
            name: domain.name.clone(),
            fingerprint: domain.fingerprint.clone(),
            candidates: domain.candidate_hash.clone(),
            cut: target.profile.report_on,
        },
        history: asked.history.unwrap_or(History::Kept),
        scope: asked.scope,
        allow_short: asked.allow_short,
        file,
    };
    let cell = import::cell(&source)?;
    let before = library.list(Kind::Outside)?;
    import::check_beside(&source, &cell, &before)?;
    let given = given::read(&asked.file, &domain)?;
    let environment = Environment::here(1, Compute::default());
    let cost = || Cost {
        wall_seconds: started.elapsed().as_secs_f64(),
        ..Cost::default()
    };
    let format = target.profile.prepare.format;
    let mut record = import::record(&source, &cell, &domain, format, &given, environment, cost())
        .with_context(|| asked.file.display().to_string())?;
    if let Some(told) = &mut record.outside {
        told.made_by = asked.made_by;
    }
    if given.choosing > 0 {
        say(format!(
            "  {} users of the file choose and are not ranked; they are left out",
            given.choosing
        ));
    }
    if let Kept::Again { note: Some(note) } = library.own.keep(&cell, &record, |_| Ok(()))? {
        say(format!("  {note}"));
    }
    if let Some(note) = stays(&record, &before) {
        say(format!("  {note}"));
    }
    library.export([&cell])?;
    let levels = match (&record.ranking, &record.outside) {
        (Some(ranking), Some(told)) => levels::levels(&ranking.cases, told.extent),
        _ => serde_json::Value::Null,
    };
    let summary = json!({ "key": cell.key, "row": source.outside, "told": record.outside, "levels": levels });
    super::print(serde_json::to_string_pretty(&summary)?)
}

/// What must be said where the file was imported before and something else was said of what made it: a record is never changed.
fn stays(record: &Record, before: &[Record]) -> Option<String> {
    let first = before.iter().find(|first| first.key == record.key)?;
    let said = |record: &Record| record.outside.as_ref().and_then(|told| told.made_by.clone());
    let asked = said(record)?;
    let known = said(first);
    (known.as_ref() != Some(&asked)).then(|| {
        format!(
            "the file was imported before, and its record stays, which says {} of what made it; remove its folder (outside/{}, in cells/ and \
             in the report's records/) to import it anew",
            known.map_or("nothing".to_owned(), |known| format!("{known:?}")),
            record.key
        )
    })
}

fn export(asked: Export) -> Result<()> {
    Form::of(&asked.out)?;
    ensure!(
        asked.force || !asked.out.exists(),
        "{} is there already; pass --force to write over it, or name another file",
        asked.out.display()
    );
    let target = asked.of.clone().open()?;
    let domain = target.domain()?;
    let scored = match asked.scope {
        Scope::Catalogue => {
            ensure!(
                asked.reading.is_none(),
                "--reading is about candidates: the catalogue is ranked by a row's scores as they are"
            );
            catalogue::of_catalogue(&target, &domain, &asked)?
        }
        Scope::Candidates => {
            let (study, library) = recorded(&target, &domain, &asked)?;
            let plan = Plan::new(&study)?;
            let scenario = scenario(
                study.study().scenarios.as_slice(),
                &target.name,
                asked.scenario.as_deref(),
            )?;
            let from = (&study, &plan, &library);
            let found = of_row(from, scenario, &asked.row, asked.replicate, asked.reading)?;
            say(format!(
                "  {} of {}, {}",
                asked.row,
                scenario.name(),
                found.reading.label()
            ));
            let ours: &[UserScores] = &found.users;
            // What is written borrows the users' names of the domain, which are in the same order.
            let both = domain.ranked.iter().zip(ours);
            both.map(|(prompt, user)| of_candidates(&domain, &prompt.user_id, user, asked.top))
                .collect::<Result<Vec<_>>>()?
        }
    };
    write(&asked.out, &scored, asked.top.is_some())
}

/// The study's record, and where the others are.
fn recorded(target: &Target, domain: &DomainData, asked: &Export) -> Result<(StudyRecord, Library)> {
    let folder = asked.records.clone();
    let folder = folder.unwrap_or_else(|| Path::new("results").join(&target.profile.name).join(RECORDS));
    let library = Library::new(target.store.clone(), Some(folder))?;
    let study = target.record(&library, domain)?;
    let study = study.with_context(|| {
        format!(
            "study {} has no record in {}: `weaverec reproduce` makes it",
            target.study.name,
            target.work.display()
        )
    })?;
    Ok((study, library))
}

/// The one scenario of a target, or that of a name.
fn scenario<'a>(all: &'a [Scenario], target: &str, named: Option<&str>) -> Result<&'a Scenario> {
    let of: Vec<&Scenario> = all.iter().filter(|scenario| scenario.target == target).collect();
    let names = || of.iter().map(|one| one.name()).collect::<Vec<_>>().join("; ");
    match (named, of.as_slice()) {
        (_, []) => bail!("no scenario has the target {target}"),
        (Some(name), _) => {
            let found = of.iter().find(|scenario| scenario.name() == name).copied();
            found.with_context(|| {
                format!(
                    "no scenario of the target {target} is called {name}, but {}",
                    names()
                )
            })
        }
        (None, [one]) => Ok(one),
        (None, _) => bail!(
            "several scenarios have the target {target}: name one with --scenario ({})",
            names()
        ),
    }
}

/// One user's candidates, or with `top` those that are among the first so many of a protocol's.
fn of_candidates<'a>(
    domain: &'a DomainData,
    user: &'a str,
    scores: &UserScores,
    top: Option<usize>,
) -> Result<Scored<'a>> {
    ensure!(
        user == scores.user,
        "the records are of user {} where the cases have {user}: they are of another preparation",
        scores.user
    );
    let of = |wanted: &dyn Fn(u8) -> bool| -> Result<Scored<'a>> {
        let all = scores
            .candidates
            .iter()
            .zip(&scores.protocols)
            .zip(&scores.scores);
        let items = all
            .filter(|((_, bits), _)| wanted(**bits))
            .map(|((item, _), score)| Ok((domain.raw(*item)?, *score)));
        let items = items.collect::<Result<_>>()?;
        Ok(Scored { user, items })
    };
    let mut whole = of(&|_| true)?;
    let Some(top) = top else {
        return Ok(whole);
    };
    let mut first = std::collections::BTreeSet::new();
    for protocol in Protocol::ALL {
        let mut drawn = of(&|bits| protocol.has(bits))?;
        drawn.sort();
        first.extend(drawn.items.into_iter().take(top).map(|(item, _)| item));
    }
    whole.sort();
    whole.items.retain(|(item, _)| first.contains(item));
    Ok(whole)
}
