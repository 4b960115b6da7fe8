//! RecBole's atomic files, with a good header and with any.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::{Part, Set, choose};

const INTER: &[u8] = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n";
const ITEM: &[u8] = b"item_id:token\ttitle:token_seq\tcategories:token_seq\n";

static SETS: LazyLock<[Set; 4]> = LazyLock::new(|| {
    let set = |inter, item, part| Set::new("recbole", [("a.inter", inter), ("a.item", item)], part, "");
    [
        set(INTER, ITEM, Part::Interactions),
        set(INTER, ITEM, Part::Items),
        set(b"", ITEM, Part::Interactions),
        set(INTER, b"", Part::Items),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    if let Some((set, lines)) = choose(&*SETS, bytes) {
        set.read(lines, false);
    }
});
