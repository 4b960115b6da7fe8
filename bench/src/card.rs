//! What the cards of adapters say: of one that was trained, and of one that was merged. Only what the command knows stands there, and
//! nothing of the machine or the time: the same run writes the same card.

#[cfg(test)]
mod tests;
mod weights;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use weaverec_model::lora::card::markdown;
use weaverec_model::lora::{Adapter, Base, Card, LoraConfig};
use weaverec_model::merge::receipt::{MemberRecord, Receipt};
use weaverec_model::train::{Outcome, TrainConfig};
use weaverec_model::weave::Mixture;
use weaverec_pipeline::fetch::Model;
use weaverec_pipeline::prepared::Manifest;
use weaverec_pipeline::schema::Split;

/// A training that is done.
pub struct Trained<'a> {
    /// The manifests of the prepared folders, the target's first.
    pub folders: Vec<&'a Manifest>,
    /// What was taken of them, as a sentence.
    pub taken: String,
    /// Prompts trained on, of all folders together.
    pub prompts: usize,
    /// Prompts that chose the step.
    pub held_out: usize,
    /// The settings of the adapter.
    pub lora: &'a LoraConfig,
    /// The settings of the training.
    pub config: &'a TrainConfig,
    /// The seed, or the seeds by name.
    pub seed: String,
    /// The base.
    pub base: &'a Base,
    /// How it went.
    pub outcome: &'a Outcome,
}

/// The card of an adapter that was trained into the folder `out`.
pub fn trained(out: &Path, training: &Trained) -> Card {
    let names: Vec<String> = training
        .folders
        .iter()
        .map(|folder| markdown(&folder.name))
        .collect();
    let kind = match names.as_slice() {
        [_, _, ..] => "A hybrid LoRA adapter",
        _ => "A LoRA adapter",
    };
    let mut datasets: Vec<String> = Vec::new();
    for folder in &training.folders {
        if !datasets.contains(&folder.dataset.name) {
            datasets.push(folder.dataset.name.clone());
        }
    }
    Card {
        name: name_of(out),
        base: on_hub(&training.base.name),
        tags: Vec::new(),
        datasets,
        summary: format!(
            "{kind} for sequential recommendation on {}, trained by {}.",
            names.join(" and "),
            program()
        ),
        sections: vec![
            ("Base".into(), base(training.base)),
            ("Data".into(), data(training)),
            ("Training".into(), course(training)),
            ("Measured".into(), measured(training)),
        ],
    }
}

/// The card of an adapter that was merged into the folder `out`.
pub fn merged(out: &Path, adapter: &Adapter, receipt: &Receipt) -> Card {
    let named = || adapter.config.base_model_name_or_path.as_deref();
    let name = adapter
        .base
        .as_ref()
        .map(|base| base.name.as_str())
        .or_else(named);
    let mut sections = Vec::new();
    if let Some(own) = &adapter.base {
        sections.push(("Base".into(), base(own)));
    }
    sections.push(("Merge".into(), merge(receipt)));
    sections.push((
        "Measured".into(),
        "How well it recommends was not measured when it was merged; `weaverec rank` does.".into(),
    ));
    Card {
        name: name_of(out),
        base: name.and_then(on_hub),
        tags: vec!["merge".into()],
        datasets: Vec::new(),
        summary: format!(
            "{} LoRA adapters for sequential recommendation, merged into one by {}.",
            receipt.adapters.len(),
            program()
        ),
        sections,
    }
}

/// The program and the revision that it was built from.
fn program() -> String {
    let changed = match env!("WEAVEREC_DIRTY") {
        "true" => ", changed",
        _ => "",
    };
    format!(
        "weaverec {} (revision {}{changed})",
        env!("CARGO_PKG_VERSION"),
        env!("WEAVEREC_REVISION")
    )
}

/// The last part of a path.
fn name_of(folder: &Path) -> String {
    let whole = || folder.to_string_lossy().into_owned();
    folder
        .file_name()
        .map_or_else(whole, |name| name.to_string_lossy().into_owned())
}

/// What the hub calls a base, as `owner/name`, where that is certain: a model that is known by name, one that was fetched from the hub,
/// or one that is named so. A path of this machine means nothing there.
fn on_hub(base: &str) -> Option<String> {
    match base {
        "smollm2-135m" => return Some("HuggingFaceTB/SmolLM2-135M-Instruct".into()),
        "gemma3-270m" => return Some("google/gemma-3-270m".into()),
        _ => {}
    }
    let plain = |part: &&str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(allowed)
    };
    let parts: Vec<&str> = base.split(['/', '\\']).collect();
    let (owner, name) = match parts.as_slice() {
        [.., "hub", repository, _revision] => repository.split_once("--")?,
        // A folder that is there is a folder, whatever it is called.
        [owner, name] if !Path::new(base).exists() => (*owner, *name),
        _ => return None,
    };
    [owner, name].iter().all(plain).then(|| format!("{owner}/{name}"))
}

