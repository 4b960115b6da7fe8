//! What a reader must know of how the prompts of a domain were made.

use anyhow::Result;
use weaverec_pipeline::schema::Split;
use weaverec_pipeline::stage::Recipe;

use super::distance::Apart;
use crate::experiment::domain::DomainData;
use crate::experiment::profile::Prepare;
use crate::experiment::words::Words;
use crate::protocol::union;

/// Prompts of a kind that are looked at to say how many are shortened.
const LOOKED_AT: usize = 100;

/// The sentences; none where prompts are of any length and validation prompts are not trained on. `words` is what the language model reads,
/// if one takes part.
///
/// # Errors
/// Prompts that cannot be read or encoded.
pub(super) fn of(domain: &DomainData, words: Option<&Words>, prepare: &Prepare) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    if prepare.recipe == Recipe::Paper {
        notes.push(
            "validation prompts are trained on, as by the paper's code: what is chosen on them (the weights and scale of a merge, the better of \
             several rows) is chosen by what was learnt"
                .to_owned(),
        );
    }
    if let (Some(most), Some(words)) = (prepare.most_tokens(), words) {
        let encoder = words.encoder(&domain.name, prepare.format)?;
        let training = domain.folder.first_prompts(Split::Train, LOOKED_AT)?;
        encoder.examples(&training)?;
        let learnt = encoder.shortened();
        let ranked = &domain.ranked[..domain.ranked.len().min(LOOKED_AT)];
        for prompt in ranked {
            encoder.query(prompt, &union(prompt, prepare.format).0, &domain.items)?;
        }
        notes.push(format!(
            "prompts have {most} tokens at the most, and longer ones lack the oldest titles of their histories: {learnt} of the first {} \
             training prompts, {} of the first {} that are ranked",
            training.len(),
            encoder.shortened() - learnt,
            ranked.len()
        ));
    }
    Ok(notes)
}

/// How far a target's titles are from those of a source.
pub(super) fn of_distance(source: &str, apart: Apart) -> String {
    format!(
        "titles are {:.2} from those of {source} by proxy A-distance (a linear classifier of their words; 0: not told apart, 2: always), and \
         {:.2} from those of both in equal parts, as a hybrid has them",
        apart.source, apart.mixed
    )
}
