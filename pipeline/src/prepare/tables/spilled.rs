//! The stages on packed rows in files, where memory is limited.

use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::DataFrame;

use super::held::{catalogue, descriptions, of_domain};
use super::{Made, Tally, side_by_side};
use crate::engine::Engine;
use crate::error::Result;
use crate::packed::{Packed, Row, SpilledHistories, Users};
use crate::parameters::Parameters;
use crate::prepare::PrepareConfig;
use crate::prepared::StageCount;
use crate::raw::Lines;
use crate::stage::split::{TimeCut, too_few_moments};
use crate::stage::{Cut, Holdout, Order, SplitPolicy};

/// Share of the memory for rows that those take which are sorted at a time; ids may have filled the rest.
const SORTED: usize = 4;

/// Runs the stages and writes interactions and sequences.
pub async fn build(
    config: &PrepareConfig,
    engine: &Engine,
    packed: Packed,
    described: DataFrame,
    lines: &Lines,
    folder: &Path,
) -> Result<Made> {
    let described = descriptions(described).await?;
    let sorted = engine.row_bytes() / size_of::<Row>() / SORTED;
    engine.install(|| choose_and_write(config, packed, described, lines, folder, sorted))
}

/// At most `sorted` rows are sorted at a time.
fn choose_and_write(
    config: &PrepareConfig,
    mut packed: Packed,
    described: Vec<RecordBatch>,
    lines: &Lines,
    folder: &Path,
    sorted: usize,
) -> Result<Made> {
    let parameters = &config.parameters;
    let order = Order::new(parameters, &config.dataset);
    let domain = parameters
        .filter
        .by_category()
        .then(|| of_domain(parameters, &packed, &described));
    let mut counts = sizes(parameters, &mut packed, domain.as_deref())?;
    let keep = |row: &Row| chosen(parameters, domain.as_deref(), row, Until::Domain);
    let mut histories = SpilledHistories::of(&mut packed, keep, parameters.dedup, &order, folder, sorted)?;
    packed.forget_rows();
    counts.push(histories.size("dedup")?.0);
    histories.core(parameters.core)?;
    let (count, left) = histories.size("core")?;
    counts.push(count);

    let rules = parameters.title_rules(&config.dataset);
    let (catalogue, dense) = catalogue(&rules, &packed, described, &left);
    let interactions = counts.last().map_or(0, |count| count.interactions);
    let holdout = holdout(parameters, &mut histories, interactions)?;
    let mut tally = Tally::new(parameters, holdout, &catalogue.items);
    let (interactions, sequences) =
        side_by_side::write(folder, &packed, lines, &dense, &mut tally, |feed| {
            let mut some = Users::default();
            histories.each_user(|user, rows| {
                if !some.push(packed.users.text(user), rows) {
                    feed.users(&some)?;
                    some.clear();
                    let pushed = some.push(packed.users.text(user), rows);
                    assert!(pushed, "there is room for one");
                }
                Ok(())
            })?;
            feed.users(&some)
        })?;
    Ok(Made {
        catalogue,
        counts,
        tally,
        interactions,
        sequences,
    })
}

/// The stages that look at one row, in order.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Until {
    Rating,
    Window,
    Domain,
}

/// Whether a row is left after a stage and those before it.
fn chosen(parameters: &Parameters, domain: Option<&[bool]>, row: &Row, until: Until) -> bool {
    let window = parameters.window;
    (until < Until::Rating || parameters.min_rating.is_none_or(|least| row.rating >= least))
        && (until < Until::Window
            || (window.from.is_none_or(|from| row.time >= from)
                && window.until.is_none_or(|until| row.time < until)))
        && (until < Until::Domain || domain.is_none_or(|items| items[row.item as usize]))
}

/// Sizes after reading and after each of the stages that look at one row.
fn sizes(parameters: &Parameters, packed: &mut Packed, domain: Option<&[bool]>) -> Result<Vec<StageCount>> {
    let mut counts = vec![StageCount {
        stage: "read".to_owned(),
        interactions: packed.len() as u64,
        users: packed.users.len() as u64,
        items: packed.items.len() as u64,
    }];
    for (stage, asked, until) in [
        ("rating", parameters.min_rating.is_some(), Until::Rating),
        ("window", parameters.window.bounded(), Until::Window),
        ("domain", domain.is_some(), Until::Domain),
    ] {
        if !asked {
            continue;
        }
        let mut users = vec![false; packed.users.len()];
        let mut items = vec![false; packed.items.len()];
        let mut interactions = 0;
        packed.stream(|row| {
            if chosen(parameters, domain, row, until) {
                interactions += 1;
                users[row.user as usize] = true;
                items[row.item as usize] = true;
            }
            Ok(())
        })?;
        let count = |left: &[bool]| left.iter().filter(|left| **left).count() as u64;
        counts.push(StageCount {
            stage: stage.to_owned(),
            interactions,
            users: count(&users),
            items: count(&items),
        });
    }
    Ok(counts)
}

fn holdout(parameters: &Parameters, histories: &mut SpilledHistories, total: u64) -> Result<Holdout> {
    // How many interactions are enough, of so many.
    let enough = |of: u64, share: f64| (of as f64 * share).ceil().max(1.0) as usize;
    // The moment of the newest interaction with which there are enough; the validation begins before the test.
    let found = match parameters.split {
        SplitPolicy::LeaveOneOut => return Ok(Holdout::LastTwo),
        SplitPolicy::GlobalTime(Cut::At(cut)) => return Ok(Holdout::From(cut)),
        SplitPolicy::GlobalTime(Cut::Shares { validation, test }) => (
            histories.newest(enough(total, test))?,
            histories.newest(enough(total, validation + test))?,
        ),
        SplitPolicy::GlobalTime(Cut::TestFrom {
            test_from,
            validation,
        }) => {
            let before = histories.count_before(test_from)?;
            let tested = (total - before) as usize;
            (
                Some(test_from),
                histories.newest(tested + enough(before, validation))?,
            )
        }
    };
    let (Some(test_from), Some(validation_from)) = found else {
        return Err(too_few_moments());
    };
    let before = histories.newest_before(test_from)?.ok_or_else(too_few_moments)?;
    Ok(Holdout::From(TimeCut {
        validation_from: validation_from.min(before),
        test_from,
    }))
}
