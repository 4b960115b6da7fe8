//! Ways to write times, and times.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::calendar;

fuzz_target!(|text: &str| {
    let (format, time) = text.split_once('\n').unwrap_or(("iso", text));
    for format in [format, "iso", "%a %b %d %H:%M:%S %z %Y", "%d/%m/%Y %H:%M"] {
        calendar(format, time);
    }
});
