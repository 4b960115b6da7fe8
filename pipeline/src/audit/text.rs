//! Whether the words of a prompt say more than its ids allow.

use memchr::memmem;

use crate::error::Result;
use crate::schema::{Item, LETTERS, Prompt, PromptFormat, Split, TITLE_SEPARATOR};
use crate::stage::PromptStyle;
use crate::stage::prompt::Instance;

/// Whether the conversation is the one that the prompt's ids give.
pub fn agrees(
    style: &PromptStyle,
    split: Split,
    prompt: &Prompt,
    position: u32,
    scratch: &mut String,
) -> Result<bool> {
    let instance = Instance {
        split,
        user: &prompt.user_id,
        position,
        history: &prompt.history,
        target: prompt.target,
        candidates: &prompt.candidates,
    };
    let (mut turn, mut same) = (0, true);
    style.render_turns(&instance, scratch, |role, content| {
        let found = prompt.messages.get(turn);
        same &= found.is_some_and(|found| found.role == role && found.content == content);
        turn += 1;
    })?;
    Ok(same && turn == prompt.messages.len())
}

/// Whether the history shows another item with the target's title.
pub fn namesake(items: &[Item], prompt: &Prompt) -> bool {
    let wanted = title(items, prompt.target);
    let mut history = prompt.history.iter();
    history.any(|&item| item != prompt.target && title(items, item) == wanted)
}

/// Whether the target's title stands in the question more often than its place among the candidates and its namesakes in the
/// history explain.
pub fn gives_away(items: &[Item], format: PromptFormat, prompt: &Prompt) -> bool {
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
            let lettered = LETTERS.iter().zip(&prompt.candidates);
            lettered
                .filter(|(letter, item)| format!("{letter}. {}", title(items, **item)) == wanted)
                .count()
        }
        PromptFormat::Sequence => 0,
    };
    let explained = in_history + among_candidates;
    let question = || prompt.messages.iter().filter(|turn| turn.role != "assistant");
    // A title that hardly stands anywhere in the text stands no more often as a part of its own.
    let anywhere = question().map(|turn| memmem::find_iter(turn.content.as_bytes(), wanted).count());
    if anywhere.sum::<usize>() <= explained {
        return false;
    }
    let parts = question()
        .flat_map(|turn| turn.content.lines())
        .flat_map(|line| line.split(TITLE_SEPARATOR));
    parts.filter(|part| part.trim() == wanted).count() > explained
}

fn title(items: &[Item], item: u32) -> &str {
    &items[item as usize - 1].title
}
