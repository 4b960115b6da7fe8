//! The first line, which tells how many fields there are in each.

use std::borrow::Cow;

use super::{Dialect, quoted_field, split};
use crate::quote::shown;
use crate::raw::scan::Refusal;

/// The fields of the first line, which tell how many there are in each; there must be at least `needed`.
///
/// It may go on in the next line as any other. One that comes again alone, with a line end after it, does not.
pub(super) fn first(line: &str, dialect: Dialect, needed: usize) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let (text, alone) = match line.strip_suffix('\n') {
        Some(text) => (text, true),
        None => (line, false),
    };
    if dialect.separator == '\t' && dialect.escape.is_none() {
        return first_tabbed(text, alone, needed);
    }
    let strict = split(text, dialect, false);
    let fields = strict.or_else(|refusal| split(text, dialect, true).map_err(|_| refusal));
    fields.map_err(|refusal| match refusal {
        Refusal::Open(escape) if !alone => Refusal::Open(escape),
        _ => apart(
            line,
            Refusal::File(format!(
                "the first line holds a quote that is not closed, or text after one: `{}`",
                shown(text)
            )),
        ),
    })
}

/// The same of lines parted by tabs, in which a quote is text unless it has to tell where a field ends.
fn first_tabbed(text: &str, alone: bool, needed: usize) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let width = |line: &str| line.split('\t').count();
    let mut lines = text.split('\n');
    let own = width(lines.next().unwrap_or_default());
    let mut more = lines.peekable();
    if more.peek().is_some() {
        // A line that has all its fields is no part of another.
        let whole = own >= needed && more.any(|line| width(line) == own);
        let fields = if whole {
            None
        } else {
            split(text, '\t'.into(), false).ok()
        };
        return fields.ok_or(Refusal::Open(None));
    }
    if !alone {
        let last = text.rsplit('\t').next().and_then(|last| last.strip_prefix('"'));
        let open = match last {
            _ if own < needed => split(text, '\t'.into(), false).err(),
            Some(quoted) => quoted_field(quoted, None).err(),
            None => None,
        };
        if let Some(open @ Refusal::Open(_)) = open {
            return Err(open);
        }
    }
    Ok(text.split('\t').map(Cow::Borrowed).collect())
}

/// What is said of a file for its first line; of several lines that are no record together, that each is one.
pub(super) fn apart(line: &str, refusal: Refusal) -> Refusal {
    let several = line.trim_end_matches('\n').contains('\n');
    if several { Refusal::Open(None) } else { refusal }
}
