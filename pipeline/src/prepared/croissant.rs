//! `croissant.json`: what a prepared folder holds, in the [Croissant 1.0](https://docs.mlcommons.org/croissant/docs/croissant-spec.html)
//! form of JSON-LD that data-set catalogues and `mlcroissant` read.
//!
//! Version 1.0, as every reader of a later one reads it too. Nothing of the machine, the time or the version of this program goes in.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use serde_json::{Value, json};

use crate::prepared::layout::{self, INTERACTIONS, ITEMS, REJECTS, SEQUENCES};
use crate::prepared::manifest::{FileEntry, Manifest};
use crate::schema::Split;
use crate::stage::sequence;

/// The file in the folder. Folders of versions before it have none.
pub const CROISSANT: &str = "croissant.json";

/// The id of the set of all prompt files.
const PROMPT_FILES: &str = "prompt-files";

/// Takes the split out of a prompt file's path. `mlcroissant` applies it to its own result once more where it joins the splits, hence
/// the two parts that may be missing.
const SPLIT_OF_PATH: &str = "^(?:prompts/)?(train|validation|test)(?:-.*)?$";

/// The description of a folder, from its manifest.
pub fn croissant(manifest: &Manifest) -> Value {
    let dataset = &manifest.dataset;
    let mut described = json!({
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": manifest.name,
        "description": description(manifest),
        "keywords": ["sequential recommendation", "large language models", dataset.platform],
    });
    // What the data set's description does not say is left out: it would be made up.
    let known = [
        ("license", Some(dataset.licence.as_str())),
        ("citeAs", Some(dataset.citation.as_str())),
        ("url", dataset.source.url.as_deref()),
    ];
    for (key, value) in known {
        if let Some(value) = value.filter(|value| !value.trim().is_empty()) {
            described[key] = value.into();
        }
    }
    let prompts = Prompts::of(manifest);
    let mut distribution: Vec<Value> = manifest.files.iter().map(file_object).collect();
    let mut record_sets: Vec<Value> = TABLES.iter().map(Table::record_set).collect();
    if let Some(prompts) = prompts {
        distribution.push(prompts.file_set());
        record_sets.extend(prompts.record_sets());
    }
    described["distribution"] = distribution.into();
    described["recordSet"] = record_sets.into();
    described
}

/// The context that the specification prints, and that `mlcroissant` looks for word by word.
fn context() -> Value {
    json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "citeAs": "cr:citeAs",
        "column": "cr:column",
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "dct": "http://purl.org/dc/terms/",
        "equivalentProperty": "cr:equivalentProperty",
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "extract": "cr:extract",
        "field": "cr:field",
        "fileProperty": "cr:fileProperty",
        "fileObject": "cr:fileObject",
        "fileSet": "cr:fileSet",
        "format": "cr:format",
        "includes": "cr:includes",
        "isLiveDataset": "cr:isLiveDataset",
        "jsonPath": "cr:jsonPath",
        "key": "cr:key",
        "md5": "cr:md5",
        "parentField": "cr:parentField",
        "path": "cr:path",
        "recordSet": "cr:recordSet",
        "references": "cr:references",
        "regex": "cr:regex",
        "repeated": "cr:repeated",
        "replace": "cr:replace",
        "samplingRate": "cr:samplingRate",
        "sc": "https://schema.org/",
        "separator": "cr:separator",
        "source": "cr:source",
        "subField": "cr:subField",
        "transform": "cr:transform",
    })
}

/// What the folder is, and what must be known before its numbers are used.
fn description(manifest: &Manifest) -> String {
    let dataset = &manifest.dataset;
    let mut said = vec![
        format!("{}, prepared for sequential recommendation.", dataset.title),
        format!("Split: {}.", manifest.split),
        format!("Order of events: {}.", manifest.order()),
    ];
    if !manifest.synthetic_fields.is_empty() {
        said.push(format!(
            "Made-up values: {} in the raw files are not the published ones.",
            manifest.synthetic_fields.join(", ")
        ));
    }
    if !dataset.notes.is_empty() {
        said.push(dataset.notes.clone());
    }
    said.join(" ")
}

fn file_object(file: &FileEntry) -> Value {
    json!({
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "description": format!("{} rows", file.rows),
        "contentUrl": file.path,
        "contentSize": format!("{} B", file.bytes),
        "encodingFormat": "application/x-parquet",
        "sha256": file.sha256,
    })
}

/// A file of rows.
struct Table {
    name: &'static str,
    file: &'static str,
    holds: &'static str,
    schema: fn() -> SchemaRef,
}

