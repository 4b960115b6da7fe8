//! The vectors of a study's items, by domain, and of what they are made.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use weaverec_model::device::Compute;
use weaverec_model::recommender::vectors::{self, TextVectors, Vectors};
use weaverec_pipeline::schema::Item;

use super::{DomainItems, ItemVectors, kept};
use crate::experiment::domain::Domains;
use crate::experiment::profile::ItemText;

/// The vectors of a study's items, by domain.
pub type Space = BTreeMap<String, Vectors>;

/// Vectors of the items of these domains, in their order and all in one space. Domains may have ids in common: an item is told by its domain
/// and its place there.
///
/// # Errors
/// Settings that make no vectors.
pub fn of_items<'d>(
    domains: impl IntoIterator<Item = &'d [Item]>,
    categories: bool,
    how: &TextVectors,
) -> Result<Vec<Vectors>> {
    let texts: Vec<Vec<String>> = domains
        .into_iter()
        .map(|items| items.iter().map(|item| text(item, categories)).collect())
        .collect();
    let texts: Vec<&[String]> = texts.iter().map(Vec::as_slice).collect();
    Ok(vectors::of_titles(&texts, how)?)
}

fn text(item: &Item, categories: bool) -> String {
    match categories {
        false => item.title.clone(),
        true => format!("{} {}", item.title, item.categories),
    }
}

/// The vectors that recommenders read: of the items of these domains, in their order. What a model makes of titles is kept in the cache.
///
/// # Errors
/// Settings that make no vectors, and a model or a file that cannot be had or does not fit.
pub fn made(domains: &[DomainItems], how: &ItemVectors, compute: Compute) -> Result<Vec<Vectors>> {
    match how {
        // Words are counted in seconds, and domains of one name are as good as others.
        ItemVectors::TfIdf(how) => of_items(domains.iter().map(|domain| domain.items), false, how),
        _ => how.of_items(domains, Some(&kept()?), compute),
    }
}

/// The same of all domains of a study.
///
/// # Errors
/// Those of [`made`].
pub fn of_study(domains: &Domains, how: &ItemVectors, compute: Compute) -> Result<Space> {
    let all: Vec<DomainItems> = domains
        .iter()
        .map(|(name, domain)| DomainItems {
            name,
            items: &domain.items,
        })
        .collect();
    let found = made(&all, how, compute).context("[vectors]")?;
    Ok(domains.keys().cloned().zip(found).collect())
}

/// What codes of a study's items are made of: their texts with the settings given, or the study's own vectors.
///
/// # Errors
/// Those of [`made`].
pub fn of_text(
    domains: &Domains,
    text: ItemText,
    (own, studys): (&TextVectors, &ItemVectors),
    compute: Compute,
) -> Result<Vec<Vectors>> {
    let items = domains.values().map(|domain| domain.items.as_slice());
    match text {
        ItemText::Titles => of_items(items, false, own).context("[backbone] vectors"),
        ItemText::TitlesAndCategories => of_items(items, true, own).context("[backbone] vectors"),
        ItemText::Vectors => Ok(of_study(domains, studys, compute)?.into_values().collect()),
    }
}

/// The vectors of a domain.
///
/// # Errors
/// A domain that there are none of.
pub fn of_domain<'s>(space: &'s Space, domain: &str) -> Result<&'s Vectors> {
    let found = space.get(domain);
    found.with_context(|| {
        format!("there are no vectors of the items of {domain}, which is no domain of the study")
    })
}

/// Fails where vectors say nothing of a domain's items: none has a title of its own (`missing` have a stand-in), or none a word in it.
///
/// # Errors
/// What the titles lack, and what to do.
pub fn check(domain: &str, missing: u64, vectors: &Vectors) -> Result<()> {
    let items = vectors.items();
    let what = match () {
        () if missing >= items as u64 => "has a title in the raw data",
        () if vectors.empty() == items => "has a word (a run of letters or digits) in its title",
        () => return Ok(()),
    };
    bail!(
        "none of the {items} items of {domain} {what}, so that text vectors say nothing of them: prepare the domain with titles, or fit a row that \
         reads items alone, as sasrec"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn items(titles: &[&str]) -> Vec<Item> {
        let item = |(place, title): (usize, &&str)| Item {
            item: place as u32 + 1,
            item_id: format!("id-{place}"),
            title: (*title).to_owned(),
            categories: "Tools".into(),
            train_count: 1,
        };
        titles.iter().enumerate().map(item).collect()
    }

    fn how() -> TextVectors {
        TextVectors {
            width: 6,
            ..TextVectors::default()
        }
    }

    fn dot(one: &[f32], other: &[f32]) -> f32 {
        one.iter().zip(other).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn domains_with_the_same_ids_have_items_of_their_own_in_one_space() {
        let (shop, films) = (
            items(&["oak chair", "oak table"]),
            items(&["red planet", "oak chair"]),
        );
        assert_eq!(shop[0].item_id, films[0].item_id);
        let found = of_items([shop.as_slice(), films.as_slice()], false, &how()).unwrap();
        let rows: Vec<Vec<&[f32]>> = found.iter().map(|vectors| vectors.rows().collect()).collect();
        assert_eq!((rows[0].len(), rows[1].len()), (2, 2));
        assert!((dot(rows[0][0], rows[1][1]) - 1.0).abs() < 1e-5, "one title");
        assert!(dot(rows[0][0], rows[1][0]).abs() < 1e-4, "one id");
    }

    #[test]
    fn categories_are_read_where_they_are_asked_for() {
        let both = items(&["oak chair", "red planet"]);
        let likeness = |categories| {
            let found = of_items([both.as_slice()], categories, &how()).unwrap();
            let rows: Vec<&[f32]> = found[0].rows().collect();
            dot(rows[0], rows[1])
        };
        assert!(likeness(false).abs() < 1e-4);
        assert!(likeness(true) > 0.05);
    }

    #[test]
    fn a_domain_without_titles_is_refused_by_its_name() {
        let named = items(&["oak chair", "…"]);
        let found = of_items([named.as_slice()], false, &how()).unwrap();
        check("shop", 1, &found[0]).unwrap();
        let error = check("shop", 2, &found[0]).unwrap_err().to_string();
        assert!(
            error.contains("none of the 2 items of shop has a title") && error.contains("sasrec"),
            "{error}"
        );
        let wordless = items(&["…", "!?"]);
        let found = of_items([wordless.as_slice(), named.as_slice()], false, &how()).unwrap();
        let error = check("signs", 0, &found[0]).unwrap_err().to_string();
        assert!(error.contains("items of signs has a word"), "{error}");
        check("shop", 0, &found[1]).unwrap();
        assert!(of_domain(&Space::new(), "shop").is_err());
    }
}
