//! Whether the words of a prompt say more than its ids allow.

use memchr::memmem;

use crate::error::Result;
use crate::prepared::PromptRow;
use crate::schema::{Item, LETTERS, PromptFormat, Split, TITLE_SEPARATOR};
use crate::stage::PromptStyle;
use crate::stage::prompt::Instance;

/// Whether the conversation is the one that the prompt's ids give.
pub fn agrees(
    style: &PromptStyle,
    split: Split,
    prompt: &PromptRow<'_>,
    scratch: &mut String,
) -> Result<bool> {
    let instance = Instance {
        split,
        user: prompt.user_id,
        position: prompt.position,
        history: prompt.history,
        target: prompt.target,
        candidates: prompt.candidates,
    };
    scratch.clear();
    let (mut found, mut same, mut start) = (prompt.turns(), true, 0);
    style.render_turns(&instance, scratch, |role, worded| {
        same &= found.next() == Some((role, &worded[start..]));
        start = worded.len();
    })?;
    Ok(same && found.next().is_none())
}

/// Whether the history shows another item with the target's title.
pub fn namesake(items: &[Item], prompt: &PromptRow<'_>) -> bool {
    let wanted = title(items, prompt.target);
    let mut history = prompt.history.iter();
    history.any(|&item| item != prompt.target && title(items, item) == wanted)
}

/// Whether the target's title stands in the question more often than its place among the candidates and its namesakes in the
/// history explain.
pub fn gives_away(items: &[Item], format: PromptFormat, prompt: &PromptRow<'_>) -> bool {
    let wanted = title(items, prompt.target);
    let in_history = prompt
        .history
        .iter()
        .filter(|&&item| title(items, item) == wanted)
        .count();
    let among_candidates = match format {
        PromptFormat::Top5 | PromptFormat::TargetOnly => 1,
        // Behind its letter it is another text, as may happen to be that of the target.
        PromptFormat::Letter => {
            let lettered = LETTERS.iter().zip(prompt.candidates);
            lettered
                .filter(|(letter, item)| format!("{letter}. {}", title(items, **item)) == wanted)
                .count()
        }
        PromptFormat::Sequence => 0,
    };
    let explained = in_history + among_candidates;
    let question = || prompt.turns().filter(|(role, _)| *role != "assistant");
    // A title that hardly stands anywhere in the text stands no more often as a part of its own.
    let anywhere = question().map(|(_, content)| memmem::find_iter(content.as_bytes(), wanted).count());
    if anywhere.sum::<usize>() <= explained {
        return false;
    }
    let parts = question()
        .flat_map(|(_, content)| content.lines())
        .flat_map(|line| line.split(TITLE_SEPARATOR));
    parts.filter(|part| part.trim() == wanted).count() > explained
}

fn title(items: &[Item], item: u32) -> &str {
    &items[item as usize - 1].title
}