const TABLES: [Table; 4] = [
    Table {
        name: "interactions",
        file: INTERACTIONS,
        holds: "Who took which item when, after deduplication and k-core, by user and time.",
        schema: layout::interactions,
    },
    Table {
        name: "items",
        file: ITEMS,
        holds: "The items with their titles, by dense id.",
        schema: layout::items,
    },
    Table {
        name: "sequences",
        file: SEQUENCES,
        holds: "What each user took, oldest first.",
        schema: sequence::schema,
    },
    Table {
        name: "rejects",
        file: REJECTS,
        holds: "Lines of the raw files that could not be read, with the reason.",
        schema: layout::rejects,
    },
];

impl Table {
    fn record_set(&self) -> Value {
        json!({
            "@type": "cr:RecordSet",
            "@id": self.name,
            "name": self.name,
            "description": self.holds,
            "field": fields(self.name, &json!({"fileObject": {"@id": self.file}}), &(self.schema)()),
        })
    }
}

/// The prompts of a folder that has some.
struct Prompts {
    splits: Vec<Split>,
}

impl Prompts {
    fn of(manifest: &Manifest) -> Option<Self> {
        let has = |split: &Split| {
            let prefix = format!("prompts/{}-", split.name());
            manifest.files.iter().any(|file| file.path.starts_with(&prefix))
        };
        let splits: Vec<Split> = Split::ALL.into_iter().filter(has).collect();
        (!splits.is_empty()).then_some(Self { splits })
    }

    fn file_set(&self) -> Value {
        json!({
            "@type": "cr:FileSet",
            "@id": PROMPT_FILES,
            "name": PROMPT_FILES,
            "description": "The prompts, in files by split.",
            "encodingFormat": "application/x-parquet",
            "includes": "prompts/*.parquet",
        })
    }

    /// The splits by name, and the prompts with the split that their file's name says.
    fn record_sets(&self) -> [Value; 2] {
        let names = self
            .splits
            .iter()
            .map(|split| json!({"splits/name": split.name()}));
        let splits = json!({
            "@type": "cr:RecordSet",
            "@id": "splits",
            "name": "splits",
            "description": "What prompts are for.",
            "dataType": "cr:Split",
            "key": {"@id": "splits/name"},
            "field": [{
                "@type": "cr:Field",
                "@id": "splits/name",
                "name": "name",
                "description": "Name of the split.",
                "dataType": "sc:Text",
            }],
            "data": names.collect::<Vec<_>>(),
        });
        let files = json!({"fileSet": {"@id": PROMPT_FILES}});
        let mut all = vec![json!({
            "@type": "cr:Field",
            "@id": "prompts/split",
            "name": "split",
            "description": "What the prompt is for.",
            "dataType": "sc:Text",
            "source": source(&files, &json!({"fileProperty": "fullpath"}), Some(json!({"regex": SPLIT_OF_PATH}))),
            "references": {"field": {"@id": "splits/name"}},
        })];
        all.extend(fields("prompts", &files, &layout::prompts()));
        let prompts = json!({
            "@type": "cr:RecordSet",
            "@id": "prompts",
            "name": "prompts",
            "description": "Conversations that ask for a user's next item, and the ids that they were made from.",
            "key": {"@id": "prompts/key"},
            "field": all,
        });
        [splits, prompts]
    }
}

/// The columns of a table as fields.
fn fields(table: &str, files: &Value, schema: &SchemaRef) -> Vec<Value> {
    let field = |column: &Arc<Field>| field(table, files, column);
    schema.fields().iter().map(field).collect()
}

fn field(table: &str, files: &Value, column: &Field) -> Value {
    let name = column.name();
    let id = format!("{table}/{name}");
    let extract = json!({"column": name});
    let mut field = json!({
        "@type": "cr:Field",
        "@id": id,
        "name": name,
        "description": meaning(table, name),
    });
    let one = match column.data_type() {
        DataType::List(element) => {
            field["repeated"] = true.into();
            element.data_type()
        }
        other => other,
    };
    if let DataType::Struct(parts) = one {
        let part = |part: &Arc<Field>| {
            json!({
                "@type": "cr:Field",
                "@id": format!("{id}/{}", part.name()),
                "name": part.name(),
                "description": meaning(table, part.name()),
                "dataType": data_type(part.data_type()),
                "source": source(files, &extract, Some(json!({"jsonPath": part.name()}))),
            })
        };
        field["subField"] = parts.iter().map(part).collect::<Vec<_>>().into();
    } else {
        field["dataType"] = data_type(one).into();
        field["source"] = source(files, &extract, None);
    }
    field
}

/// Where a field's values are in the files, and what is taken out of them there.
fn source(files: &Value, extract: &Value, transform: Option<Value>) -> Value {
    let mut source = files.clone();
    source["extract"] = extract.clone();
    if let Some(transform) = transform {
        source["transform"] = transform;
    }
    source
}

