//! Items that share their title with others.

use std::collections::HashMap;

use crate::schema::Item;

/// No other item has the title.
const ALONE: u32 = 0;

/// Which items have one title.
pub struct Namesakes {
    /// By dense id: the first item with the same title, or [`ALONE`].
    first: Vec<u32>,
}

impl Namesakes {
    /// Among all items of a domain.
    pub fn among(items: &[Item]) -> Self {
        let mut firsts: HashMap<&str, u32> = HashMap::new();
        let mut first = vec![ALONE; items.len() + 1];
        for item in items {
            let one = *firsts.entry(item.title.as_str()).or_insert(item.item);
            if one != item.item {
                first[item.item as usize] = one;
                first[one as usize] = one;
            }
        }
        Self { first }
    }

    /// A number that items of one title have in common.
    pub fn title(&self, item: u32) -> u32 {
        match self.first.get(item as usize).copied() {
            None | Some(ALONE) => item,
            Some(first) => first,
        }
    }

    /// Whether another item than this one is among those that a user touched and has its title.
    pub fn touched(&self, item: u32, touched: &[u32]) -> bool {
        // Sequences that were tampered with may name anything.
        let first = |item: u32| self.first.get(item as usize).copied().unwrap_or(ALONE);
        let wanted = first(item);
        wanted != ALONE
            && touched
                .iter()
                .any(|other| *other != item && first(*other) == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_item_with_the_title_counts_and_the_item_itself_does_not() {
        let items: Vec<Item> = (1..)
            .zip(["a", "b", "a", "c", "a"])
            .map(|(item, title)| Item {
                item,
                item_id: item.to_string(),
                title: title.to_owned(),
                categories: String::new(),
                train_count: 0,
            })
            .collect();
        let namesakes = Namesakes::among(&items);
        assert!(namesakes.touched(1, &[2, 5]) && namesakes.touched(3, &[1]));
        assert_eq!([1, 2, 3, 4, 5].map(|item| namesakes.title(item)), [1, 2, 1, 4, 1]);
        assert!(!namesakes.touched(1, &[1, 2, 4]) && !namesakes.touched(2, &[1, 2, 3, 4, 5]));
    }
}
