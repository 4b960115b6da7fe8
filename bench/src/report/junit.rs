//! Checks as JUnit XML, the layout that CI services show as test results.
//!
//! ```text
//! testsuites (name, tests, failures, errors, skipped)
//!   testsuite (the same), one a study
//!     testcase (name, classname)
//!       failure (message, type) with text, or skipped (message), or nothing
//! ```
//! No times are written: a check takes none, and the same report gives the same file.

use std::fmt::Write;

/// Suites of test cases.
#[derive(Clone, Debug, Default)]
pub struct Suites {
    name: String,
    suites: Vec<(String, Vec<Case>)>,
}

/// A test case.
#[derive(Clone, Debug)]
pub struct Case {
    name: String,
    outcome: Outcome,
}

/// What came of a test case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed {
        /// In a line.
        message: String,
        /// With all there is to say.
        text: String,
    },
    /// It could not be looked at, for this reason.
    Skipped(String),
}

impl Case {
    /// A case by its name.
    pub fn new(name: &str, outcome: Outcome) -> Self {
        Case {
            name: name.to_owned(),
            outcome,
        }
    }
}

#[derive(Default)]
struct Counts {
    tests: usize,
    failures: usize,
    skipped: usize,
}

impl Counts {
    fn of<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Self {
        let mut counts = Counts::default();
        for case in cases {
            counts.tests += 1;
            match case.outcome {
                Outcome::Passed => {}
                Outcome::Failed { .. } => counts.failures += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
            }
        }
        counts
    }

    fn attributes(&self) -> String {
        format!(
            "tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\"",
            self.tests, self.failures, self.skipped
        )
    }
}

impl Suites {
    /// None yet, under a name for all.
    pub fn new(name: &str) -> Self {
        Suites {
            name: name.to_owned(),
            suites: Vec::new(),
        }
    }

    /// Adds a case to the suite of this name, which begins with its first case.
    pub fn add(&mut self, suite: &str, case: Case) {
        match self.suites.iter_mut().find(|(name, _)| name == suite) {
            Some((_, cases)) => cases.push(case),
            None => self.suites.push((suite.to_owned(), vec![case])),
        }
    }

    /// The document.
    pub fn xml(&self) -> String {
        let all = Counts::of(self.suites.iter().flat_map(|(_, cases)| cases));
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        // Writing into a string never fails.
        let _ = writeln!(
            xml,
            "<testsuites name=\"{}\" {}>",
            escaped(&self.name),
            all.attributes()
        );
        for (name, cases) in &self.suites {
            let suite = escaped(name);
            let counts = Counts::of(cases).attributes();
            let _ = writeln!(xml, "  <testsuite name=\"{suite}\" {counts}>");
            for case in cases {
                let _ = writeln!(xml, "    {}", case.xml(&suite));
            }
            xml.push_str("  </testsuite>\n");
        }
        xml.push_str("</testsuites>\n");
        xml
    }
}

impl Case {
    fn xml(&self, suite: &str) -> String {
        let open = format!("<testcase name=\"{}\" classname=\"{suite}\"", escaped(&self.name));
        match &self.outcome {
            Outcome::Passed => format!("{open}/>"),
            Outcome::Failed { message, text } => format!(
                "{open}><failure message=\"{}\" type=\"gate\">{}</failure></testcase>",
                escaped(message),
                escaped(text)
            ),
            Outcome::Skipped(why) => {
                format!("{open}><skipped message=\"{}\"/></testcase>", escaped(why))
            }
        }
    }
}