/// Croissant's name of a column's type; the layout has no others.
fn data_type(arrow: &DataType) -> &'static str {
    match arrow {
        DataType::Boolean => "sc:Boolean",
        whole if whole.is_integer() => "sc:Integer",
        broken if broken.is_floating() => "sc:Float",
        _ => "sc:Text",
    }
}

/// What a column of a table says.
fn meaning(table: &str, column: &str) -> &'static str {
    match (table, column) {
        ("rejects", "line") => "Number of the line in that file, from 1.",
        ("rejects", "text") => "The first bytes of the line.",
        (_, "user") => "Dense id of the user, from 1.",
        (_, "user_id") => "The user as named in the raw log.",
        (_, "item") => "Dense id of the item, from 1.",
        (_, "item_id") => "The item as named in the raw log.",
        (_, "rating") => "The rating, where the log has one.",
        (_, "timestamp") => "Time in milliseconds since 1970, UTC.",
        (_, "line") => "Place of the row in the raw files.",
        (_, "title") => "Cleaned title.",
        (_, "categories") => "Categories, genre or brand, joined by commas; may be empty.",
        (_, "train_count") => "Interactions of the item in the training part of its users' sequences.",
        (_, "title_missing") => "Whether the title is a stand-in for want of one.",
        (_, "items") => "Dense ids of the items, oldest first.",
        (_, "timestamps") => "Times in milliseconds since 1970, UTC, one an item.",
        (_, "file") => "The raw file.",
        (_, "offset") => "Byte at which the line begins.",
        (_, "reason") => "Why it could not be read.",
        (_, "key") => "Stable key of the prompt.",
        (_, "position") => "Position of the target in the user's sequence, from 1.",
        (_, "history") => "Dense ids of the items shown as history, oldest first.",
        (_, "target") => "Dense id of the item to predict.",
        (_, "ties") => "Whether the target is at the moment of the item before it.",
        (_, "candidates") => "Dense ids of the candidates, target included, in the order shown.",
        (_, "binned") => "Dense ids of candidates about as popular as the target; none in training.",
        (_, "messages") => "The conversation; the last turn is the answer.",
        (_, "role") => "Who speaks: system, user or assistant.",
        (_, "content") => "The text of the turn.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Every field, with those within fields.
    fn all_fields(record_sets: &[Value]) -> Vec<&Value> {
        let mut found = Vec::new();
        let mut open: Vec<&Value> = record_sets
            .iter()
            .flat_map(|set| set["field"].as_array().unwrap())
            .collect();
        while let Some(field) = open.pop() {
            found.push(field);
            open.extend(field["subField"].as_array().into_iter().flatten());
        }
        found
    }

    fn record_sets() -> Vec<Value> {
        let prompts = Prompts {
            splits: Split::ALL.to_vec(),
        };
        let tables = TABLES.iter().map(Table::record_set);
        tables.chain(prompts.record_sets()).collect()
    }

    #[test]
    fn every_column_of_the_layout_is_described_and_is_named_once() {
        let sets = record_sets();
        let fields = all_fields(&sets);
        let mut ids: Vec<&str> = fields
            .iter()
            .map(|field| field["@id"].as_str().unwrap())
            .collect();
        assert!(
            fields
                .iter()
                .all(|field| !field["description"].as_str().unwrap().is_empty()),
            "{ids:?}"
        );
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        for schema in [
            layout::interactions(),
            layout::items(),
            layout::rejects(),
            layout::prompts(),
            sequence::schema(),
        ] {
            for column in schema.fields() {
                assert!(
                    ids.iter()
                        .any(|id| id.split_once('/').unwrap().1 == column.name()),
                    "{}",
                    column.name()
                );
            }
        }
    }

    #[test]
    fn a_column_of_lists_is_repeated_and_one_of_turns_has_their_parts() {
        let sets = record_sets();
        let fields = all_fields(&sets);
        let field = |id: &str| *fields.iter().find(|field| field["@id"] == id).unwrap();
        let types = [
            "interactions/rating",
            "items/title_missing",
            "prompts/history",
            "rejects/reason",
        ]
        .map(|id| {
            (
                field(id)["dataType"].as_str().unwrap(),
                field(id)["repeated"] == true,
            )
        });
        assert_eq!(
            types,
            [
                ("sc:Float", false),
                ("sc:Boolean", false),
                ("sc:Integer", true),
                ("sc:Text", false)
            ]
        );
        let messages = field("prompts/messages");
        assert!(messages["repeated"] == true && messages.get("source").is_none());
        assert_eq!(
            field("prompts/messages/content")["source"],
            json!({
                "fileSet": {"@id": "prompt-files"},
                "extract": {"column": "messages"},
                "transform": {"jsonPath": "content"},
            })
        );
        assert_eq!(
            field("items/title")["source"],
            json!({"fileObject": {"@id": "items.parquet"}, "extract": {"column": "title"}})
        );
    }
}
