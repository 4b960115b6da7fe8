//! The Python-literal parser alone, whole values against single keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::raw::python_literal::{Value, parse, parse_keys};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    let keys = parse_keys(bytes, ["asin", "title", "a"]);
    // Whoever reads the whole dict and whoever skips most of it must agree on what the keys hold.
    if let (Ok(Value::Dict(pairs)), Ok(found)) = (&whole, &keys) {
        for (name, value) in ["asin", "title", "a"].iter().zip(found) {
            let last = pairs.iter().rev().find(|(key, _)| key.as_text() == Some(name));
            let (ours, theirs) = (
                format!("{value:?}"),
                format!("{:?}", last.map(|(_, value)| value)),
            );
            assert_eq!(ours, theirs, "{name}");
        }
    }
    if let Ok(found) = whole {
        // A dict that can be read whole can be read by keys.
        assert_eq!(matches!(found, Value::Dict(_)), keys.is_ok(), "{keys:?}");
    }
});