fn base(base: &Base) -> String {
    let about = Model::named(&base.name).map_or_else(String::new, |model| format!(" ({})", model.about));
    let precision = serde_json::to_value(base.precision).unwrap_or_default();
    format!(
        "`{}`{about}, {} layers, its projections kept in {}. `base.json` tells its weights from others.",
        name_of(Path::new(&base.name)),
        base.layers,
        precision.as_str().unwrap_or_default()
    )
}

/// What a mixture takes of so many folders, as a sentence.
pub fn taken(mixture: Mixture, folders: usize) -> String {
    let cap = mixture.cap;
    match (folders, mixture.ratio) {
        (0 | 1, _) | (_, None) => format!("Of each at most {cap} prompts were taken."),
        (_, Some(ratio)) => format!(
            "Of each at most {cap} prompts were taken, and of each after the first at most {ratio} for each prompt of the first."
        ),
    }
}

/// The prepared folders, and what must be known of their data sets.
fn data(training: &Trained) -> String {
    let mut text = String::from(
        "| domain | data set | training prompts there | form | split | licence of the data |\n|---|---|---|---|---|---|\n",
    );
    for folder in &training.folders {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            markdown(&folder.name),
            markdown(&folder.dataset.title),
            folder.prompt_count(Split::Train),
            folder.parameters.format.name(),
            markdown(&folder.split),
            markdown(&folder.dataset.licence),
        );
    }
    text.push('\n');
    let _ = writeln!(text, "{}", markdown(&training.taken));
    for folder in &training.folders {
        if !folder.synthetic_fields.is_empty() {
            let _ = writeln!(
                text,
                "\n**Made-up values** in the raw files of {}: {} are not the published ones.",
                markdown(&folder.name),
                folder.synthetic_fields.join(", ")
            );
        }
    }
    let mut cited: Vec<&str> = Vec::new();
    for folder in &training.folders {
        let citation = folder.dataset.citation.as_str();
        if !citation.is_empty() && !cited.contains(&citation) {
            cited.push(citation);
            let _ = writeln!(text, "\nCite: {}", markdown(citation));
        }
    }
    text.push_str(
        "\nNo licence was chosen for this adapter; see those of the data and of the base before it is passed on.",
    );
    text
}

fn course(training: &Trained) -> String {
    let (lora, config, outcome) = (training.lora, training.config, training.outcome);
    let mut text = format!(
        "- LoRA: rank {}, alpha {}, dropout {}\n\
         - prompts: {}, epochs: {}, prompts a step: {}, peak learning rate: {}, seed: {}\n\
         - steps: {}, tokens: {}",
        lora.r,
        lora.lora_alpha,
        lora.lora_dropout,
        training.prompts,
        config.epochs,
        config.batch_size,
        config.learning_rate,
        training.seed,
        outcome.steps,
        outcome.tokens,
    );
    if outcome.held_out_loss.is_some() {
        let _ = write!(text, "; the values after step {} were kept", outcome.best_step);
    }
    if let Some((step, loss)) = outcome.curve.last() {
        let _ = write!(
            text,
            "\n- mean training loss of step {step}: {loss:.4} nats a token"
        );
    }
    text.push_str("\n\nThe course, step by step, is in `training.jsonl`.");
    text
}

fn measured(training: &Trained) -> String {
    let loss = training.outcome.held_out_loss.map_or_else(String::new, |loss| {
        format!(
            "Held-out loss of the kept step: {loss:.4} nats a token, over the {} prompts that chose that step, so that it is a little \
             too good. ",
            training.held_out
        )
    });
    format!("{loss}How well it recommends was not measured when it was trained; `weaverec rank` does.")
}

/// What a member is called in a table.
fn name(member: &MemberRecord) -> String {
    markdown(&name_of(Path::new(&member.folder)))
}

fn merge(receipt: &Receipt) -> String {
    let rule = receipt.recipe["merge_method"].as_str().unwrap_or_default();
    let mut text = format!("Rule: `{rule}`");
    let settings = receipt.recipe["parameters"].as_object();
    for (key, value) in settings.into_iter().flatten() {
        let _ = write!(text, ", {key} {}", markdown(&value.to_string()));
    }
    text.push_str(".\n\n| adapter | weight | identity of its weights |\n|---|---|---|\n");
    for member in &receipt.adapters {
        let weight = match &member.weight {
            Value::Null => "as the rule has it".to_owned(),
            weight if weight.is_number() => markdown(&weight.to_string()),
            _ => "by module, below".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {} | {weight} | `{:.12}` |",
            name(member),
            member.fingerprint
        );
    }
    text.push_str(&weights::by_kind(receipt));
    text.push_str(&weights::chosen(receipt));
    let _ = write!(
        text,
        "\n- Frobenius norm of the update: {:.4}; of what was cut off: {:.4}",
        receipt.norm, receipt.lost
    );
    if let Some(rank) = receipt.rank {
        let _ = write!(text, " (rank {rank} was asked for)");
    }
    text.push_str(
        "\n\n`merge.json` has the whole recipe and what came of it, module by module; `weaverec merge verify` merges again and compares.",
    );
    text
}
