//! What a language model reads: text, by its tokenizer, or items as codes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use weaverec_model::backbone::Tokenizer;
use weaverec_model::device::Compute;
use weaverec_model::recommender::codes::{self, CodeReport, ItemCodes, Layout};
use weaverec_output::write_file;
use weaverec_pipeline::schema::PromptFormat;

use super::coded::described;
use super::domain::{DomainData, Domains};
use super::encoder::{Bound, Encoder};
use super::item_vectors::{ItemVectors, study};
use super::profile::CodeSizes;

/// The file of codes in a backbone's folder.
const CODES: &str = "codes.json";

/// What a language model reads.
#[derive(Clone, Debug)]
pub enum Words {
    /// Text.
    Text(Box<TextWords>),
    /// Items as codes.
    Codes(CodeBook),
}

/// Text by a tokenizer.
#[derive(Clone, Debug)]
pub struct TextWords {
    tokenizer: Tokenizer,
    /// What holds prompts to so many tokens, by domain; none where they may be of any length.
    bounds: Option<BTreeMap<String, Bound>>,
}

/// The codes of a study's items: of all domains by one set of centres, so that a code means the same in each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeBook {
    /// Which token says what.
    pub layout: Layout,
    /// The items' codes, by domain.
    pub domains: BTreeMap<String, ItemCodes>,
    /// What they came to.
    pub report: CodeReport,
}

impl CodeBook {
    /// Makes the codes of all domains of their items' texts, or of the study's vectors; no interaction has a part in them.
    ///
    /// # Errors
    /// Vectors that cannot be made, and more items that are alike than can be told apart.
    pub fn of(sizes: &CodeSizes, domains: &Domains, studys: &ItemVectors, compute: Compute) -> Result<Self> {
        let vectors = study::of_text(domains, sizes.text, (&sizes.vectors, studys), compute)?;
        let (coded, report) =
            codes::encode(&vectors.iter().collect::<Vec<_>>(), &sizes.codes).with_context(|| {
                let names: Vec<&str> = domains.keys().map(String::as_str).collect();
                format!("[backbone] codes of the domains {}", names.join(", "))
            })?;
        Ok(CodeBook {
            layout: sizes.layout(),
            domains: domains.keys().cloned().zip(coded).collect(),
            report,
        })
    }

    /// In a sentence, for people.
    pub fn describe(&self) -> String {
        described(&self.report)
    }

    /// The codes of a domain.
    ///
    /// # Errors
    /// A domain that there are none of.
    pub fn domain(&self, name: &str) -> Result<&ItemCodes> {
        let found = self.domains.get(name);
        found.with_context(|| {
            format!("there are no codes of the domain {name}: it is not of the study that they were made for")
        })
    }

    fn json(&self) -> Result<String> {
        Ok(format!("{}\n", serde_json::to_string(self)?))
    }
}

impl Words {
    /// Text by this tokenizer, in prompts of any length.
    pub fn of_text(tokenizer: Tokenizer) -> Self {
        Words::Text(Box::new(TextWords {
            tokenizer,
            bounds: None,
        }))
    }

    /// The same with the prompts of these domains held to so many tokens; none: as it is.
    ///
    /// # Errors
    /// A model that reads codes, and a wording that cannot be read.
    pub fn held_to(self, max_tokens: Option<usize>, domains: &Domains) -> Result<Self> {
        let Some(max_tokens) = max_tokens else {
            return Ok(self);
        };
        match self {
            Words::Text(text) => {
                let bound = |(name, domain): (&String, &DomainData)| -> Result<(String, Bound)> {
                    let bound = Bound::new(max_tokens, &domain.folder, &domain.items)?;
                    Ok((name.clone(), bound))
                };
                let bounds: BTreeMap<String, Bound> = domains.iter().map(bound).collect::<Result<_>>()?;
                Ok(Words::Text(Box::new(TextWords {
                    tokenizer: text.tokenizer,
                    bounds: Some(bounds),
                })))
            }
            Words::Codes(_) => {
                bail!("prompts of {max_tokens} tokens at most are text, and this model reads codes")
            }
        }
    }

