//! Articles that stand at the end, as libraries sort titles and MovieLens has them: `French Connection, The (1971)`.
//!
//! Other titles of the film follow in brackets and have theirs in the same way: `City of Lost Children, The (Cité des enfants perdus, La)`.

/// Articles by language, as they stand at the end of a title: with a capital.
const ARTICLES: [&[&str]; 11] = [
    // English, with what one film has for it
    &["The", "A", "An", "Da"],
    // French
    &["Le", "La", "Les", "L'", "L\u{2019}", "Un", "Une"],
    // Spanish
    &["El", "Los", "Las", "Lo", "Una", "Unos", "Unas"],
    // Italian
    &["Il", "Gli", "Gl'", "Uno"],
    // German
    &["Der", "Das", "Ein", "Eine"],
    // Dutch
    &["De", "Het", "Een"],
    // Scandinavian
    &["Den", "Det", "En", "Ett", "Et"],
    // Portuguese
    &["Os", "Um", "Uma"],
    // Hungarian
    &["Az", "Egy"],
    // Greek in Latin letters
    &["Ta", "Oi"],
    // Catalan
    &["Els"],
];

/// Articles of Italian, German, Portuguese and Greek that are words of English too. Behind another comma they are likelier that
/// (`Eat, Sleep, Die`).
const WORDS: [&str; 5] = ["I", "Die", "O", "As", "To"];

/// What introduces another title in brackets.
const INTRODUCTIONS: [&str; 3] = ["a.k.a. ", "aka ", "AKA "];

/// The title with its articles in front, and those of the titles in its brackets; nothing where none is at an end.
pub fn in_front(title: &str) -> Option<String> {
    if !title.contains(", ") {
        return None;
    }
    let mut out = String::with_capacity(title.len());
    let mut moved = false;
    let mut depth = 0_u32;
    for piece in title.split_inclusive(['(', ')']) {
        let text = piece.trim_end_matches(['(', ')']);
        // Where the title goes on after brackets (`(500) Days of Summer, The`) the article belongs before all of it.
        let start = if depth == 0 { 0 } else { out.len() };
        let found = trailing(text).or_else(|| before_colon(text));
        let is_title =
            |rest: &str| rest.contains(char::is_alphanumeric) || out[start..].contains(char::is_alphanumeric);
        if let Some((rest, article, after)) = found.filter(|(rest, _, _)| is_title(rest)) {
            moved = true;
            let introduction = INTRODUCTIONS.iter().find(|begin| rest.starts_with(**begin));
            let (introduction, rest) = rest.split_at(introduction.map_or(0, |begin| begin.len()));
            let between = if article.ends_with(['\'', '\u{2019}']) {
                ""
            } else {
                " "
            };
            out.insert_str(start, &format!("{introduction}{article}{between}"));
            out.push_str(rest);
            out.push_str(after);
        } else {
            out.push_str(text);
        }
        out.push_str(&piece[text.len()..]);
        match piece.chars().next_back() {
            Some('(') => depth += 1,
            Some(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    moved.then_some(out)
}

/// A text without an article at its end, which a cut can leave there of what followed it.
pub fn without_hanging(text: &str) -> &str {
    let found = trailing(text).filter(|(rest, _, _)| rest.contains(char::is_alphanumeric));
    found.map_or(text, |(rest, _, _)| rest)
}

/// What stands before a comma and an article at the end, that article, and the space after it.
fn trailing(text: &str) -> Option<(&str, &str, &str)> {
    let (text, after) = text.split_at(text.trim_end().len());
    let (rest, article) = text.rsplit_once(", ")?;
    let known = WORDS.contains(&article) && !rest.contains(", ")
        || ARTICLES.iter().any(|language| language.contains(&article));
    known.then_some((rest, article, after))
}

/// The same before the first colon: `Librarian, The: The Curse of the Judas Chalice`.
fn before_colon(text: &str) -> Option<(&str, &str, &str)> {
    let (title, article, _) = trailing(&text[..text.find(": ")?])?;
    let after = title.len() + ", ".len() + article.len();
    Some((title, article, &text[after..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_article_at_the_end_goes_to_the_front() {
        for (title, moved) in [
            ("French Connection, The (1971)", "The French Connection (1971)"),
            ("French Connection, The", "The French Connection"),
            (
                "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
                "The City of Lost Children (La Cité des enfants perdus) (1995)",
            ),
            ("Misérables, Les (1995)", "Les Misérables (1995)"),
            ("Bamba, La", "La Bamba"),
            ("Enfer, L' (1994)", "L'Enfer (1994)"),
            (
                "Eclisse, L\u{2019} (Eclipse) (1962)",
                "L\u{2019}Eclisse (Eclipse) (1962)",
            ),
            ("Boot, Das (Boat, The) (1981)", "Das Boot (The Boat) (1981)"),
            (
                "Good, the Bad and the Ugly, The (Buono, il brutto, il cattivo, Il) (1966)",
                "The Good, the Bad and the Ugly (Il Buono, il brutto, il cattivo) (1966)",
            ),
            (
                "Macbeth (a.k.a. Tragedy of Macbeth, The) (1971)",
                "Macbeth (a.k.a. The Tragedy of Macbeth) (1971)",
            ),
            ("Vitelloni, I (1953)", "I Vitelloni (1953)"),
            (
                "Wonderful, Horrible Life of Leni Riefenstahl, The (Macht der Bilder: Leni Riefenstahl, Die) (1993)",
                "The Wonderful, Horrible Life of Leni Riefenstahl (Die Macht der Bilder: Leni Riefenstahl) (1993)",
            ),
            (
                "(500) Days of Summer, The (2009)",
                "The (500) Days of Summer (2009)",
            ),
            (
                "Human Centipede II (Full Sequence), The (2011)",
                "The Human Centipede II (Full Sequence) (2011)",
            ),
            (
                "Lord of the Rings: The Two Towers, The (2002)",
                "The Lord of the Rings: The Two Towers (2002)",
            ),
            ("Da Vinci Code, The (2006)", "The Da Vinci Code (2006)"),
            ("Las Vegas Story, The (1952)", "The Las Vegas Story (1952)"),
            (
                "Librarian, The: The Curse (2008)",
                "The Librarian: The Curse (2008)",
            ),
            (
                "Land Before Time III, The (1995) (V)",
                "The Land Before Time III (1995) (V)",
            ),
        ] {
            assert_eq!(in_front(title).as_deref(), Some(moved), "{title}");
            assert_eq!(in_front(moved), None, "{moved}");
        }
    }

    #[test]
    fn other_commas_mean_something_else() {
        for title in [
            "Me, Myself & Irene (2000)",
            "I, Robot (2004)",
            "Crazy, Stupid, Love. (2011)",
            "Monsters, Inc. (2001)",
            "Paris, Texas (1984)",
            "Lust, Caution (Se, jie) (2007)",
            "Eat, Sleep, Die (2012)",
            "What's Up, Doc? (1972)",
            "Tale of Jamón, Jamón",
            "Oak chair, the best",
            ", The",
            "(, A) (1990)",
            "Vitamins A, C, E",
        ] {
            assert_eq!(in_front(title), None, "{title}");
        }
    }

    #[test]
    fn brackets_that_do_not_match_are_kept() {
        assert_eq!(in_front("Foo) (Bar, The").as_deref(), Some("Foo) (The Bar"));
        assert_eq!(in_front("Foo, The (Bar").as_deref(), Some("The Foo (Bar"));
        assert_eq!(in_front("((Foo, The)), A").as_deref(), Some("A ((The Foo))"));
    }
}
