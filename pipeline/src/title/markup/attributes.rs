//! What stands in a tag after its name, read as HTML's tokenizer does.

use super::elements::FLAGS;

/// How many bytes a tag may have. One that goes on for longer is looked at no further, so that many of them take no time.
const LONGEST_TAG: usize = 4096;

/// What stands in a tag after its name.
pub(super) struct Attributes {
    /// Where the tag ends, after its `>`; nowhere where the text ends first.
    pub end: Option<usize>,
    /// There are none.
    pub none: bool,
    /// One has a value in quotes.
    pub quoted: bool,
    /// One has a value.
    pub valued: bool,
    /// A word without a value that would need one.
    pub bare: bool,
    /// `/` stands before the `>`.
    pub self_closing: bool,
}

impl Attributes {
    /// Reads them as HTML's tokenizer does, from `from` on, where the name ends. Nothing where that is no tag: the name goes on with
    /// another sign, or another `<` comes first.
    pub fn read(rest: &str, from: usize) -> Option<Self> {
        let bytes = &rest.as_bytes()[..rest.len().min(LONGEST_TAG)];
        let cut = bytes.len() < rest.len();
        let mut found = Attributes {
            end: None,
            none: true,
            quoted: false,
            valued: false,
            bare: false,
            self_closing: false,
        };
        let mut at = from;
        if bytes
            .get(at)
            .is_some_and(|sign| !is_blank(*sign) && !b"/>".contains(sign))
        {
            return None;
        }
        loop {
            at += count(&bytes[at..], |sign| is_blank(sign) || sign == b'/');
            match bytes.get(at) {
                None if cut => return None,
                None => return Some(found),
                Some(b'<') => return None,
                Some(b'>') => {
                    found.self_closing = bytes[at - 1] == b'/';
                    found.end = Some(at + 1);
                    return Some(found);
                }
                Some(_) => at = found.attribute(bytes, at)?,
            }
        }
    }

    /// Reads one attribute and says where it ends.
    fn attribute(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        self.none = false;
        // A `=` at the beginning is part of the name.
        let name = 1 + count(&bytes[from + 1..], |sign| {
            !is_blank(sign) && !b"/>=<".contains(&sign)
        });
        let mut at = from + name;
        let blanks = count(&bytes[at..], is_blank);
        if bytes.get(at + blanks) != Some(&b'=') {
            let flag = |flag: &str| flag.as_bytes().eq_ignore_ascii_case(&bytes[from..at]);
            self.bare |= !FLAGS.iter().any(|name| flag(name));
            return Some(at);
        }
        at += blanks + 1;
        at += count(&bytes[at..], is_blank);
        self.valued = true;
        match bytes.get(at) {
            Some(quote @ (b'"' | b'\'')) => {
                self.quoted = true;
                let length = count(&bytes[at + 1..], |sign| sign != *quote);
                Some((at + 1 + length + 1).min(bytes.len()))
            }
            _ => Some(at + count(&bytes[at..], |sign| !is_blank(sign) && sign != b'>')),
        }
    }
}

fn count(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|sign| !is(*sign)).unwrap_or(bytes.len())
}

fn is_blank(sign: u8) -> bool {
    sign.is_ascii_whitespace()
}
