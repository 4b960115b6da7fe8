//! The stages as plans over settled tables: any size, within the memory limit, here or on a cluster.

use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::{DataFrame, col};
use futures::StreamExt;

use super::{Made, Tally};
use crate::engine::Engine;
use crate::error::Result;
use crate::prepare::PrepareConfig;
use crate::prepared::{self, INTERACTIONS, ParquetFile, SEQUENCES, StageCount};
use crate::raw::{Lines, number_lines};
use crate::stage::order::OrderedBatches;
use crate::stage::sequence::{self, Sequencer};
use crate::stage::{Catalogue, Order, catalogue, dedup, rating};

/// Runs the stages and writes interactions and sequences.
pub async fn build(
    config: &PrepareConfig,
    engine: &Engine,
    rows: DataFrame,
    described: DataFrame,
    lines: &Lines,
    folder: &Path,
) -> Result<Made> {
    let mut stages = Stages {
        engine,
        counts: Vec::new(),
    };
    let kept = stages.run(config, rows, described.clone()).await?;
    let counts = stages.counts;

    let parameters = &config.parameters;
    let rules = parameters.title_rules(&config.dataset);
    let catalogue = catalogue::catalogue(kept.clone(), described, &rules)?;
    let catalogue = Catalogue::collect(catalogue).await?;
    let holdout = parameters.split.resolve(kept.clone()).await?;

    let schema = prepared::interactions_schema();
    let mut interactions = ParquetFile::create(folder, Path::new(INTERACTIONS), schema)?;
    let mut sequences = ParquetFile::create(folder, Path::new(SEQUENCES), sequence::schema())?;
    let mut sequencer = Sequencer::new(&catalogue.items);
    let mut tally = Tally::new(parameters, holdout, &catalogue.items);
    let mut visit =
        |history: &sequence::History| tally.note(&history.items, &history.timestamps, &history.places);
    let order = Order::new(parameters, &config.dataset);
    let mut ordered = OrderedBatches::new(&order);
    // One scan over the interactions by user and time writes them and the sequences, and counts on the way.
    let mut write = |batch: RecordBatch| {
        let batch = sequencer.absorb(&batch, &mut visit)?;
        interactions.write(&number_lines(lines, &batch)?)?;
        let done = sequencer.take();
        done.iter().try_for_each(|done| sequences.write_group(done))
    };
    let mut batches = sequence::chronological(kept)?.execute_stream().await?;
    while let Some(batch) = batches.next().await {
        write(ordered.absorb(batch?)?)?;
    }
    ordered.finish()?.map_or(Ok(()), &mut write)?;
    let last = sequencer.finish(&mut visit)?;
    last.iter().try_for_each(|done| sequences.write_group(done))?;
    Ok(Made {
        interactions: interactions.finish()?,
        sequences: sequences.finish()?,
        catalogue,
        counts,
        tally,
    })
}

/// The stages that choose interactions, with the sizes they leave.
struct Stages<'a> {
    engine: &'a Engine,
    counts: Vec<StageCount>,
}

impl Stages<'_> {
    async fn run(
        &mut self,
        config: &PrepareConfig,
        rows: DataFrame,
        described: DataFrame,
    ) -> Result<DataFrame> {
        let parameters = &config.parameters;
        let mut kept = self.counted("read", rows).await?;
        if let Some(least) = parameters.min_rating {
            kept = self.settled("rating", rating::at_least(kept, least)?).await?;
        }
        if parameters.window.bounded() {
            kept = self.settled("window", parameters.window.apply(kept)?).await?;
        }
        if parameters.filter.by_category() {
            kept = self
                .settled("domain", parameters.filter.apply(kept, described)?)
                .await?;
        }
        kept = self
            .settled("dedup", dedup::dedup(kept, parameters.dedup)?)
            .await?;
        kept = parameters.core.apply(self.engine, kept).await?;
        self.counted("core", kept).await
    }

    async fn settled(&mut self, stage: &str, frame: DataFrame) -> Result<DataFrame> {
        let frame = self.engine.settle(frame).await?;
        self.counted(stage, frame).await
    }

    async fn counted(&mut self, stage: &str, frame: DataFrame) -> Result<DataFrame> {
        self.counts.push(size(stage, &frame).await?);
        Ok(frame)
    }
}

async fn size(stage: &str, interactions: &DataFrame) -> Result<StageCount> {
    // Distinct values are counted by grouping, which can spill; a count of distinct values holds them all.
    let distinct = async |column: &str| -> Result<u64> {
        let values = interactions.clone().select(vec![col(column)])?.distinct()?;
        Ok(values.count().await? as u64)
    };
    Ok(StageCount {
        stage: stage.to_owned(),
        interactions: interactions.clone().count().await? as u64,
        users: distinct("user_id").await?,
        items: distinct("item_id").await?,
    })
}
