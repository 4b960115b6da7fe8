//! HTML within titles: what is markup goes, what only looks like it stays.
//!
//! A crawler leaves whole tags, and tags that a limit of length cut in two. People write `A<B`, `List<String>` and `I <3 you`. So `<` begins
//! a tag only as HTML's tokenizer has it (a letter follows at once, and space, `/` or `>` follow the name) and only where the name is
//! that of an element, or attributes with quotes leave no doubt.

use std::borrow::Cow;

/// HTML's elements, those that are out of use as well, and the one that Word adds; in the order of their names.
const ELEMENTS: [&str; 133] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "applet",
    "area",
    "article",
    "aside",
    "audio",
    "b",
    "base",
    "basefont",
    "bdi",
    "bdo",
    "bgsound",
    "big",
    "blink",
    "blockquote",
    "body",
    "br",
    "button",
    "canvas",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "data",
    "datalist",
    "dd",
    "del",
    "details",
    "dfn",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "em",
    "embed",
    "fieldset",
    "figcaption",
    "figure",
    "font",
    "footer",
    "form",
    "frame",
    "frameset",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hgroup",
    "hr",
    "html",
    "i",
    "iframe",
    "img",
    "input",
    "ins",
    "kbd",
    "label",
    "legend",
    "li",
    "link",
    "main",
    "map",
    "mark",
    "marquee",
    "menu",
    "meta",
    "meter",
    "nav",
    "nobr",
    "noframes",
    "noscript",
    "o:p",
    "object",
    "ol",
    "optgroup",
    "option",
    "output",
    "p",
    "param",
    "picture",
    "plaintext",
    "pre",
    "progress",
    "q",
    "rp",
    "rt",
    "ruby",
    "s",
    "samp",
    "script",
    "search",
    "section",
    "select",
    "slot",
    "small",
    "source",
    "span",
    "strike",
    "strong",
    "style",
    "sub",
    "summary",
    "sup",
    "svg",
    "table",
    "tbody",
    "td",
    "template",
    "textarea",
    "tfoot",
    "th",
    "thead",
    "time",
    "title",
    "tr",
    "track",
    "tt",
    "u",
    "ul",
    "var",
    "video",
    "wbr",
    "xmp",
];

/// Attributes that mean something without a value.
const FLAGS: [&str; 24] = [
    "allowfullscreen",
    "async",
    "autofocus",
    "autoplay",
    "checked",
    "compact",
    "controls",
    "default",
    "defer",
    "disabled",
    "hidden",
    "ismap",
    "loop",
    "multiple",
    "muted",
    "nohref",
    "noresize",
    "noshade",
    "novalidate",
    "nowrap",
    "open",
    "readonly",
    "required",
    "selected",
];

/// Elements whose text is no title: programs and style sheets that a crawler took for one.
const CODE: [&str; 2] = ["script", "style"];

/// Elements that stand within a word (`H<sub>2</sub>O`); any other may stand between two.
const WITHIN_WORDS: [&str; 3] = ["sub", "sup", "wbr"];

/// How many bytes a tag may have. One that goes on for longer is looked at no further, so that many of them take no time.
const LONGEST_TAG: usize = 4096;

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

/// What stands in a tag after its name.
struct Attributes {
    /// Where the tag ends, after its `>`; nowhere where the text ends first.
    end: Option<usize>,
    /// There are none.
    none: bool,
    /// One has a value in quotes.
    quoted: bool,
    /// One has a value.
    valued: bool,
    /// A word without a value that would need one.
    bare: bool,
    /// `/` stands before the `>`.
    self_closing: bool,
}

