//! The binned candidates of a prompt.

use super::Auditor;
use crate::prepared::PromptRow;
use crate::schema::Split;
use crate::stage::Repeats;

impl Auditor<'_> {
    /// What holds of every candidate set, and what holds of these alone: no title twice, as many as there are of
    /// the others, none in training. Sets that leave their bin are counted, and of tests where popularity stands.
    pub(super) fn check_binned(&mut self, split: Split, prompt: &PromptRow<'_>) {
        if split == Split::Train {
            if !prompt.binned.is_empty() {
                self.leak(prompt, "it has binned candidates although it is trained on");
            }
            return;
        }
        let mut sorted = prompt.binned.to_vec();
        sorted.sort_unstable();
        if sorted.binary_search(&prompt.target).is_err() {
            self.leak(prompt, "its binned candidates lack the target");
        }
        let novel = self.prepared.manifest().parameters.repeats == Repeats::Novel;
        if novel && self.known.touched_any(prompt.user, &sorted, prompt.target) {
            self.leak(prompt, "a binned candidate was touched by the user");
        }
        let mut titles: Vec<u32> = sorted.iter().map(|item| self.namesakes.title(*item)).collect();
        titles.sort_unstable();
        if titles.windows(2).any(|pair| pair[0] == pair[1]) {
            self.leak(prompt, "two binned candidates have one title");
        }
        if prompt.binned.len() != prompt.candidates.len() {
            self.leak(prompt, "its binned candidates are not as many as the others");
        }
        let found = &mut self.found;
        found
            .report
            .left_bins
            .add(self.bins.leaves(prompt.target, prompt.binned));
        if split == Split::Test {
            let count = |item: u32| self.items[item as usize - 1].train_count;
            found
                .popularity
                .add(prompt.target, prompt.candidates, prompt.binned, count);
        }
    }
}