    /// Opens what lies beside a model's weights.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CODES);
        if !path.is_file() {
            return Ok(Words::of_text(Tokenizer::open(folder)?));
        }
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let book: CodeBook =
            serde_json::from_str(&text).with_context(|| format!("{} holds no codes", path.display()))?;
        for (domain, codes) in &book.domains {
            let damaged = || format!("{}: the codes of {domain}", path.display());
            codes.check(book.layout).with_context(damaged)?;
        }
        Ok(Words::Codes(book))
    }

    /// Writes it beside a model's weights.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        match self {
            Words::Text(text) => Ok(text.tokenizer.save(folder)?),
            Words::Codes(book) => Ok(write_file(&folder.join(CODES), book.json()?.as_bytes())?),
        }
    }

    /// Tells it from others: other words make other examples of the same prompts.
    ///
    /// # Errors
    /// None that a tokenizer or codes which were read could cause.
    pub fn fingerprint(&self) -> Result<String> {
        match self {
            Words::Text(text) => Ok(text.tokenizer.fingerprint()?),
            Words::Codes(book) => Ok(blake3::hash(book.json()?.as_bytes()).to_hex()[..32].to_string()),
        }
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// A model that reads codes.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        match self {
            Words::Text(text) => Ok(&text.tokenizer),
            Words::Codes(_) => bail!(
                "this model reads items as the codes of one study, not text: it works in that study alone; name a model with a tokenizer"
            ),
        }
    }

    /// What turns a domain's prompts into tokens.
    ///
    /// # Errors
    /// A domain that there are no codes of, or whose prompts nothing holds to the length that they may have.
    pub fn encoder(&self, domain: &str, format: PromptFormat) -> Result<Encoder<'_>> {
        match self {
            Words::Text(text) => {
                let encoder = Encoder::new(&text.tokenizer, format);
                let Some(bounds) = &text.bounds else {
                    return Ok(encoder);
                };
                let bound = bounds.get(domain).with_context(|| {
                    format!("the prompts of {domain} are held to no length: it is not of the study whose others are")
                })?;
                Ok(encoder.held_to(bound.clone()))
            }
            Words::Codes(book) => Ok(Encoder::of_codes(book.layout, book.domain(domain)?)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn book() -> CodeBook {
        let codes = ItemCodes {
            codes: vec![[0, 1, 2, 0], [0, 1, 2, 1], [3, 0, 0, 0]],
        };
        CodeBook {
            layout: Layout { size: 4 },
            domains: [("beauty".to_string(), codes)].into(),
            report: CodeReport {
                levels: Vec::new(),
                items: 3,
                colliding: 2,
                digits: 2,
            },
        }
    }

    #[test]
    fn codes_are_read_as_they_were_written_and_damaged_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let words = Words::Codes(book());
        words.save(folder.path()).unwrap();
        let read = Words::open(folder.path()).unwrap();
        assert_eq!(read.fingerprint().unwrap(), words.fingerprint().unwrap());
        assert!(read.tokenizer().is_err());
        assert!(read.encoder("beauty", PromptFormat::Sequence).is_ok());
        assert!(read.encoder("sports", PromptFormat::Sequence).is_err());
        let mut other = book();
        other.domains.insert("sports".into(), ItemCodes::default());
        assert_ne!(
            Words::Codes(other).fingerprint().unwrap(),
            words.fingerprint().unwrap()
        );
        let mut twins = book();
        let codes = &mut twins.domains.get_mut("beauty").unwrap().codes;
        codes[1] = codes[0];
        Words::Codes(twins).save(folder.path()).unwrap();
        let error = format!("{:#}", Words::open(folder.path()).unwrap_err());
        assert!(
            error.contains("codes.json") && error.contains("items 1 and 2"),
            "{error}"
        );
    }
}