impl Attributes {
    /// Reads them as HTML's tokenizer does, from `from` on, where the name ends. Nothing where that is no tag: the name goes on with
    /// another sign, or another `<` comes first.
    fn read(rest: &str, from: usize) -> Option<Self> {
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

/// The name of a tag at the beginning of a text.
fn name(text: &str) -> &str {
    let part = |sign: char| sign.is_ascii_alphanumeric() || sign == '-' || sign == ':';
    text.find(|sign| !part(sign)).map_or(text, |end| &text[..end])
}

fn is_element(name: &str) -> bool {
    is_one_of(&ELEMENTS, name)
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
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
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        without(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_list_of_elements_is_in_order() {
        assert!(ELEMENTS.is_sorted() && FLAGS.is_sorted());
    }

    #[test]
    fn what_only_looks_like_a_tag_stays() {
        for text in [
            "Pressure A<B test kit",
            "List<String> in Java",
            "List<Object> and Map<Data, Label>",
            "Map<K, V>",
            "Option<A> and a<b>c",
            "std::vector<std::string>",
            "I <3 You",
            "a < b",
            "x<y>z",
            "a<b and c>d",
            "5<x<10",
            "<-- this way -->",
            "Coder's Mug </>",
            "Left <> Right /> End",
            "A<B x=1 test",
            "Cable <table lamp",
            "<<Brand>> Lamp",
            "<NA>",
            "End </String> of",
            "<!> Beware",
            "<?> Riddle",
            "<",
            "</3",
        ] {
            assert_eq!(of(text), text);
            assert_eq!(without(text).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn tags_go_whole_or_cut_off() {
        for (text, left) in [
            (
                "<b>Bold</b> Move<br/>Two<BR>Three<br />Four",
                "Bold Move Two Three Four",
            ),
            ("<span class=\"a-size-medium a-color-secondary\"", ""),
            ("Lamp <span class=\"a-size", "Lamp"),
            ("Lamp <span class='a b'>red</span", "Lamp red"),
            ("Lamp <a href=x.html target=_blank>here</a>", "Lamp here"),
            ("Lamp <img src=/a.png alt>", "Lamp"),
            ("Lamp <input disabled>", "Lamp"),
            ("Lamp<br", "Lamp"),
            ("Lamp <div ", "Lamp"),
            ("Lamp </", "Lamp"),
            ("Lamp</spa", "Lamp"),
            ("Lamp <p>Red<p>Blue", "Lamp Red Blue"),
            ("Lamp<p>Red", "Lamp Red"),
            ("<Strong>Lamp</Strong><Br/>Red", "Lamp Red"),
            ("bold<b>Lamp</b>", "bold Lamp"),
            ("<a-price data-x=\"1\">Lamp</a>", "Lamp"),
            ("<o:p></o:p>Lamp", "Lamp"),
            ("<!-- hidden --> Lamp <!-- cut off", "Lamp"),
            ("<!DOCTYPE html><html><title>Lamp</title></html>", "Lamp"),
            ("<?xml version=\"1.0\"?>Lamp", "Lamp"),
            ("<![CDATA[Lamp]]>", "Lamp"),
            ("H<sub>2</sub>O Lamp<sup>2</sup>", "H2O Lamp2"),
            ("Magazines\" /> Lamp", "Lamp"),
            ("<a title=\"a > b\">Lamp</a>", "Lamp"),
            ("2<3 <b>Lamp</b> 3>2", "2<3 Lamp 3>2"),
        ] {
            assert_eq!(of(text), left, "{text}");
        }
    }

    #[test]
    fn programs_go_with_their_tags_and_titles_about_tags_do_not() {
        for (text, left) in [
            ("<script>var a = 1;</script>Lamp", "Lamp"),
            ("<SCRIPT type=\"text/x\">if (a</b) c</Script >Lamp", "Lamp"),
            ("<style type=\"text/css\">.a { b: c }", ""),
            ("The <style> Tag Explained", "The Tag Explained"),
        ] {
            assert_eq!(of(text), left, "{text}");
        }
    }

    #[test]
    fn many_signs_take_no_time() {
        let start = std::time::Instant::now();
        for piece in [
            "<b ",
            "<b a=\"",
            "<b a='\"",
            "</",
            "<!--",
            "<script>",
            "<script>;</",
            "<",
            "\"/>",
            "<span x",
        ] {
            let _ = without(&piece.repeat(60_000 / piece.len()));
        }
        assert!(start.elapsed().as_secs() < 20);
    }
}
