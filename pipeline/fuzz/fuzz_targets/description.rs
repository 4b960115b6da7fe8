//! Descriptions of data sets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::dataset::DatasetDescription;

fuzz_target!(|text: &str| {
    if let Ok(found) = DatasetDescription::parse(text, "t.toml") {
        let written = toml::to_string(&found).expect("a description can be written");
        let again = DatasetDescription::parse(&written, "t.toml").expect("what was written can be read");
        assert_eq!(found, again);
    }
});
