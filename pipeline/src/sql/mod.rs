//! SQL over prepared folders: each is a schema of tables, and our own functions can be called.
//!
//! | table | rows |
//! |---|---|
//! | `interactions`, `items`, `sequences`, `rejects` | the files of these names |
//! | `train`, `validation`, `test` | the prompts |

mod print;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::datasource::MemTable;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::{DataFrame, SessionContext};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::function;
use crate::prepared::{INTERACTIONS, ITEMS, MANIFEST, Prepared, REJECTS, SEQUENCES, prompts_schema};
use crate::schema::Split;
use crate::stage::Candidates;
use crate::storage;
pub use print::{Format, print};

const CATALOG: &str = "weaverec";

/// Prepared folders as tables.
pub struct Database {
    context: SessionContext,
    schemas: Vec<String>,
    /// Those opened by URL are copies, which last as long as this.
    _folders: Vec<Prepared>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("schemas", &self.schemas)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Opens a prepared folder, or every one that lies right below `place`; a URL must be that of one.
    ///
    /// A schema is called as its folder's data set, with `_` for what SQL would want quoted. Of a single folder the tables can be
    /// named without it.
    ///
    /// # Errors
    /// A place without a prepared folder, or with a damaged one; two folders whose schemas would have one name.
    pub async fn open(place: &Path, threads: usize) -> Result<Self> {
        let folders = prepared_folders(place)?;
        let engine = Engine::new(threads)?;
        let catalog = Arc::new(MemoryCatalogProvider::new());
        let mut schemas = Vec::new();
        for folder in &folders {
            let prepared = Prepared::open(folder)?;
            let name = schema_name(&prepared.manifest().name);
            let tables: Arc<dyn SchemaProvider> = Arc::new(tables(&engine, &prepared).await?);
            if catalog.register_schema(&name, tables)?.is_some() {
                let path = folder.clone();
                let message = format!("a second data set is called `{name}`; open them one at a time");
                return Err(Error::Prepared { path, message });
            }
            schemas.push((name, prepared));
        }
        let config = engine.context().copied_config().with_information_schema(true);
        let config = match schemas.as_slice() {
            [(only, _)] => config.with_default_catalog_and_schema(CATALOG, only),
            _ => config.with_default_catalog_and_schema(CATALOG, "public"),
        };
        let config = config.with_create_default_catalog_and_schema(false);
        let context = SessionContext::new_with_config_rt(config, engine.context().runtime_env());
        context.register_catalog(CATALOG, catalog);
        for function in function::all() {
            context.register_udf(function);
        }
        let single = schemas.len() == 1;
        for (name, prepared) in &schemas {
            register_stages(&context, name, single, prepared)?;
        }
        let (schemas, folders) = schemas.into_iter().unzip();
        Ok(Self {
            context,
            schemas,
            _folders: folders,
        })
    }

    /// The schemas, in the order of their folders.
    pub fn schemas(&self) -> &[String] {
        &self.schemas
    }

    /// Plans a query; anything that would change something is refused.
    ///
    /// # Errors
    /// [`Error::Query`] with what is wrong with the query.
    pub async fn query(&self, sql: &str) -> Result<DataFrame> {
        let read_only = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let planned = self.context.sql_with_options(sql, read_only).await;
        planned.map_err(|error| Error::Query(Box::new(error)))
    }
}

fn prepared_folders(place: &Path) -> Result<Vec<PathBuf>> {
    let is_prepared = |folder: &Path| folder.join(MANIFEST).is_file();
    if is_prepared(place) || storage::url(place).is_some() {
        return Ok(vec![place.to_owned()]);
    }
    let failed = |source| Error::io(place, "read", source);
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(place).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // A hidden one is still being written.
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && is_prepared(&path) {
            folders.push(path);
        }
    }
    folders.sort();
    if folders.is_empty() {
        let message = "is no prepared folder and holds none; name one, or run `weaverec prepare`".to_owned();
        return Err(Error::Prepared {
            path: place.to_owned(),
            message,
        });
    }
    Ok(folders)
}

/// `amazon-2014-beauty` as SQL takes it without quotes: `amazon_2014_beauty`.
fn schema_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(plain).collect();
    match name.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("_{name}"),
        false => name,
    }
}

async fn tables(engine: &Engine, prepared: &Prepared) -> Result<MemorySchemaProvider> {
    let schema = MemorySchemaProvider::new();
    for file in [INTERACTIONS, ITEMS, SEQUENCES, REJECTS] {
        let frame = engine.parquet(&prepared.folder().join(file)).await?;
        let name = file.trim_end_matches(".parquet").to_owned();
        schema.register_table(name, frame.into_view())?;
    }
    for split in Split::ALL {
        let mut all: Option<DataFrame> = None;
        for path in prepared.shards(split) {
            let frame = engine.parquet(&path).await?;
            all = Some(match all {
                Some(before) => before.union(frame)?,
                None => frame,
            });
        }
        let table = match all {
            Some(frame) => frame.into_view(),
            None => Arc::new(MemTable::try_new(prompts_schema(), vec![vec![]])?),
        };
        schema.register_table(split.name().to_owned(), table)?;
    }
    Ok(schema)
}

/// `draw_candidates` and `render_prompt` of a folder know its catalogue, so each folder has its own, with the schema's name behind.
fn register_stages(context: &SessionContext, schema: &str, single: bool, prepared: &Prepared) -> Result<()> {
    let (manifest, items) = (prepared.manifest(), prepared.items()?);
    let (name, parameters) = (&manifest.name, &manifest.parameters);
    let seed = parameters.seed;
    let draws = Candidates::new(seed, name, parameters.candidates, parameters.negatives, &items)
        .with_repeats(parameters.repeats);
    let style = prepared.style(&items)?;
    let plain = single.then_some(String::new());
    for ending in plain.into_iter().chain([format!("_{schema}")]) {
        context.register_udf(draws.function(&format!("draw_candidates{ending}")));
        context.register_udf(style.function(&format!("render_prompt{ending}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::schema_name;

    #[test]
    fn schemas_need_no_quotes() {
        assert_eq!(schema_name("amazon-2014-Beauty"), "amazon_2014_beauty");
        assert_eq!(schema_name("20m"), "_20m");
    }
}