/// A text as it may stand in an attribute or between tags. What XML has no way to write (most control characters) becomes the sign for an
/// unknown character, and line ends and tabs are written so that a reader of attributes keeps them.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(safe, "&#{};", character as u32);
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// An element as a reader of XML sees it.
    #[derive(Debug, Default, PartialEq)]
    struct Element {
        name: String,
        attributes: Vec<(String, String)>,
        text: String,
        children: Vec<Element>,
    }

    impl Element {
        fn get(&self, key: &str) -> &str {
            let found = self.attributes.iter().find(|(name, _)| name == key);
            &found.unwrap_or_else(|| panic!("{} has no {key}", self.name)).1
        }
    }

    fn plain(text: &str) -> String {
        assert!(!text.contains(['<', '"']), "not escaped: {text}");
        let text = text.replace("&lt;", "<").replace("&gt;", ">");
        let text = text.replace("&quot;", "\"").replace("&apos;", "'");
        let text = text
            .replace("&#9;", "\t")
            .replace("&#10;", "\n")
            .replace("&#13;", "\r");
        text.replace("&amp;", "&")
    }

    /// Reads one element and what is in it; well-formed XML without comments and such, or a panic.
    fn element(rest: &mut &str) -> Element {
        let (tag, after) = rest.strip_prefix('<').unwrap().split_once('>').unwrap();
        *rest = after;
        let (tag, empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut found = Element {
            name: name.to_owned(),
            ..Element::default()
        };
        while !attributes.trim().is_empty() {
            let (key, value) = attributes.trim_start().split_once("=\"").unwrap();
            let (value, more) = value.split_once('"').unwrap();
            assert!(
                found.attributes.iter().all(|(name, _)| name != key),
                "{key} is there twice"
            );
            found.attributes.push((key.to_owned(), plain(value)));
            attributes = more;
        }
        if empty {
            return found;
        }
        loop {
            let (text, _) = rest.split_once('<').unwrap();
            found.text.push_str(&plain(text));
            *rest = &rest[text.len()..];
            match rest.strip_prefix(&format!("</{name}>")) {
                Some(after) => {
                    *rest = after;
                    return found;
                }
                None => found.children.push(element(rest)),
            }
        }
    }

    fn read(xml: &str) -> Element {
        let mut rest = xml
            .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
            .unwrap();
        let root = element(&mut rest);
        assert_eq!(rest, "\n", "something follows the root");
        root
    }

    fn some() -> Suites {
        let mut suites = Suites::new("gate");
        suites.add("films", Case::new("a → b, soup", Outcome::Passed));
        let failed = Outcome::Failed {
            message: "p < .05 & \"shown\"".into(),
            text: "two\nlines".into(),
        };
        suites.add("films & <shops>", Case::new("it's\ta row", failed));
        suites.add(
            "films",
            Case::new("c", Outcome::Skipped("other\u{1} candidates".into())),
        );
        suites
    }

    #[test]
    fn a_document_has_what_its_readers_look_for() {
        let root = read(&some().xml());
        assert_eq!(root.name, "testsuites");
        let counts =
            |of: &Element| ["tests", "failures", "errors", "skipped"].map(|key| of.get(key).to_owned());
        assert_eq!(counts(&root), ["3", "1", "0", "1"]);
        let [films, shops] = root.children.as_slice() else {
            panic!("{root:?}")
        };
        assert_eq!(counts(films), ["2", "0", "0", "1"]);
        assert_eq!((films.get("name"), films.children.len()), ("films", 2));
        assert_eq!(shops.get("name"), "films & <shops>");
        let names = films
            .children
            .iter()
            .map(|case| (case.name.as_str(), case.get("name")));
        assert_eq!(
            names.collect::<Vec<_>>(),
            [("testcase", "a → b, soup"), ("testcase", "c")]
        );
        assert!(films.children[0].children.is_empty());
        let skipped = &films.children[1].children[0];
        assert_eq!(
            (skipped.name.as_str(), skipped.get("message")),
            ("skipped", "other\u{fffd} candidates")
        );
        let case = &shops.children[0];
        assert_eq!(
            (case.get("name"), case.get("classname")),
            ("it's\ta row", "films & <shops>")
        );
        let failure = &case.children[0];
        assert_eq!(
            (
                failure.name.as_str(),
                failure.get("message"),
                failure.text.as_str()
            ),
            ("failure", "p < .05 & \"shown\"", "two\nlines")
        );
    }

    #[test]
    fn nothing_checked_is_a_document_too() {
        let root = read(&Suites::new("gate").xml());
        assert_eq!((root.get("tests"), root.children.len()), ("0", 0));
    }
}
