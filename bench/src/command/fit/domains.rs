//! What a fit reads: the folder that it is fitted to, those of its sources, and vectors of the titles of all of them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use weaverec_model::device::Compute;
use weaverec_model::recommender::{Needs, Source, Vectors};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::Item;

use crate::experiment::item_vectors::{DomainItems, ItemVectors, study};
use crate::experiment::recommender::source;
use crate::method::log::Log;

/// A prepared folder, read.
pub struct Domain {
    /// The folder.
    pub prepared: Prepared,
    /// Its items, item 1 first.
    pub items: Vec<Item>,
    /// Its training part.
    pub log: Log,
}

/// All folders of a fit.
pub struct Domains {
    /// What is fitted to.
    pub target: Domain,
    /// What is learnt from besides.
    pub sources: Vec<Domain>,
}

impl Domain {
    fn read(folder: &Path) -> Result<Self> {
        let prepared = Prepared::open(folder)?;
        Ok(Domain {
            items: prepared.items()?,
            log: Log::read(&prepared)?,
            prepared,
        })
    }

    /// As the user named it: two folders may call their domains the same.
    fn name(&self) -> String {
        self.prepared.folder().display().to_string()
    }
}

impl Domains {
    /// Reads the folders.
    ///
    /// # Errors
    /// One that cannot be read, or that holds the same as another one.
    pub fn read(target: &Path, sources: &[PathBuf]) -> Result<Self> {
        let domains = Domains {
            target: Domain::read(target)?,
            sources: sources
                .iter()
                .map(|folder| Domain::read(folder))
                .collect::<Result<_>>()?,
        };
        let known = |domain: &Domain| (domain.name(), domain.prepared.fingerprint());
        check_different(&domains.all().map(known).collect::<Vec<_>>())?;
        Ok(domains)
    }

    /// The target first.
    fn all(&self) -> impl Iterator<Item = &Domain> {
        std::iter::once(&self.target).chain(&self.sources)
    }

    /// Tells what is read from anything else.
    pub fn fingerprint(&self) -> String {
        let all: Vec<String> = self.all().map(|domain| domain.prepared.fingerprint()).collect();
        all.join("-")
    }

    /// Vectors of the items of all of them in one space, the target's first; none for a system that does not read them.
    ///
    /// # Errors
    /// A folder whose titles say nothing, and those of [`study::made`].
    pub fn vectors(&self, needs: Needs, how: &ItemVectors) -> Result<Vec<Vectors>> {
        if !needs.vectors {
            return Ok(Vec::new());
        }
        let all: Vec<DomainItems> = self
            .all()
            .map(|domain| DomainItems {
                name: &domain.prepared.manifest().name,
                items: &domain.items,
            })
            .collect();
        let found = study::made(&all, how, Compute::default())?;
        for (domain, own) in self.all().zip(&found) {
            study::check(&domain.name(), domain.prepared.manifest().titles_missing, own)?;
        }
        Ok(found)
    }

    /// The sources with their vectors, which are those after the first.
    ///
    /// # Errors
    /// One that nothing can be learnt from.
    pub fn sources<'a>(&'a self, vectors: &'a [Vectors]) -> Result<Vec<Source<'a>>> {
        let of =
            |(place, domain): (usize, &'a Domain)| source(&domain.name(), &domain.log, vectors.get(place));
        (1..).zip(&self.sources).map(of).collect()
    }
}

/// Fails where sources are named that nobody would read, or none are that are needed.
///
/// # Errors
/// What to do about it.
pub fn check_named(method: &str, sources: &[PathBuf], needs: Needs) -> Result<()> {
    match (needs.sources, sources.is_empty()) {
        (true, true) => bail!(
            "{method} learns from other domains, and none is named: give their prepared folders with --source, each by itself"
        ),
        (false, false) => bail!("{method} reads the target alone: leave --source out"),
        _ => Ok(()),
    }
}

/// Fails where two of these folders, each with its fingerprint, hold the same.
fn check_different(all: &[(String, String)]) -> Result<()> {
    for (place, (name, own)) in all.iter().enumerate() {
        if let Some((other, _)) = all[..place].iter().find(|(_, other)| other == own) {
            bail!(
                "--source {name} holds the same as {other}: name every domain once, and the target not among the sources"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(found: Result<()>) -> String {
        found.err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn sources_are_named_for_whoever_learns_from_them_and_for_nobody_else() {
        let needs = |sources| Needs {
            vectors: true,
            sources,
        };
        let films = [PathBuf::from("films")];
        assert_eq!(said(check_named("unisrec", &films, needs(true))), "");
        assert_eq!(said(check_named("tiger", &[], needs(false))), "");
        let error = said(check_named("unisrec", &[], needs(true)));
        assert!(
            error.contains("unisrec learns from other domains") && error.contains("--source"),
            "{error}"
        );
        let error = said(check_named("tiger", &films, needs(false)));
        assert!(error.contains("tiger reads the target alone"), "{error}");
    }

    #[test]
    fn a_domain_that_is_named_twice_is_refused_and_another_one_of_the_same_name_is_not() {
        let of = |all: &[(&str, &str)]| {
            let all: Vec<(String, String)> = all
                .iter()
                .map(|(name, own)| ((*name).to_owned(), (*own).to_owned()))
                .collect();
            said(check_different(&all))
        };
        assert_eq!(of(&[("shop", "1f"), ("shop", "2e"), ("films", "3d")]), "");
        let error = of(&[("shop", "1f"), ("films", "2e"), ("copy", "1f")]);
        assert!(error.contains("--source copy holds the same as shop"), "{error}");
    }
}
