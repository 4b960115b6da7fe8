//! Whole titles through all rules.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use proptest::prelude::*;

use super::*;
use crate::schema::TITLE_SEPARATOR;

/// The rules of a MovieLens set, with repair.
fn all_rules(max_chars: usize) -> Rules {
    Rules {
        leading_articles: true,
        repair: true,
        ..Rules::new(max_chars)
    }
}

#[test]
fn layers_of_damage_come_off_together() {
    for (raw, cleaned) in [
        ("Salt &amp;amp; Pepper", "Salt & Pepper"),
        ("&lt;b&gt;Men&amp;#146;s&lt;/b&gt; Health", "Men\u{2019}s Health"),
        ("List&lt;String&gt; in Java", "List<String> in Java"),
        ("&am<wbr>p;Honey", "&Honey"),
        (
            "10 \u{f7} 2 \u{d7} 3 &divide; &times;",
            "10 \u{f7} 2 \u{d7} 3 \u{f7} \u{d7}",
        ),
        (
            "Cafe\u{301} A\u{30a}ngstro\u{308}m \u{212b}",
            "Caf\u{e9} \u{c5}ngstr\u{f6}m \u{c5}",
        ),
        ("Caf&#101;&#769;", "Caf\u{e9}"),
    ] {
        assert_eq!(clean(raw, 100).as_deref(), Some(cleaned), "{raw}");
    }
}

#[test]
fn mojibake_is_marked_and_put_right_on_request() {
    for (raw, left, right) in [
        (
            "Cit\u{c3}\u{a9} perdue",
            "Cit\u{c3}\u{a9} perdue",
            "Cit\u{e9} perdue",
        ),
        (
            "Easton&Acirc;&reg; Tote",
            "Easton\u{c2}\u{ae} Tote",
            "Easton\u{ae} Tote",
        ),
        ("don\u{e2}\u{80}\u{99}t", "don\u{e2} t", "don\u{2019}t"),
    ] {
        let found = Rules::new(100).clean(raw);
        assert_eq!(found.text.as_deref(), Some(left));
        assert!(found.marks.mojibake && !found.marks.repaired, "{raw}");
        let found = all_rules(100).clean(raw);
        assert_eq!(found.text.as_deref(), Some(right));
        assert!(found.marks.mojibake && found.marks.repaired, "{raw}");
    }
    assert_eq!(
        Rules::new(100)
            .clean("NESCAF\u{c9}\u{ae} \u{2013} 2\u{d7}\u{bd}")
            .marks,
        Marks::default()
    );
}

#[test]
fn a_title_that_says_there_is_none_is_none() {
    for raw in [
        "nan",
        " NaN ",
        "None",
        "null",
        "NULL",
        "\\N",
        "<NA>",
        "&lt;NA&gt;",
        "N/A",
        "#N/A",
        "<b>None</b>",
        "unknown",
    ] {
        let found = Rules::new(80).clean(raw);
        assert_eq!(found.text, None, "{raw}");
        assert!(found.marks.spelled_missing, "{raw}");
    }
    for raw in [
        "Nan",
        "Null",
        "none",
        "Unknown",
        "None of the Above",
        "Nullarbor",
        "NaN (2011)",
        "Naan",
    ] {
        assert_eq!(Rules::new(80).clean(raw).text.as_deref(), Some(raw));
    }
    // Nothing that can be read is no word for it.
    for raw in ["", "-", "<br>", "\u{3164}"] {
        let found = Rules::new(80).clean(raw);
        assert_eq!((found.text, found.marks), (None, Marks::default()), "{raw}");
    }
}

#[test]
fn articles_go_to_the_front_before_the_cut_and_none_is_left_hanging() {
    let moved = |raw: &str, max_chars| all_rules(max_chars).clean(raw);
    let found = moved("French Connection, The (1971)", 80);
    assert_eq!(found.text.as_deref(), Some("The French Connection (1971)"));
    assert!(found.marks.article_moved);
    assert_eq!(
        moved("French Connection, The (1971)", 15).text.as_deref(),
        Some("The French")
    );
    // What a cut leaves of `Long, A Story` is no article.
    assert_eq!(
        moved("Something Long, A Story", 18).text.as_deref(),
        Some("Something Long")
    );
    assert_eq!(
        clean("French Connection, The (1971)", 80).as_deref(),
        Some("French Connection, The (1971)")
    );
}

