//! What must be known of a case besides its scores: whether ids or ties in time may have given the answer away.

use std::cmp::Ordering;

use weaverec_pipeline::prepared::IdOrder;
use weaverec_pipeline::schema::{Item, Prompt};

/// One user who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Whether the target's raw id is below that of the last item of the history. On these users a leak of the order of ids is turned
    /// round, so that a claim must hold on them as well.
    pub descends: bool,
    /// Whether the target is at the moment of the item before it, so that a hash decided which of the two is asked for.
    pub ties: bool,
}

/// Looks at the cases of one domain.
pub struct Cases {
    order: IdOrder,
}

impl Cases {
    /// Over the domain's items.
    pub fn of(items: &[Item]) -> Self {
        Self {
            order: IdOrder::of(items),
        }
    }

    /// What there is to be known of a validation or test prompt.
    pub fn case(&self, prompt: &Prompt) -> Case {
        let descends = |last: &u32| self.order.compare(prompt.target, *last) == Ordering::Less;
        Case {
            descends: prompt.history.last().is_some_and(descends),
            ties: prompt.ties,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_descends_by_raw_id_as_a_number_where_ids_are_numbers() {
        // In the order of texts.
        let items: Vec<Item> = (1..)
            .zip(["10", "7", "9"])
            .map(|(item, id)| Item {
                item,
                item_id: id.to_owned(),
                title: id.to_owned(),
                categories: String::new(),
                train_count: 0,
            })
            .collect();
        let case = |history: &[u32], target: u32, ties: bool| {
            let prompt = Prompt {
                key: 0,
                user_id: String::new(),
                position: 0,
                history: history.to_vec(),
                target,
                ties,
                candidates: vec![1, 2, 3],
                binned: Vec::new(),
                messages: Vec::new(),
            };
            let found = Cases::of(&items).case(&prompt);
            (found.descends, found.ties)
        };
        assert_eq!(case(&[2, 3], 1, false), (false, false), "9, then 10");
        assert_eq!(case(&[2, 1], 3, true), (true, true), "10, then 9");
        assert_eq!(case(&[1, 3], 2, false), (true, false), "9, then 7");
        assert_eq!(case(&[1, 2], 2, false), (false, false), "the same again");
    }
}
