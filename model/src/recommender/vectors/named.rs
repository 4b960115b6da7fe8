//! Vectors by the ids that items have in their raw logs.

use std::collections::HashMap;

use super::Vectors;
use crate::{Error, Result};

/// A domain's items as its raw log names them, item 1 first.
#[derive(Clone, Debug)]
pub struct Named<'a> {
    /// The domain.
    pub domain: &'a str,
    /// The items' ids.
    pub items: Vec<&'a str>,
}

/// A vector as a file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The domain, where the file tells it.
    pub domain: Option<String>,
    /// The item's id in the raw log.
    pub item: String,
    /// The vector.
    pub values: Vec<f32>,
}

/// Puts vectors that are given by the items' ids in the order of each domain's items. Items that no domain has are passed over: a file may be
/// of a larger catalogue.
///
/// # Errors
/// Items without a vector or with two, vectors of several widths or with something other than finite numbers, and, where the file does not
/// tell domains, an id that two domains have: it may be another item in each.
pub fn by_id(domains: &[Named], given: &[Given]) -> Result<Vec<Vectors>> {
    let width = given.first().map_or(0, |first| first.values.len());
    if let Some(other) = given.iter().find(|other| other.values.len() != width) {
        return Err(Error::Usage(format!(
            "the vector of item {} has {} numbers, that of {} has {width}: all must be of one model",
            other.item,
            other.values.len(),
            given[0].item
        )));
    }
    let mut known: HashMap<(Option<&str>, &str), &Given> = HashMap::with_capacity(given.len());
    for vector in given {
        let key = (vector.domain.as_deref(), vector.item.as_str());
        if known.insert(key, vector).is_some() {
            return Err(Error::Usage(format!(
                "item {} has two vectors{}: keep one",
                vector.item,
                vector
                    .domain
                    .as_ref()
                    .map_or(String::new(), |domain| format!(" in {domain}"))
            )));
        }
    }
    let mut first_with: HashMap<&str, &str> = HashMap::new();
    let mut found = Vec::with_capacity(domains.len());
    for domain in domains {
        let (mut values, mut missing) = (Vec::with_capacity(domain.items.len() * width), Vec::new());
        for item in &domain.items {
            let own = known.get(&(Some(domain.domain), *item));
            let vector = match own {
                Some(vector) => Some(vector),
                None => {
                    let anywhere = known.get(&(None, *item));
                    if anywhere.is_some()
                        && let Some(other) = first_with.insert(item, domain.domain)
                        && other != domain.domain
                    {
                        return Err(Error::Usage(format!(
                            "item {item} is in {other} and in {}, and its vector does not tell of which: give the file a column `domain` \
                             with these names",
                            domain.domain
                        )));
                    }
                    anywhere
                }
            };
            match vector {
                Some(vector) => {
                    check_finite(domain.domain, vector)?;
                    values.extend_from_slice(&vector.values);
                }
                None => missing.push(*item),
            }
        }
        if !missing.is_empty() {
            return Err(Error::Usage(format!(
                "{} of {} items of {} have no vector, among them {}: make them of all titles, with zeros for items without one",
                missing.len(),
                domain.items.len(),
                domain.domain,
                missing[..missing.len().min(3)].join(", ")
            )));
        }
        let vectors = Vectors { width, values };
        vectors
            .check(domain.items.len())
            .map_err(|error| Error::Usage(format!("vectors of {}: {error}", domain.domain)))?;
        found.push(vectors);
    }
    Ok(found)
}

/// Fails where a vector holds something else than numbers, and says of which item it is.
fn check_finite(domain: &str, vector: &Given) -> Result<()> {
    match vector.values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::Usage(format!(
            "the vector of item {} of {domain} holds {} at place {}: vectors hold finite numbers alone; give an item of which nothing is known \
             zeros",
            vector.item,
            vector.values[at],
            at + 1
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::slice::from_ref;

    use super::super::{TextVectors, of_ones_own};
    use super::*;

    fn given(domain: Option<&str>, item: &str, values: &[f32]) -> Given {
        Given {
            domain: domain.map(str::to_owned),
            item: item.into(),
            values: values.to_vec(),
        }
    }

    #[test]
    fn vectors_of_ones_own_are_put_in_the_order_of_the_items() {
        let domains = [
            Named {
                domain: "beauty",
                items: vec!["b", "a"],
            },
            Named {
                domain: "sports",
                items: vec!["c"],
            },
        ];
        let file = [
            given(None, "a", &[1.0, 0.0]),
            given(None, "unknown", &[9.0, 9.0]),
            given(None, "b", &[0.0, 2.0]),
            given(None, "c", &[3.0, 4.0]),
        ];
        let found = by_id(&domains, &file).unwrap();
        assert_eq!(found[0].values, [0.0, 2.0, 1.0, 0.0]);
        assert_eq!(found[1].values, [3.0, 4.0]);
        let adjusted = of_ones_own(found, &TextVectors::default()).unwrap();
        assert_eq!(adjusted[0].values, [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(adjusted[1].values, [0.6, 0.8]);
    }

    #[test]
    fn what_a_file_of_vectors_lacks_is_named() {
        let beauty = Named {
            domain: "beauty",
            items: vec!["a", "b"],
        };
        let refused = |domains: &[Named], file: &[Given]| by_id(domains, file).unwrap_err().to_string();
        let error = refused(from_ref(&beauty), &[given(None, "a", &[1.0])]);
        assert!(
            error.contains("1 of 2 items of beauty") && error.contains("among them b:"),
            "{error}"
        );
        let error = refused(
            from_ref(&beauty),
            &[given(None, "a", &[1.0]), given(None, "b", &[1.0, 2.0])],
        );
        assert!(error.contains("item b has 2 numbers"), "{error}");
        let error = refused(
            from_ref(&beauty),
            &[given(None, "a", &[1.0]), given(None, "a", &[2.0])],
        );
        assert!(error.contains("two vectors"), "{error}");
        let error = refused(
            from_ref(&beauty),
            &[given(None, "a", &[1.0]), given(None, "b", &[f32::INFINITY])],
        );
        assert!(error.contains("item b of beauty holds inf at place 1"), "{error}");
        let twin = Named {
            domain: "sports",
            items: vec!["b"],
        };
        let file = [given(None, "a", &[1.0]), given(None, "b", &[2.0])];
        let error = refused(&[beauty.clone(), twin.clone()], &file);
        assert!(
            error.contains("beauty and in sports") && error.contains("`domain`"),
            "{error}"
        );
        let told = [
            given(Some("beauty"), "a", &[1.0]),
            given(Some("beauty"), "b", &[2.0]),
            given(Some("sports"), "b", &[3.0]),
        ];
        let found = by_id(&[beauty, twin], &told).unwrap();
        assert_eq!(found[1].values, [3.0]);
    }
}
