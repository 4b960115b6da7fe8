//! `weaverec recommend`.

mod fitted;

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use weaverec_model::backbone::Decoder;
use weaverec_model::op::with_threads;
use weaverec_model::rank::{self, Normalisation, Query, list, top};
use weaverec_pipeline::prepared::Prepared;
use weaverec_pipeline::schema::{Item, Prompt, PromptFormat, Split};
use weaverec_pipeline::stage::prompt::{Instance, PromptStyle, Wording};
use weaverec_pipeline::title::clean;

use crate::command::adapter::Adapters;
use crate::command::base::Base;
use crate::command::calibrated::{Calibrated, warn_of_other};
use crate::experiment::calibration::Calibration;
use crate::experiment::encoder::Encoder;
use crate::progress::Meter;

/// Rank candidates for a history: JSON in, JSON out.
///
/// The input is an object, or a list of them, with the titles of a history, oldest first, and the titles to choose from:
/// {"history": ["Solaris", "Stalker"], "candidates": ["Mirror", "Jaws"]}. A title is ranked once however often it is named, and with
/// --domain comes with the ids of the `items` that bear it; a domain's titles are ranked without those of the history. Titles are
/// cleaned as `prepare` does before the model reads them.
///
/// With --model-folder a recommender that `weaverec fit` wrote answers: histories and candidates are ids of the raw log or titles, of several
/// items with one title that which was had most often, and all items but those of the history are candidates where none are named.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// File with the input; `-` reads it from standard input.
    #[arg(default_value = "-")]
    input: PathBuf,
    #[command(flatten)]
    base: Base,
    /// PEFT folder; without it, the plain model.
    #[arg(long)]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    adapters: Adapters,
    /// Folder of a recommender that `weaverec fit` wrote, in place of a language model.
    #[arg(long, conflicts_with_all = LANGUAGE_MODEL)]
    model_folder: Option<PathBuf>,
    /// Prepared folder whose format and wording the prompts take, and whose titles are the candidates where the input names none.
    #[arg(long)]
    domain: Option<PathBuf>,
    /// Format of the prompts: the one that the adapter was trained with [default: the domain's, or `sequence`].
    #[arg(long, value_parser = super::choice::<PromptFormat>(&["top-5", "target-only", "letter", "sequence"]))]
    format: Option<PromptFormat>,
    /// Most titles of a ranking.
    #[arg(long, default_value_t = 10, value_parser = super::number::at_least(1))]
    top: usize,
    /// Also write a list of so many titles by greedy decoding that can name nothing but candidates.
    #[arg(long, default_value_t = 0)]
    list: usize,
    /// Divide log-likelihoods by the number of tokens.
    #[arg(long, conflicts_with = "calibration")]
    length_normalised: bool,
    #[command(flatten)]
    calibrated: Calibrated,
    /// Threads [default: all].
    #[arg(long, value_parser = super::number::threads)]
    threads: Option<usize>,
}

const EXAMPLES: &str = "\
Examples:
  echo '{\"history\": [\"Solaris\", \"Stalker\"], \"candidates\": [\"Mirror\", \"Jaws\"]}' | weaverec recommend
  weaverec recommend histories.json --adapter woven --domain prepared/films --top 20
  weaverec recommend histories.json --adapter woven --domain prepared/films --calibration
  weaverec recommend histories.json --model-folder films-sasrec";

/// What says something of a language model, or of its prompts.
const LANGUAGE_MODEL: [&str; 11] = [
    "adapter",
    "partial",
    "model",
    "precision",
    "device",
    "arithmetic",
    "domain",
    "format",
    "list",
    "length_normalised",
    "calibration",
];

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// Titles, oldest first.
    history: Vec<String>,
    /// Titles to rank; none: the domain's but those of the history.
    #[serde(default)]
    candidates: Vec<String>,
}

/// What is answered.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    /// Best first.
    ranking: Vec<Ranked<'a>>,
    /// The list, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Vec<&'a str>>,
}

