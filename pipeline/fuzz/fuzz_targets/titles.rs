//! Titles, by rules that the first byte chooses: one bounded line without a separator, which cleaning leaves as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weaverec_pipeline_fuzz::schema::TITLE_SEPARATOR;
use weaverec_pipeline_fuzz::title::Rules;

fuzz_target!(|input: (u8, &str)| {
    let (choice, raw) = input;
    let rules = Rules {
        leading_articles: choice & 1 == 1,
        repair: choice & 2 == 2,
        ..Rules::new(usize::from(choice >> 2) + 1)
    };
    let found = rules.clean(raw);
    assert!(!found.marks.repaired || found.marks.mojibake);
    let Some(title) = found.text else { return };
    assert!(!found.marks.spelled_missing);
    assert!(title.chars().count() <= rules.max_chars, "{title:?}");
    assert!(!title.contains(TITLE_SEPARATOR) && !title.contains(char::is_control), "{title:?}");
    assert_eq!(title.trim(), title);
    assert_eq!(rules.clean(&title).text.as_ref(), Some(&title));
});
