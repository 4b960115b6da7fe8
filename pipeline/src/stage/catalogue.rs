//! The items that occur in interactions, with a clean title where the raw data has a usable one, and their dense ids.

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::common::JoinType;
use datafusion::common::cast::as_string_array;
use datafusion::functions::unicode::expr_fn::character_length;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::NullTreatment;
use datafusion::logical_expr::{Expr, ExprFunctionExt, SortExpr};
use datafusion::prelude::{DataFrame, col, lit};
use futures::StreamExt;

use crate::error::Result;
use crate::function;
use crate::schema::Item;
use crate::title::{self, Marks};

/// The items of a domain.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// By dense id, the first being item 1; `train_count` is for a later stage to fill in.
    pub items: Vec<Item>,
    /// Whether an item's title is a stand-in, in the same order.
    pub stand_ins: Vec<bool>,
    /// What was met in an item's title, in the same order.
    pub marks: Vec<Marks>,
}

impl Catalogue {
    /// Runs [`catalogue`] and numbers its items 1, 2, … in the order of their raw ids, compared by bytes; 0 is for padding.
    ///
    /// The catalogue stays in memory: titles are needed at every prompt.
    pub async fn collect(catalogue: DataFrame) -> Result<Self> {
        let sorted = catalogue
            .select(["item_id", "title", "categories"].map(col).to_vec())?
            .sort(vec![col("item_id").sort(true, true)])?;
        let mut rows = sorted.execute_stream().await?;
        let mut found = Self::default();
        while let Some(batch) = rows.next().await {
            found.absorb(&batch?)?;
        }
        Ok(found)
    }

    fn absorb(&mut self, batch: &RecordBatch) -> Result<()> {
        let ids = as_string_array(batch.column(0))?;
        let titles = as_string_array(batch.column(1))?;
        let categories = as_string_array(batch.column(2))?;
        for row in 0..batch.num_rows() {
            let marked = titles.is_valid(row).then(|| titles.value(row));
            let (marks, title) = marked.map(function::parted).unwrap_or_default();
            let category = categories.is_valid(row).then(|| categories.value(row).to_owned());
            self.push(ids.value(row), title.map(str::to_owned), marks, category);
        }
        Ok(())
    }

    /// Adds the item that follows the last one in the order of raw ids.
    pub fn push(&mut self, item_id: &str, title: Option<String>, marks: Marks, categories: Option<String>) {
        self.stand_ins.push(title.is_none());
        self.marks.push(marks);
        self.items.push(Item {
            item: self.items.len() as u32 + 1,
            // The raw id is all that is known; being distinct, it at least lets items be told apart.
            title: title.unwrap_or_else(|| format!("Item {item_id}")),
            item_id: item_id.to_owned(),
            categories: categories.unwrap_or_default(),
            train_count: 0,
        });
    }
}

/// One row an item of `interactions`: `item_id`, `title`, `categories`.
///
/// Metadata may repeat an item: its first usable title counts, and its first categories. Titles have their marks before them
/// ([`function::marked_title`]); items without metadata, or without a usable title, have marks alone or `NULL`.
pub fn catalogue(interactions: DataFrame, items: DataFrame, rules: &title::Rules) -> Result<DataFrame> {
    let seen = interactions.select(vec![col("item_id")])?.distinct()?;
    let described = items.select(vec![
        col("item_id").alias("described"),
        function::marked_title()
            .call(vec![col("title"), lit(function::encoded(rules)?)])
            .alias("title"),
        col("categories"),
        col("line"),
    ])?;
    Ok(seen
        .join(described, JoinType::Left, &["item_id"], &["described"], None)?
        .aggregate(
            vec![col("item_id")],
            vec![
                // Marks without a title come last.
                first(
                    "title",
                    vec![character_length(col("title")).eq(lit(1)).sort(true, true)],
                )?,
                first("categories", Vec::new())?,
            ],
        )?)
}

/// The first value of a column in the order of lines, after another order.
fn first(column: &str, mut order: Vec<SortExpr>) -> Result<Expr> {
    order.push(col("line").sort(true, true));
    Ok(first_value_udaf()
        .call(vec![col(column)])
        .order_by(order)
        .null_treatment(NullTreatment::IgnoreNulls)
        .build()?
        .alias(column))
}
