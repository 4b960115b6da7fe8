//! HTML within titles: what is markup goes, what only looks like it stays.
//!
//! A crawler leaves whole tags, and tags that a limit of length cut in two. People write `A<B`, `List<String>` and `I <3 you`. So `<` begins
//! a tag only as HTML's tokenizer has it (a letter follows at once, and space, `/` or `>` follow the name) and only where the name is
//! that of an element, or attributes with quotes leave no doubt.

mod attributes;
mod elements;

use std::borrow::Cow;

use attributes::Attributes;
use elements::{CODE, ELEMENTS, WITHIN_WORDS, is_element, is_one_of};

/// Takes markup out, and puts a space in its place where two words may have met.
pub fn without(text: &str) -> Cow<'_, str> {
    if !text.contains('<') {
        return without_tail(text);
    }
    let text = if text.contains(CDATA) {
        Cow::Owned(text.replace(CDATA, " ").replace("]]>", " "))
    } else {
        Cow::Borrowed(text)
    };
    let mut out = String::new();
    let (mut copied, mut from) = (0, 0);
    while let Some(at) = text[from..].find('<').map(|at| at + from) {
        let Some(markup) = markup(&text, at) else {
            from = at + 1;
            continue;
        };
        out.push_str(&text[copied..at]);
        if !markup.within_word {
            out.push(' ');
        }
        (copied, from) = (at + markup.length, at + markup.length);
    }
    if copied > 0 {
        out.push_str(&text[copied..]);
        return Cow::Owned(without_tail(&out).into_owned());
    }
    match text {
        Cow::Borrowed(text) => without_tail(text),
        Cow::Owned(text) => Cow::Owned(without_tail(&text).into_owned()),
    }
}

/// What encloses text in XML, as feeds have it.
const CDATA: &str = "<![CDATA[";

/// The tail of a tag whose beginning is lost (`Magazines" />`): what stands before it was an attribute.
fn without_tail(text: &str) -> Cow<'_, str> {
    let quoted = |at: &usize| text[..*at].trim_end().ends_with(['"', '\'']);
    let tail = text.match_indices("/>").map(|(at, _)| at).filter(quoted).last();
    Cow::Borrowed(tail.map_or(text, |at| &text[at + 2..]))
}

/// Markup that begins at some `<`.
struct Markup {
    /// Bytes of it, the text of a program included.
    length: usize,
    within_word: bool,
}

/// The markup at `at`, where a `<` stands, if it is markup.
fn markup(text: &str, at: usize) -> Option<Markup> {
    let rest = &text[at..];
    let found = |length| {
        Some(Markup {
            length,
            within_word: false,
        })
    };
    let until = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    match rest.as_bytes().get(1)? {
        b'!' if rest.starts_with("<!--") => found(until("-->")),
        b'!' if begins(&rest[2..], "doctype") => found(until(">")),
        b'?' if begins(&rest[2..], "xml") || begins(&rest[2..], "php") => found(until(">")),
        b'/' => end_tag(rest),
        letter if letter.is_ascii_alphabetic() => {
            let glued = text[..at].ends_with(|before: char| before.is_alphanumeric());
            start_tag(rest, glued)
        }
        _ => None,
    }
}

fn end_tag(rest: &str) -> Option<Markup> {
    let name = name(&rest[2..]);
    let after = rest[2 + name.len()..].trim_start();
    let found = |length| Markup {
        length,
        within_word: is_one_of(&WITHIN_WORDS, name),
    };
    if after.is_empty() {
        // Cut off, maybe within the name.
        let begun = ELEMENTS.iter().any(|element| begins(element, name));
        return begun.then(|| found(rest.len()));
    }
    (after.starts_with('>') && is_element(name)).then(|| found(rest.len() - after.len() + 1))
}

fn start_tag(rest: &str, glued: bool) -> Option<Markup> {
    let name = name(&rest[1..]);
    let known = is_element(name);
    let attributes = Attributes::read(rest, 1 + name.len())?;
    let closes = || {
        let ends = |(at, _): &(usize, &str)| begins(&rest[at + 2..], name);
        rest.match_indices("</").find(ends).map(|(at, _)| at)
    };
    let is_tag = match attributes.end {
        // An attribute in quotes is beyond doubt, whatever the name.
        _ if attributes.quoted => true,
        _ if !known => false,
        // Nobody writes tags in mixed case, but types have such names (`List<Object>`).
        Some(_) if !is_one_case(name) => attributes.self_closing || closes().is_some(),
        // A type as well, or a sum (`Option<A>`, `a<b>c`), unless it encloses something or a paragraph begins.
        Some(_) if name.len() == 1 && glued && attributes.none => {
            name.eq_ignore_ascii_case("p") || closes().is_some()
        }
        Some(_) => attributes.valued || !attributes.bare,
        // It is cut off. A name alone says too little if it is one letter (`A<B test kit`), and words after it are no attributes.
        None => name.len() > 1 && is_one_case(name) && (attributes.valued || attributes.none),
    };
    if !is_tag {
        return None;
    }
    let end = attributes.end.unwrap_or(rest.len());
    Some(Markup {
        length: if is_one_of(&CODE, name) {
            code(rest, end, name)
        } else {
            end
        },
        within_word: is_one_of(&WITHIN_WORDS, name),
    })
}

/// Where the text of a program or style sheet ends whose tag ends at `end`.
fn code(rest: &str, end: usize, name: &str) -> usize {
    let ends = |(at, _): &(usize, &str)| begins(&rest[end + at + 2..], name);
    match rest[end..].match_indices("</").find(ends) {
        Some((at, _)) => end + at,
        // Without its end: all of it, unless it is a title about the tag.
        None if rest[end..].contains(['{', '}', ';', '=']) => rest.len(),
        None => end,
    }
}

/// The name of a tag at the beginning of a text.
fn name(text: &str) -> &str {
    let part = |sign: char| sign.is_ascii_alphanumeric() || sign == '-' || sign == ':';
    text.find(|sign| !part(sign)).map_or(text, |end| &text[..end])
}

fn is_one_case(name: &str) -> bool {
    let has = |is: fn(&u8) -> bool| name.bytes().any(|sign| is(&sign));
    !(has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase))
}

/// Whether `text` begins with `with`, capitals or not.
fn begins(text: &str, with: &str) -> bool {
    let head = text.as_bytes().get(..with.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(with.as_bytes()))
}

#[cfg(test)]
mod tests;
