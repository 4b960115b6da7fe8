//! One spelling for the settings that `config.json` has under several names: transformers renamed some, writes others twice for older
//! readers, and writes `null` for what it has a default for.
//!
//! A setting that stands there twice is read where both say the same and refused where they do not: which one the weights were made with
//! cannot be known.

use serde_json::{Map, Value};

/// Settings under an older or inner name, and the name that is read here.
const RENAMED: [(&str, &str); 2] = [
    ("dtype", "torch_dtype"),
    ("_sliding_window_pattern", "sliding_window_pattern"),
];

/// Where transformers 5 has the rotary settings, and the types of layers that they may be for.
const ROPE: &str = "rope_parameters";
const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

/// The settings without `null`, each under one name, and all rotary ones under `rope_parameters`, by type of layer.
///
/// # Errors
/// Two names of one setting with different values.
pub(super) fn unified(settings: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let mut settings = without_nulls(settings);
    for (name, read) in RENAMED {
        if let Some(value) = settings.remove(name) {
            put(&mut settings, read, value, [read, name])?;
        }
    }
    let mut full = Map::new();
    let mut sliding = Map::new();
    for key in ["rope_scaling", ROPE] {
        let Some(value) = settings.remove(key) else {
            continue;
        };
        let Value::Object(value) = value else {
            return Err(format!("{key} is {value}, where a table of settings is expected"));
        };
        for (kind, found) in by_layer(key, value)? {
            let all = if kind == SLIDING { &mut sliding } else { &mut full };
            for (name, value) in typed(key, found)? {
                let names = [&format!("rope_scaling.{name}"), &format!("{ROPE}.{name}")];
                put(all, &name, value, names.map(String::as_str))?;
            }
        }
    }
    // Transformers 4 has these beside the table.
    let llama3 = full.get("rope_type").and_then(Value::as_str) == Some("llama3");
    let outside = [
        ("rope_theta", &mut full, "rope_theta"),
        ("rope_local_base_freq", &mut sliding, "rope_theta"),
    ];
    for (name, table, inside) in outside {
        move_in(&mut settings, name, table, inside)?;
    }
    move_in(
        &mut settings,
        "partial_rotary_factor",
        &mut full,
        "partial_rotary_factor",
    )?;
    if llama3 {
        let name = "original_max_position_embeddings";
        move_in(&mut settings, name, &mut full, name)?;
    }
    let mut tables = Map::new();
    for (kind, table) in [(FULL, full), (SLIDING, sliding)] {
        if !table.is_empty() {
            tables.insert(kind.into(), table.into());
        }
    }
    if !tables.is_empty() {
        settings.insert(ROPE.into(), tables.into());
    }
    Ok(settings)
}

fn move_in(
    settings: &mut Map<String, Value>,
    name: &str,
    table: &mut Map<String, Value>,
    inside: &str,
) -> Result<(), String> {
    match settings.remove(name) {
        None => Ok(()),
        Some(value) => put(table, inside, value, [&format!("{ROPE}.{inside}"), name]),
    }
}

/// Rotary settings by the type of layer.
type ByLayer = Vec<(&'static str, Map<String, Value>)>;

/// The rotary settings by the type of the layers they are for; those without a type are for layers that see all positions.
fn by_layer(key: &str, settings: Map<String, Value>) -> Result<ByLayer, String> {
    if !settings.values().any(Value::is_object) {
        return Ok(vec![(FULL, settings)]);
    }
    let table = |(name, value): (String, Value)| match (name.as_str(), value) {
        (FULL, Value::Object(table)) => Ok((FULL, table)),
        (SLIDING, Value::Object(table)) => Ok((SLIDING, table)),
        (_, value) => Err(format!(
            "{key}.{name} is {value}: beside settings by type of layer, for \"{FULL}\" and \"{SLIDING}\", no other is implemented"
        )),
    };
    settings.into_iter().map(table).collect()
}

/// Rotary settings whose type is called `rope_type`, as it has been since transformers 4.44, and not `type` as before.
fn typed(key: &str, mut settings: Map<String, Value>) -> Result<Map<String, Value>, String> {
    if let Some(value) = settings.remove("type") {
        let names = [&format!("{key}.rope_type"), &format!("{key}.type")];
        put(&mut settings, "rope_type", value, names.map(String::as_str))?;
    }
    Ok(settings)
}

/// Puts a setting into a table; `names` are what the one that is there and the new one are called.
fn put(table: &mut Map<String, Value>, name: &str, value: Value, names: [&str; 2]) -> Result<(), String> {
    match table.get(name) {
        Some(other) if !is_same(other, &value) => {
            let [first, second] = names;
            Err(format!(
                "{first} is {other} and {second} is {value}, which are two names of one setting; keep the one that the model was trained with"
            ))
        }
        Some(_) => Ok(()),
        None => {
            table.insert(name.into(), value);
            Ok(())
        }
    }
}

fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => {
            a.trim_start_matches("torch.") == b.trim_start_matches("torch.")
        }
        _ => a == b,
    }
}

fn without_nulls(settings: Map<String, Value>) -> Map<String, Value> {
    let kept = settings.into_iter().filter(|(_, value)| !value.is_null());
    kept.map(|(name, value)| match value {
        Value::Object(inner) => (name, Value::Object(without_nulls(inner))),
        other => (name, other),
    })
    .collect()
}