#[derive(Debug, Serialize)]
struct Ranked<'a> {
    title: &'a str,
    /// The domain's items with this title.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    items: &'a [String],
    /// Log-likelihood in nats, of the title or, if normalised, of one of its tokens; if calibrated, the content score; of a fitted recommender
    /// its own score.
    score: f32,
}

/// A title to choose.
struct Candidate<'a> {
    /// As it was given.
    title: &'a str,
    /// As the model reads it.
    cleaned: String,
    items: &'a [String],
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let (questions, single) = read(&arguments.input)?;
    if let Some(model) = &arguments.model_folder {
        let threads = super::threads(arguments.threads);
        let answers = fitted::run(model, &questions, &arguments.input, arguments.top, threads)?;
        return print(&answers, single);
    }
    let domain = arguments.domain.as_deref().map(Domain::open).transpose()?;
    let style = Style {
        format: arguments
            .format
            .unwrap_or_else(|| domain.as_ref().map_or(PromptFormat::Sequence, |d| d.format)),
        wording: domain.as_ref().and_then(|d| d.wording.clone()),
    };
    let model = arguments.base.load()?;
    let calibration = arguments
        .calibrated
        .read(style.format, arguments.adapter.as_deref(), &model)?;
    if let (Some(read), Some(domain)) = (&calibration, &domain) {
        warn_of_other(read, &domain.prepared);
    }
    let scale = calibration.as_ref().map_or(1.0, |calibration| calibration.scale);
    let decoder = match &arguments.adapter {
        None => model.decoder.clone(),
        Some(folder) => arguments.adapters.fold(folder, &model, scale)?,
    };
    let encoder = Encoder::new(model.words.tokenizer()?, style.format);
    let queries: Vec<(Query, Vec<Candidate>)> = questions
        .iter()
        .enumerate()
        .map(|(place, question)| {
            let query = || -> Result<_> {
                let history = question.history(domain.as_ref())?;
                let candidates = question.candidates(&history, domain.as_ref(), style.format)?;
                Ok((style.query(&encoder, &history, &candidates)?, candidates))
            };
            query().with_context(|| format!("question {} of {}", place + 1, arguments.input.display()))
        })
        .collect::<Result<_>>()?;
    let meter = Meter::start("ranking");
    let answers = with_threads(super::threads(arguments.threads), || -> Result<Vec<Answer>> {
        let neutral = calibration
            .as_ref()
            .map(|calibration| Neutral::of(calibration, &decoder, &encoder, &queries, &meter))
            .transpose()?;
        let mut answers = Vec::with_capacity(queries.len());
        for (query, candidates) in &queries {
            answers.push(answer(&decoder, query, candidates, &arguments, neutral.as_ref())?);
            meter.update(answers.len() as u64, queries.len() as u64, || "histories".into());
        }
        Ok(answers)
    })?;
    meter.finish(format!("{} histories", answers.len()));
    print(&answers, single)
}

/// An answer to one question, or a list of them to a list.
fn print(answers: &[impl Serialize], single: bool) -> Result<()> {
    let text = match answers {
        [one] if single => serde_json::to_string_pretty(one)?,
        all => serde_json::to_string_pretty(all)?,
    };
    super::print(text)
}

fn read(path: &Path) -> Result<(Vec<Question>, bool)> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    let shape = "{\"history\": [titles], \"candidates\": [titles]}, or a list of such objects, is expected";
    let parse = || -> serde_json::Result<_> {
        let value: serde_json::Value = serde_json::from_str(&text)?;
        match value.is_array() {
            true => Ok((serde_json::from_value(value)?, false)),
            false => Ok((vec![serde_json::from_value(value)?], true)),
        }
    };
    parse().map_err(|error| anyhow!("{}: {error}: {shape}", path.display()))
}

impl Question {
    /// The titles of the history as the model reads them.
    fn history(&self, domain: Option<&Domain>) -> Result<Vec<String>> {
        if self.history.is_empty() {
            bail!("the history is empty; name at least one title in it");
        }
        let titles = self.history.iter().enumerate();
        titles
            .map(|(place, title)| readable(title, domain, "history", place))
            .collect()
    }

