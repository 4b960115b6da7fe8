//! `weaverec sql`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use weaverec_pipeline::Error;
use weaverec_pipeline::sql::{self, Database, Format};

use super::choice;

/// Query prepared folders with SQL.
///
/// Every folder is a schema, called as its data set with `_` for `-`, with the tables interactions, items, sequences, rejects, train,
/// validation and test; of a single folder they need no schema. Besides DataFusion's functions there are clean_title(text,
/// max_chars), row_key(domain, user_id, position, split) and, for each folder, draw_candidates(user_id, position, target, touched)
/// and render_prompt(split, user_id, position, history, target, candidates), which end in _<schema> where several are open.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec sql prepared/my-shop \"SELECT title, train_count FROM items ORDER BY train_count DESC LIMIT 10\"
  weaverec sql prepared \"SELECT table_schema, table_name FROM information_schema.tables\"
  weaverec sql prepared \"SELECT count(*) FROM my_shop.items JOIN films.items USING (title)\" --format json")]
pub struct Arguments {
    /// A prepared folder, or one that holds several.
    place: PathBuf,
    /// The query; nothing can be changed.
    query: String,
    /// How the answer is printed; json is an object a line.
    #[arg(long, default_value = "table", value_parser = choice::<Format>(&["table", "csv", "json"]))]
    format: Format,
    /// Threads [default: all].
    #[arg(long, value_parser = super::number::threads)]
    threads: Option<usize>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    let threads = super::threads(arguments.threads);
    let asked = async {
        let database = Database::open(&arguments.place, threads).await?;
        let answer = database.query(&arguments.query).await?;
        sql::print(answer, arguments.format, &mut std::io::stdout().lock()).await
    };
    match super::runtime(threads)?.block_on(asked) {
        // A reader that has seen enough is no error.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
