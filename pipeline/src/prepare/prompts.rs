//! Sequences to prompt files.

use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::DataFrame;
use futures::stream::{self, StreamExt};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::function::StageFunction;
use crate::prepare::PrepareConfig;
use crate::prepare::tables::Tables;
use crate::prepared::{self, FileEntry, ITEMS, SHARD_ROWS};
use crate::schema::{Item, PromptFormat, Split};
use crate::stage::instance::{self, Chosen};
use crate::stage::{Candidates, Instances, PromptStyle, candidates, prompt};

/// Prompts that are worded at a time: their texts are many times the size of the instances.
const WORDED_ROWS: usize = 1024;

/// Instances, their candidates and their words, of one prepared domain.
pub struct PromptFactory {
    instances: Instances,
    functions: Functions,
}

/// What makes prompts of instances.
struct Functions {
    /// Draws candidates.
    draw: ScalarUDF,
    /// Draws none.
    draw_none: ScalarUDF,
    /// Words prompts.
    render: ScalarUDF,
}

impl PromptFactory {
    /// Over the tables of a domain, which lie in `folder`.
    pub fn new(config: &PrepareConfig, engine: &Engine, tables: &Tables, folder: &Path) -> Result<Self> {
        Ok(Self {
            instances: Instances::new(&config.parameters, &config.folder_name(), tables.holdout),
            functions: match engine.is_remote() {
                false => Functions::here(config, &tables.items)?,
                true => Functions::anywhere(config, folder)?,
            },
        })
    }

    /// One file a shard, as many at a time as there are threads; what is in a shard depends on the rows alone.
    pub async fn write(
        &self,
        engine: &Engine,
        sequences: &DataFrame,
        folder: &Path,
        split: Split,
    ) -> Result<Vec<FileEntry>> {
        let serial = engine.serial();
        let chosen = engine.here().serial();
        let chosen = self.instances.choose(&chosen, sequences, split).await?;
        let windows = split == Split::Train && self.instances.format == PromptFormat::Sequence;
        let functions = &self.functions;
        let draw = if windows {
            &functions.draw_none
        } else {
            &functions.draw
        };
        let count = chosen.rows.div_ceil(SHARD_ROWS).max(1);
        let shards = stream::unfold((Shards::new(chosen), 0), async |(mut shards, index)| {
            (index < count).then_some(())?;
            let rows = shards.next().await;
            Some(((index, rows), (shards, index + 1)))
        });
        let jobs = shards.map(|(index, rows)| {
            let (serial, draw, render) = (serial.clone(), draw.clone(), functions.render.clone());
            let folder = folder.to_owned();
            async move {
                let writing = async move {
                    let instances = serial.frame(instance::schema(), rows?).await?;
                    let frame = prompt::add(candidates::add(instances, &draw)?, &render)?;
                    let relative = prepared::shard(split, index, count);
                    prepared::write_frame(&folder, &relative, prepared::prompts_schema(), frame).await
                };
                let done = tokio::spawn(writing).await;
                done.unwrap_or_else(|panic| Err(Error::Usage(format!("a prompt writer stopped: {panic}"))))
            }
        });
        // All are waited for before an error is passed on: none may still write into a folder that is being removed.
        let done: Vec<_> = jobs.buffered(engine.threads()).collect().await;
        done.into_iter().collect()
    }
}

impl Functions {
    /// Over a catalogue in memory.
    fn here(config: &PrepareConfig, items: &[Item]) -> Result<Self> {
        let (name, parameters) = (config.folder_name(), &config.parameters);
        let (seed, wording) = (parameters.seed, parameters.wording.as_ref());
        let draws = Candidates::new(seed, &name, parameters.candidates, parameters.negatives, items);
        let style = PromptStyle::new(parameters.format, wording, seed, &name, items)?;
        Ok(Self {
            draw: draws.function("draw_candidates"),
            draw_none: draws.none().function("draw_candidates"),
            render: style.function("render_prompt"),
        })
    }

    /// Over the catalogue in `folder`, as functions that can be sent.
    fn anywhere(config: &PrepareConfig, folder: &Path) -> Result<Self> {
        let (name, parameters) = (config.folder_name(), &config.parameters);
        let (seed, wording) = (parameters.seed, parameters.wording.as_ref());
        let items = folder.join(ITEMS);
        // The workers know no current folder of ours.
        let items = items
            .canonicalize()
            .map_err(|source| Error::io(&items, "find", source))?;
        let draw = |size| StageFunction::draw_candidates(seed, &name, size, parameters.negatives, &items);
        Ok(Self {
            draw: draw(parameters.candidates)?,
            draw_none: draw(0)?,
            render: StageFunction::render_prompt(parameters.format, wording, seed, &name, &items)?,
        })
    }
}

/// Cuts instances into the rows of one file after another.
struct Shards {
    frames: std::vec::IntoIter<DataFrame>,
    open: Option<SendableRecordBatchStream>,
    rows: BatchCoalescer,
}

impl Shards {
    fn new(chosen: Chosen) -> Self {
        Self {
            frames: chosen.frames.into_iter(),
            open: None,
            // A divisor of a shard's rows, so that no batch belongs to two.
            rows: BatchCoalescer::new(instance::schema(), WORDED_ROWS),
        }
    }

    /// The rows of the next file.
    async fn next(&mut self) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        while rows.len() < SHARD_ROWS / WORDED_ROWS {
            if let Some(batch) = self.rows.next_completed_batch() {
                rows.push(batch);
            } else if let Some(batch) = self.batch().await? {
                let columns = batch.columns().to_vec();
                self.rows
                    .push_batch(RecordBatch::try_new(instance::schema(), columns)?)?;
            } else if self.rows.is_empty() {
                break;
            } else {
                self.rows.finish_buffered_batch()?;
            }
        }
        Ok(rows)
    }

    async fn batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(open) = &mut self.open
                && let Some(batch) = open.next().await
            {
                return Ok(Some(batch?));
            }
            match self.frames.next() {
                Some(frame) => self.open = Some(frame.execute_stream().await?),
                None => return Ok(None),
            }
        }
    }
}
