//! Rows that other programs ranked, from the records that were made of their files.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::read;
use super::records::Records;
use crate::experiment::cell::{Ranking, Record};
use crate::experiment::outside::{Extent, Source, Told, largest_cut};
use crate::experiment::study_record::DomainFacts;
use crate::protocol::Protocol;
use crate::report::input::{Case, Family, Import, Row, Run};
use crate::scoring::users;

/// The rows from outside that there are of a target.
#[derive(Default)]
pub struct Imported {
    /// Those that ranked candidates.
    pub rows: Vec<Row>,
    /// Those that gave the best of the catalogue and nothing else.
    pub lists: Vec<Row>,
    /// What must be said beside them.
    pub notes: Vec<String>,
}

/// Makes the rows of the records that are found.
///
/// # Errors
/// A record that cannot be read, or two of one replicate.
pub fn imported(
    records: &Records,
    target: &DomainFacts,
    protocol: Protocol,
    cases: &[Case],
) -> Result<Imported> {
    let mut by_row: BTreeMap<String, Vec<(Source, Record)>> = BTreeMap::new();
    for (source, record) in records.outside(target)? {
        by_row
            .entry(source.outside.clone())
            .or_default()
            .push((source, record));
    }
    let mut imported = Imported::default();
    for (name, mut of) in by_row {
        of.sort_by_key(|(source, _)| source.replicate);
        add(records, &mut imported, &name, &of, protocol, cases).with_context(|| format!("row {name}"))?;
    }
    Ok(imported)
}

fn add(
    records: &Records,
    imported: &mut Imported,
    name: &str,
    of: &[(Source, Record)],
    protocol: Protocol,
    cases: &[Case],
) -> Result<()> {
    let twice = of.windows(2).find(|pair| {
        pair[0].0.replicate == pair[1].0.replicate || pair[0].0.deterministic || pair[1].0.deterministic
    });
    if let Some([(one, first), (_, second)]) = twice {
        bail!(
            "two records, {} and {}, are of replicate {}: remove the folder of one of them",
            first.key,
            second.key,
            one.replicate
        );
    }
    let Some((first, _)) = of.first() else {
        return Ok(());
    };
    let mut runs = Vec::new();
    let mut best = false;
    for (source, record) in of {
        let (Some(ranking), Some(told)) = (&record.ranking, &record.outside) else {
            bail!(
                "the record {} says nothing of what its file told: import it again",
                record.key
            );
        };
        best |= told.extent == Extent::Best;
        imported.notes.extend(short(source, told));
        let mut made = run(records, source, ranking, told, protocol, cases)?;
        made.cells = vec![format!("{}/{}", record.kind.folder(), record.key)];
        made.import = Some(Import {
            options: source.options(&records.study.study().name),
            file: source.file.clone(),
            made_by: told.made_by.clone(),
        });
        runs.push(made);
    }
    let row = Row {
        method: name.to_owned(),
        label: first.label.clone(),
        family: Family::Outside,
        deterministic: first.deterministic,
        runs,
    };
    match best {
        true => imported.lists.push(row),
        false => imported.rows.push(row),
    }
    Ok(())
}

/// A sentence on lists that were too short.
fn short(source: &Source, told: &Told) -> Option<String> {
    (told.short > 0).then(|| {
        format!(
            "{}, replicate {}: the lists of {} of {} users are shorter than the {} items that some metrics look at (the shortest has {}); \
             targets that are not on them count as missed",
            source.label,
            source.replicate,
            told.short,
            told.users,
            largest_cut(),
            told.shortest
        )
    })
}

fn run(
    records: &Records,
    source: &Source,
    ranking: &Ranking,
    told: &Told,
    protocol: Protocol,
    cases: &[Case],
) -> Result<Run> {
    let on = records.on();
    let reported = users(&ranking.cases, on, 1.0);
    let same = reported.len() == cases.len()
        && reported
            .iter()
            .zip(cases)
            .all(|(ours, case)| ours.user_id == case.user_id);
    if !same {
        bail!("it ranks other users than the rows of the scenario: import it again");
    }
    let (by_reading, top) = read::imported(&ranking.cases, on, protocol);
    let mut by_reading = by_reading.into_iter();
    Ok(Run {
        replicate: source.replicate,
        candidate_hash: ranking.candidate_hash.clone(),
        places: by_reading.next().unwrap_or_default(),
        readings: by_reading.collect(),
        catalogue: reported.iter().map(|case| case.catalogue).collect(),
        top: top.filter(|_| told.extent != Extent::Best),
        listed: told.extent != Extent::Whole,
        ..Run::default()
    })
}
