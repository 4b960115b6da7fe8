//! Counts targets that their users had before.

use crate::prepared::{RepeatReport, Share};
use crate::stage::target::{Parts, Repeats, Targets};

/// Counts a user's, whose sequence was parted like this.
pub fn note(report: &mut RepeatReport, targets: &Targets, items: &[u32], times: &[i64], parts: Parts) {
    let kept = targets.parts_with_repeats(times);
    let look = |target: Option<usize>, found: Option<usize>, shares: (&mut Share, &mut Share)| {
        let Some(target) = target else { return };
        // What was found to be new is not looked at again.
        let new =
            targets.repeats() == Repeats::Novel && found == Some(target) || targets.is_new(items, target);
        let same = !new && items[..target].contains(&items[target]);
        shares.0.add(same);
        shares.1.add(!new && !same);
    };
    let (items_share, titles_share) = (&mut report.test_items, &mut report.test_titles);
    look(kept.test, parts.test, (items_share, titles_share));
    let (items_share, titles_share) = (&mut report.validation_items, &mut report.validation_titles);
    look(kept.validation, parts.validation, (items_share, titles_share));
    report.users_lost += u64::from(kept.test.is_some() && parts.test.is_none());
    if let (None, Some(target)) = (targets.holdout().cut(), parts.test) {
        report.dropped += (items.len() - 1 - target) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;
    use crate::schema::Item;
    use crate::stage::{Holdout, TimeCut, Titles};

    fn counted(holdout: Holdout, repeats: Repeats, users: &[&[u32]]) -> RepeatReport {
        // Items 1 and 5 have one title.
        let items: Vec<Item> = (1..=6)
            .map(|item| Item {
                item,
                item_id: item.to_string(),
                title: if item == 5 {
                    "1".to_owned()
                } else {
                    item.to_string()
                },
                categories: String::new(),
                train_count: 0,
            })
            .collect();
        let parameters = Parameters {
            repeats,
            ..Parameters::default()
        };
        let targets = Targets::new(&parameters, holdout, Titles::of(&items));
        let mut report = RepeatReport::default();
        for items in users {
            let times: Vec<i64> = (0..).take(items.len()).collect();
            note(&mut report, &targets, items, &times, targets.parts(items, &times));
        }
        report
    }

    #[test]
    fn repeats_are_counted_whether_they_are_kept_or_not() {
        let users: [&[u32]; 5] = [
            &[1, 2, 3, 4],
            &[1, 2, 3, 2, 5, 1],
            &[1, 2, 1, 2],
            &[2, 1, 5],
            &[1, 2],
        ];
        let share = |count, of| Share { count, of };
        let both = RepeatReport {
            test_items: share(2, 4),
            test_titles: share(1, 4),
            validation_items: share(1, 4),
            validation_titles: share(1, 4),
            ..RepeatReport::default()
        };
        assert_eq!(counted(Holdout::LastTwo, Repeats::Keep, &users), both);
        let novel = RepeatReport {
            dropped: 3,
            users_lost: 2,
            ..both
        };
        assert_eq!(counted(Holdout::LastTwo, Repeats::Novel, &users), novel);
    }

    #[test]
    fn nothing_is_dropped_behind_the_first_of_a_period() {
        let cut = Holdout::From(TimeCut {
            validation_from: 1,
            test_from: 2,
        });
        let users: [&[u32]; 3] = [&[1, 2, 3, 4], &[1, 2, 2, 4], &[1, 2, 1, 1]];
        let found = counted(cut, Repeats::Novel, &users);
        assert_eq!((found.test_items, found.dropped), (Share { count: 2, of: 3 }, 0));
        assert_eq!(found.users_lost, 1, "the second is asked for what comes next");
    }
}