#[test]
fn marks_keep_their_letters() {
    for number in 0..16 {
        let letter = char::from(b'a' + number);
        assert_eq!(Marks::of_letter(letter).letter(), letter);
    }
}

#[test]
fn markup_is_removed_and_broken_markup_is_no_title() {
    assert_eq!(
        clean("<b>Bold</b> Move<br/>Two", 100).as_deref(),
        Some("Bold Move Two")
    );
    assert_eq!(
        clean("Weight < 5 oz, > 2 oz", 100).as_deref(),
        Some("Weight < 5 oz, > 2 oz")
    );
    for raw in [
        "<span class=\"a-size-medium a-color-secondary\"",
        "&lt;span class=&quot;a-size&quot;&gt;",
        " Magazines\" />",
        "<script>var aPageStart = 1;</script>",
        "<style type=\"text/css\">.a { b: c }",
        "",
        " \n ",
        "||",
        "--- !",
    ] {
        assert_eq!(clean(raw, 100), None, "{raw}");
    }
}

#[test]
fn long_titles_end_with_a_whole_word() {
    assert_eq!(
        clean("Organic Green Tea, 20 Bags", 18).as_deref(),
        Some("Organic Green Tea")
    );
    assert_eq!(clean("Organic Green Tea", 13).as_deref(), Some("Organic Green"));
    assert_eq!(clean("Donaudampfschiff", 5).as_deref(), Some("Donau"));
    assert_eq!(
        clean("\u{e9}\u{e9}\u{e9} \u{e9}\u{e9}\u{e9}", 4).as_deref(),
        Some("\u{e9}\u{e9}\u{e9}")
    );
}

fn titles() -> impl Strategy<Value = String> {
    let dirty = proptest::collection::vec(
        prop_oneof![
            Just("&amp;".to_string()),
            Just("&".to_string()),
            Just("lt;".to_string()),
            Just("#124;".to_string()),
            Just("|".to_string()),
            Just("<".to_string()),
            Just(">".to_string()),
            Just("b".to_string()),
            Just("</script".to_string()),
            Just("<style".to_string()),
            Just(" ".to_string()),
            Just("\n".to_string()),
            Just("\u{a0}".to_string()),
            Just(", ".to_string()),
            Just(", The".to_string()),
            Just("(a.k.a. ".to_string()),
            Just(")".to_string()),
            Just("<span a=\"".to_string()),
            Just("eacute".to_string()),
            Just("&#".to_string()),
            "[\u{c2}-\u{c5}\u{e2}][\u{80}-\u{bf}\u{2013}-\u{2026}\u{20ac}]{1,2}",
            "[\u{300}-\u{308}\u{200b}-\u{200f}\u{202a}-\u{202e}\u{fe0f}\u{ad}\u{1f469}\u{e0041}\u{e001}]",
            "[a-z]{1,6}",
            "\\PC{0,3}",
        ],
        0..25,
    );
    prop_oneof![dirty.prop_map(|parts| parts.concat()), any::<String>()]
}

proptest! {
    #[test]
    fn a_clean_title_is_one_bounded_line_and_stays_as_it_is(
        raw in titles(),
        max_chars in 1_usize..60,
        leading_articles: bool,
        repair: bool,
    ) {
        let rules = Rules { leading_articles, repair, ..Rules::new(max_chars) };
        if let Some(title) = rules.clean(&raw).text {
            prop_assert!(title.chars().count() <= max_chars);
            prop_assert!(!title.contains(TITLE_SEPARATOR));
            prop_assert!(!title.chars().any(char::is_control));
            let unseen = ['\u{200b}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{e0041}', '\u{e001}'];
            prop_assert!(!title.contains(unseen));
            prop_assert!(NFC.is_normalized(&title));
            prop_assert_eq!(title.trim(), &title);
            prop_assert!(!title.contains("  "));
            // Joined titles can be split again.
            prop_assert!(!title.starts_with('|') && !title.ends_with('|'));
            let again = rules.clean(&title).text;
            prop_assert_eq!(again.as_deref(), Some(title.as_str()));
        }
    }

    #[test]
    fn a_plain_title_is_cut_to_what_cleaning_gives(
        raw in "[!-%'-;=?-{}~]{1,6}( [!-%'-;=?-{}~]{1,6}){0,6}",
        max_chars in 1_usize..60,
    ) {
        prop_assert!(is_plain(&raw));
        let rules = Rules::new(max_chars);
        let pass = rules.pass(&raw, &mut Marks::default());
        prop_assert_eq!(rules.cut(&raw), pass);
    }
}