    /// What is to be ranked, every title once.
    fn candidates<'a>(
        &'a self,
        history: &[String],
        domain: Option<&'a Domain>,
        format: PromptFormat,
    ) -> Result<Vec<Candidate<'a>>> {
        if self.candidates.is_empty() {
            return match domain {
                Some(domain) => domain.catalogue(history, format),
                None => bail!("candidates are needed, or --domain with a prepared folder that has some"),
            };
        }
        let mut named = HashSet::new();
        let mut candidates = Vec::with_capacity(self.candidates.len());
        for (place, title) in self.candidates.iter().enumerate() {
            let cleaned = readable(title, domain, "candidates", place)?;
            if named.insert(cleaned.clone()) {
                let items = domain.map_or(&[][..], |domain| domain.items_of(&cleaned));
                candidates.push(Candidate {
                    title,
                    cleaned,
                    items,
                });
            }
        }
        Ok(candidates)
    }
}

/// What every title that is asked for has without a history: read once for all questions.
struct Neutral<'a> {
    calibration: &'a Calibration,
    scores: HashMap<Vec<u32>, f32>,
}

impl<'a> Neutral<'a> {
    fn of(
        calibration: &'a Calibration,
        decoder: &Decoder,
        encoder: &Encoder,
        queries: &[(Query, Vec<Candidate>)],
        meter: &Meter,
    ) -> Result<Self> {
        let titles: HashSet<&Vec<u32>> = queries.iter().flat_map(|(query, _)| &query.candidates).collect();
        let mut titles: Vec<Vec<u32>> = titles.into_iter().cloned().collect();
        titles.sort_unstable();
        let found = calibration.neutral(decoder, encoder, &titles, meter)?;
        Ok(Neutral {
            calibration,
            scores: titles.into_iter().zip(found).collect(),
        })
    }

    /// The best by content score: every title has to be read to its end, since what is taken away may lift any of them.
    fn top(&self, decoder: &Decoder, query: &Query, count: usize) -> Result<Vec<rank::Ranked>> {
        let scores = rank::score(
            decoder,
            std::slice::from_ref(query),
            self.calibration.normalisation,
            super::rank::BATCH_TOKENS,
        )?;
        let alpha = self.calibration.alpha;
        let mut ranked: Vec<rank::Ranked> = scores
            .into_iter()
            .flatten()
            .zip(&query.candidates)
            .enumerate()
            .map(|(place, (score, title))| rank::Ranked {
                place,
                score: score - alpha * self.scores.get(title).copied().unwrap_or(0.0),
            })
            .collect();
        ranked.sort_by(|one, other| other.score.total_cmp(&one.score));
        ranked.truncate(count);
        Ok(ranked)
    }
}

/// A title as `prepare` cleans it: one line, no separator of titles inside.
fn readable(title: &str, domain: Option<&Domain>, key: &str, place: usize) -> Result<String> {
    clean(title, domain.map_or(usize::MAX, |domain| domain.max_title_chars)).with_context(|| {
        format!("title {} of `{key}` is {title:?}, in which there is no title to read; name it otherwise or leave it out", place + 1)
    })
}

/// What of a prepared folder matters here.
struct Domain {
    /// Its fingerprint.
    prepared: String,
    /// Every title once, in the order of the items.
    titles: Vec<String>,
    /// The ids of the items that bear a title.
    items: HashMap<String, Vec<String>>,
    max_title_chars: usize,
    /// Candidates of one of its prompts.
    shown: usize,
    format: PromptFormat,
    wording: Option<Wording>,
}

