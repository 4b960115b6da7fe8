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
use crate::prepared::{self, FileEntry, ITEMS, PROMPT_ROWS, SHARD_ROWS, Share};
use crate::schema::{PromptFormat, Split};
use crate::stage::instance::{self, Chosen};
use crate::stage::{Candidates, Instances, PromptStyle, prompt};

/// Instances, their candidates and their words, of one prepared domain.
pub struct PromptFactory {
    instances: Instances,
    candidates: Candidates,
    /// Words prompts, where the engine's plans run.
    render: ScalarUDF,
}

impl PromptFactory {
    /// Over the tables of a domain, which lie in `folder`.
    pub fn new(config: &PrepareConfig, engine: &Engine, tables: &Tables, folder: &Path) -> Result<Self> {
        let (name, parameters) = (config.folder_name(), &config.parameters);
        let (seed, items) = (parameters.seed, &tables.items);
        let (format, wording) = (parameters.format, parameters.wording.as_ref());
        let render = if engine.is_remote() {
            let items = folder.join(ITEMS);
            // The workers know no current folder of ours.
            let items = items
                .canonicalize()
                .map_err(|source| Error::io(&items, "find", source))?;
            StageFunction::render_prompt(format, wording, seed, &name, &items)?
        } else {
            PromptStyle::new(format, wording, seed, &name, items)?.function("render_prompt")
        };
        Ok(Self {
            instances: Instances::new(parameters, &name, tables.targets.clone()),
            candidates: Candidates::new(seed, &name, parameters.candidates, parameters.negatives, items)
                .with_repeats(parameters.repeats)
                .with_bins(tables.bins.clone()),
            render,
        })
    }

    /// One file a shard, as many at a time as there are threads; what is in a shard depends on the rows alone. With the files, of the
    /// binned candidate sets those that had to leave their bin.
    pub async fn write(
        &self,
        engine: &Engine,
        sequences: &DataFrame,
        folder: &Path,
        split: Split,
    ) -> Result<(Vec<FileEntry>, Share)> {
        let serial = engine.serial();
        let windows = split == Split::Train && self.instances.format == PromptFormat::Sequence;
        let draws = if windows {
            self.candidates.none()
        } else {
            self.candidates.clone()
        };
        let here = engine.here().serial();
        let chosen = self.instances.choose(&here, sequences, split, &draws).await?;
        let left = chosen.left;
        let count = chosen.rows.div_ceil(SHARD_ROWS).max(1);
        let shards = stream::unfold((Shards::new(chosen), 0), async |(mut shards, index)| {
            (index < count).then_some(())?;
            let rows = shards.next().await;
            Some(((index, rows), (shards, index + 1)))
        });
        let jobs = shards.map(|(index, rows)| {
            let (serial, render, folder) = (serial.clone(), self.render.clone(), folder.to_owned());
            async move {
                let writing = async move {
                    let instances = serial.frame(instance::schema(), rows?).await?;
                    let frame = prompt::add(instances, &render)?;
                    let relative = prepared::shard(split, index, count);
                    prepared::write_frame(&folder, &relative, prepared::prompts_schema(), frame).await
                };
                let done = tokio::spawn(writing).await;
                done.unwrap_or_else(|panic| Err(Error::Usage(format!("a prompt writer stopped: {panic}"))))
            }
        });
        // All are waited for before an error is passed on: none may still write into a folder that is being removed.
        let done: Vec<_> = jobs.buffered(engine.threads()).collect().await;
        let files: Result<Vec<FileEntry>> = done.into_iter().collect();
        Ok((files?, left))
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
            // What is worded at a time is a row group, so that its texts are not copied together; and a divisor of a shard's rows, so
            // that no batch belongs to two.
            rows: BatchCoalescer::new(instance::schema(), PROMPT_ROWS),
        }
    }

    /// The rows of the next file.
    async fn next(&mut self) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        while rows.len() < SHARD_ROWS / PROMPT_ROWS {
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
