//! The order of items by their raw ids: what published files are sorted by, and what no answer may be read from.

use std::cmp::Ordering;

use crate::schema::Item;

/// Items of a domain in the order of their raw ids: as numbers where most ids are whole numbers of several lengths (the others come
/// behind them), else as texts, by bytes. Numbers of one length are in the same order either way.
#[derive(Clone, Debug)]
pub struct IdOrder {
    /// Places by dense id from 1; empty where dense ids say the same, which are in the order of texts.
    places: Vec<u32>,
}

impl IdOrder {
    /// Of a domain's items, in the order of their dense ids from 1.
    pub fn of(items: &[Item]) -> Self {
        let number = |item: &Item| item.item_id.parse::<i128>().ok();
        let length = items.first().map_or(0, |item| item.item_id.len());
        let of_one_length = || items.iter().all(|item| item.item_id.len() == length);
        let numbers = || items.iter().filter(|item| number(item).is_some()).count();
        if of_one_length() || 2 * numbers() <= items.len() {
            return Self { places: Vec::new() };
        }
        // Texts, which are no numbers, behind those that are.
        let mut sorted: Vec<(bool, i128, u32)> = items
            .iter()
            .map(|item| match number(item) {
                Some(number) => (false, number, item.item),
                None => (true, 0, item.item),
            })
            .collect();
        sorted.sort_unstable();
        let mut places = vec![0; items.len() + 1];
        for (place, (_, _, item)) in (1..).zip(sorted) {
            places[item as usize] = place;
        }
        Self { places }
    }

    /// Where an item stands, by its dense id; places are as many numbers as there are items, from 1.
    pub fn place(&self, item: u32) -> u32 {
        self.places.get(item as usize).copied().unwrap_or(item)
    }

    /// Which of two items, by dense id, comes first.
    pub fn compare(&self, one: u32, other: u32) -> Ordering {
        self.place(one).cmp(&self.place(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The items with these ids, which are sorted as texts, in order.
    fn ordered(ids: &[&str]) -> Vec<String> {
        let mut ids: Vec<&str> = ids.to_vec();
        ids.sort_unstable();
        let items: Vec<Item> = (1..)
            .zip(&ids)
            .map(|(item, id)| Item {
                item,
                item_id: (*id).to_owned(),
                title: String::new(),
                categories: String::new(),
                train_count: 0,
            })
            .collect();
        let order = IdOrder::of(&items);
        let mut dense: Vec<u32> = (1..=items.len() as u32).collect();
        dense.sort_by(|one, other| order.compare(*one, *other));
        for (place, item) in (1..).zip(&dense) {
            assert_eq!(order.place(*item), place);
        }
        dense
            .iter()
            .map(|item| ids[*item as usize - 1].to_owned())
            .collect()
    }

    #[test]
    fn numbers_are_in_the_order_of_numbers_and_texts_in_that_of_bytes() {
        assert_eq!(ordered(&["10", "9", "-3", "007"]), ["-3", "007", "9", "10"]);
        assert_eq!(ordered(&["10", "9", "x"]), ["9", "10", "x"]);
        assert_eq!(ordered(&["B1", "A10", "A9"]), ["A10", "A9", "B1"]);
        assert_eq!(ordered(&["10", "9", "x", "y"]), ["10", "9", "x", "y"]);
        // As the ids of books, some of which end in a letter.
        assert_eq!(
            ordered(&["014", "01X", "013", "021"]),
            ["013", "014", "01X", "021"]
        );
        assert_eq!(ordered(&[]), Vec::<String>::new());
    }
}