impl Domain {
    fn open(folder: &Path) -> Result<Self> {
        let prepared = Prepared::open(folder)?;
        let parameters = &prepared.manifest().parameters;
        let mut titles = Vec::new();
        let mut items: HashMap<String, Vec<String>> = HashMap::new();
        for item in prepared.items()? {
            let bearers = items.entry(item.title.clone()).or_default();
            if bearers.is_empty() {
                titles.push(item.title);
            }
            bearers.push(item.item_id);
        }
        Ok(Domain {
            prepared: prepared.fingerprint(),
            titles,
            items,
            max_title_chars: parameters.max_title_chars,
            shown: parameters.candidates,
            format: parameters.format,
            wording: parameters.wording.clone(),
        })
    }

    fn items_of(&self, title: &str) -> &[String] {
        self.items.get(title).map_or(&[], Vec::as_slice)
    }

    /// All titles that are not in the history, as candidates of a prompt of the format.
    fn catalogue(&self, history: &[String], format: PromptFormat) -> Result<Vec<Candidate<'_>>> {
        let seen: HashSet<&str> = history.iter().map(String::as_str).collect();
        let unseen = self.titles.iter().filter(|title| !seen.contains(title.as_str()));
        let candidates: Vec<Candidate> = unseen
            .map(|title| Candidate {
                title,
                cleaned: title.clone(),
                items: self.items_of(title),
            })
            .collect();
        let (count, shown) = (candidates.len(), self.shown);
        if count == 0 {
            bail!("every title of the domain is in the history: nothing is left to recommend");
        }
        if format.lists_candidates() && count > shown {
            bail!(
                "a prompt of the format {} shows its candidates, and the domain's prompts have {shown} where there are {count} titles: name \
                 some as `candidates`, or take the format sequence, which shows none, with an adapter trained in it",
                format.name()
            );
        }
        Ok(candidates)
    }
}

/// How a history becomes a prompt: as the pipeline words it.
struct Style {
    format: PromptFormat,
    wording: Option<Wording>,
}

impl Style {
    /// Both have titles.
    fn query(&self, encoder: &Encoder, history: &[String], candidates: &[Candidate]) -> Result<Query> {
        let titles = history
            .iter()
            .chain(candidates.iter().map(|candidate| &candidate.cleaned));
        let items: Vec<Item> = (1..)
            .zip(titles)
            .map(|(item, title)| Item {
                item,
                item_id: String::new(),
                title: title.clone(),
                categories: String::new(),
                train_count: 0,
            })
            .collect();
        let (seen, offered): (Vec<u32>, Vec<u32>) = items
            .iter()
            .map(|item| item.item)
            .partition(|item| *item as usize <= history.len());
        // The answer, which the target would be in, is not read.
        let target = offered[0];
        let instance = Instance {
            split: Split::Test,
            user: "",
            position: 0,
            history: &seen,
            target,
            candidates: &offered,
        };
        let style = PromptStyle::new(self.format, self.wording.as_ref(), 0, "", &items)?;
        let messages = style.render(&instance)?;
        let prompt = Prompt {
            key: 0,
            user_id: String::new(),
            position: 0,
            history: seen,
            target,
            ties: false,
            candidates: offered,
            binned: Vec::new(),
            messages,
        };
        encoder.query(&prompt, &prompt.candidates, &items)
    }
}

fn answer<'a>(
    decoder: &Decoder,
    query: &Query,
    candidates: &'a [Candidate],
    arguments: &Arguments,
    neutral: Option<&Neutral>,
) -> Result<Answer<'a>> {
    let normalisation = match arguments.length_normalised {
        true => Normalisation::Mean,
        false => Normalisation::Sum,
    };
    let best = match neutral {
        None => top(decoder, query, normalisation, arguments.top)?,
        Some(neutral) => neutral.top(decoder, query, arguments.top)?,
    };
    let ranking = best
        .into_iter()
        .map(|best| Ranked {
            title: candidates[best.place].title,
            items: candidates[best.place].items,
            score: best.score,
        })
        .collect();
    let list = match arguments.list {
        0 => None,
        length => Some(
            list(decoder, query, length)?
                .into_iter()
                .map(|place| candidates[place].title)
                .collect(),
        ),
    };
    Ok(Answer { ranking, list })
}
