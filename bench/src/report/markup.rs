//! Text made safe for the formats it stands in, and tables as Markdown.

use super::table::Table;

/// Text that means nothing to Markdown, inside or outside a table.
#[must_use]
pub fn markdown_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '|' | '*' | '_' | '`' | '<' | '[' | ']') {
            safe.push('\\');
        }
        safe.push(if c == '\n' { ' ' } else { c });
    }
    safe
}

/// Text as it is in a line of code of Markdown, whatever it holds.
#[must_use]
pub fn markdown_code(text: &str) -> String {
    // A run of backticks ends the code that as many began.
    let longest = text.split(|c: char| c != '`').map(str::len).max().unwrap_or(0);
    match longest {
        0 => format!("`{text}`"),
        longest => {
            let fence = "`".repeat(longest + 1);
            format!("{fence} {text} {fence}")
        }
    }
}

/// Text that means nothing to LaTeX; the marks and signs the tables use become commands.
#[must_use]
pub fn latex_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '\\' => safe.push_str("\\textbackslash{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                safe.push('\\');
                safe.push(c);
            }
            '~' => safe.push_str("\\textasciitilde{}"),
            '^' => safe.push_str("\\textasciicircum{}"),
            '|' => safe.push_str("\\textbar{}"),
            '<' => safe.push_str("$<$"),
            '>' => safe.push_str("$>$"),
            '±' => safe.push_str("$\\pm$"),
            '−' => safe.push_str("$-$"),
            '×' => safe.push_str("$\\times$"),
            'Δ' => safe.push_str("$\\Delta$"),
            '→' => safe.push_str("$\\rightarrow$"),
            '†' => safe.push_str("$^{\\dagger}$"),
            '‡' => safe.push_str("$^{\\ddagger}$"),
            '–' => safe.push_str("--"),
            c => match superscript(c) {
                Some(first) => {
                    let mut exponent = String::from(first);
                    while let Some(next) = letters.peek().and_then(|next| superscript(*next)) {
                        exponent.push(next);
                        letters.next();
                    }
                    safe.push_str(&format!("$^{{{exponent}}}$"));
                }
                None => safe.push(c),
            },
        }
    }
    safe
}

/// What a raised sign stands for.
fn superscript(c: char) -> Option<char> {
    match c {
        '⁻' => Some('-'),
        '¹' => Some('1'),
        '²' => Some('2'),
        '³' => Some('3'),
        '⁰' | '⁴'..='⁹' => char::from_digit(c as u32 - 0x2070, 10),
        _ => None,
    }
}

/// A table as Markdown, without its caption.
#[must_use]
pub fn markdown_table(table: &Table) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let heads = table.columns.iter().map(|column| markdown_text(&column.title));
    let mut text = line(heads.collect());
    text.push('|');
    for column in &table.columns {
        text.push_str(if column.numeric { "---:|" } else { "---|" });
    }
    text.push('\n');
    for row in &table.rows {
        let cells = row.iter().map(|cell| {
            let shown = markdown_text(&cell.text);
            let shown = if cell.best {
                format!("**{shown}**")
            } else if cell.second {
                format!("<u>{shown}</u>")
            } else {
                shown
            };
            format!("{shown}{}", cell.mark)
        });
        text.push_str(&line(cells.collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_is_shown_and_not_obeyed() {
        assert_eq!(markdown_text("a|b_c\n<i>"), "a\\|b\\_c \\<i>");
        assert_eq!(markdown_code("a_b 'c'"), "`a_b 'c'`");
        assert_eq!(markdown_code("a `b` ``c``"), "``` a `b` ``c`` ```");
        assert_eq!(latex_text("50% of A&B ± 1"), "50\\% of A\\&B $\\pm$ 1");
        assert_eq!(latex_text("2×10¹²"), "2$\\times$10$^{12}$");
        assert_eq!(latex_text("< 0.001"), "$<$ 0.001");
    }
}
