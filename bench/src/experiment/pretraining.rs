//! What backbones are pre-trained on, what they read, and how their cells are named.

use anyhow::{Context, Result};
use serde_json::json;
use weaverec_model::backbone::{DecoderConfig, Tokenizer};
use weaverec_model::device::Compute;
use weaverec_model::recommender::codes;
use weaverec_model::train::Example;
use weaverec_pipeline::schema::{Item, PromptFormat, Split};
use weaverec_pipeline::seed;

use super::cell::{Cell, Kind};
use super::domain::{DomainData, Domains};
use super::item_vectors::ItemVectors;
use super::profile::{ItemText, NanoSizes, Own, Profile, Study};
use super::replicate::{Replicate, backbone_seed, written};
use super::words::{CodeBook, Words};

/// Items that one pre-training example describes or lists.
const DESCRIPTIONS: usize = 8;

/// The cell of a backbone that a replicate pre-trains on prepared domains with these fingerprints, and on items with these vectors where they
/// are not the usual ones.
pub fn cell(
    own: Own,
    profile: &Profile,
    study: &Study,
    (fingerprints, vectors): (&[&str], Option<&serde_json::Value>),
    replicate: Replicate,
) -> Cell {
    let mut configuration = json!({
        "pretrain": own.pretrain(),
        "seed": written(backbone_seed(replicate)),
        "format": profile.prepare.format,
        "auxiliary": auxiliary(study),
        "domains": fingerprints,
        "selection": { "cut_seed": profile.cut_seed, "prompts": profile.adapter.held_out },
    });
    if let Some(most) = profile.prepare.most_tokens() {
        configuration["max_tokens"] = json!(most);
    }
    let what = match own {
        Own::Nano(sizes) => {
            configuration["decoder"] = json!(sizes.decoder);
            "nano backbone"
        }
        Own::Codes(sizes) => {
            configuration["decoder"] = json!(sizes.decoder);
            configuration["items"] = match sizes.text {
                ItemText::Vectors => {
                    json!({ "text": sizes.text, "vectors": vectors, "codes": sizes.codes })
                }
                _ => json!({ "text": sizes.text, "vectors": sizes.vectors, "codes": sizes.codes }),
            };
            // Lists of all domains' items are read, too.
            configuration["lists"] = json!(true);
            "backbone over item codes"
        }
    };
    let label = match own.is_shared() {
        true => format!("{what} of {}, of all replicates", study.name),
        false => format!("{what} of {}, replicate {replicate}", study.name),
    };
    Cell::new(Kind::Backbone, label, configuration)
}

/// The domains that a study's backbones are pre-trained on.
pub fn auxiliary(study: &Study) -> Vec<&str> {
    let auxiliary = study.domains.iter().filter(|domain| domain.auxiliary);
    auxiliary.map(|domain| domain.name.as_str()).collect()
}

/// The sizes of a decoder that is pre-trained here.
///
/// # Errors
/// A tokenizer without an end-of-text token.
pub fn decoder_config(own: Own, words: &Words) -> Result<DecoderConfig> {
    match own {
        Own::Nano(sizes) => {
            let end = words.tokenizer()?.eos();
            Ok(sizes
                .decoder
                .llama(end.context("the tokenizer has no end-of-text token")?))
        }
        Own::Codes(sizes) => Ok(sizes.nano().llama(codes::START)),
    }
}

/// What a decoder that is pre-trained here reads, made of the words of all domains, or of their items' vectors: no interaction has a part in it.
///
/// # Errors
/// Texts of which nothing can be made, and vectors that cannot be had.
pub fn words(own: Own, domains: &Domains, (vectors, compute): (&ItemVectors, Compute)) -> Result<Words> {
    match own {
        Own::Nano(sizes) => Ok(Words::of_text(train_tokenizer(sizes, domains)?)),
        Own::Codes(sizes) => Ok(Words::Codes(CodeBook::of(sizes, domains, vectors, compute)?)),
    }
}

/// A byte-level BPE vocabulary from the titles and categories of all domains: words only, no interactions.
fn train_tokenizer(sizes: &NanoSizes, domains: &Domains) -> Result<Tokenizer> {
    let texts: Vec<String> = domains
        .values()
        .flat_map(|d| d.items.iter().map(|i| format!("{}\n{}", i.title, i.categories)))
        .collect();
    Ok(Tokenizer::train_bpe(&texts, sizes.decoder.vocabulary)?)
}

/// What the decoder is pre-trained on: every sequence of the auxiliary domains, and the items of all domains as such, in an order that knows
/// nothing of their ids: neighbours by id were published, or bought, together. No interaction of a studied domain is in it. Of items a decoder
/// over text reads descriptions (title and categories), and one over codes lists of their codes: without these it would not
/// have read those of items that no auxiliary domain has, and adapters leave the embedding as it is. The best step is chosen on
/// validation prompts of held-out users of the auxiliary domains.
pub fn auxiliary_text(
    words: &Words,
    format: PromptFormat,
    auxiliary: &[&str],
    domains: &Domains,
) -> Result<(Vec<Example>, Vec<Example>)> {
    let (mut examples, mut held_out) = (Vec::new(), Vec::new());
    for name in auxiliary {
        let domain = domains
            .get(*name)
            .with_context(|| format!("the auxiliary domain {name} was not prepared"))?;
        let encoder = words.encoder(name, format)?;
        examples.extend(encoder.examples(&domain.folder.prompts(Split::Train)?)?);
        held_out.extend(encoder.examples(&domain.selection)?);
    }
    for domain in domains.values() {
        let encoder = words.encoder(&domain.name, format)?;
        for items in shuffled(domain).chunks(DESCRIPTIONS) {
            let tokens = match words {
                Words::Text(_) => {
                    let text: String = items
                        .iter()
                        .map(|i| format!("{} ({})\n", i.title, i.categories))
                        .collect();
                    encoder.lines(&text)?
                }
                Words::Codes(_) => {
                    let items: Vec<u32> = items.iter().map(|item| item.item).collect();
                    encoder.had(&items, &domain.items)?
                }
            };
            examples.push(Example { tokens, loss_from: 1 });
        }
    }
    Ok((examples, held_out))
}

/// A domain's items in an order by hash.
fn shuffled(domain: &DomainData) -> Vec<&Item> {
    let mut items: Vec<&Item> = domain.items.iter().collect();
    items.sort_by_cached_key(|item| {
        let parts = [
            b"description".as_slice(),
            domain.name.as_bytes(),
            item.item_id.as_bytes(),
        ];
        (seed::key(&parts), item.item)
    });
    items
}
