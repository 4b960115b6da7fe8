use std::collections::HashSet;

use super::*;

fn items(titles: &[&str]) -> Vec<Item> {
    let item = |(index, title): (usize, &&str)| Item {
        item: index as u32 + 1,
        item_id: format!("i{index}"),
        title: (*title).to_owned(),
        categories: String::new(),
        train_count: 0,
    };
    titles.iter().enumerate().map(item).collect()
}

fn numbered(count: usize) -> Vec<Item> {
    let titles: Vec<String> = (0..count).map(|index| format!("title {index}")).collect();
    items(&titles.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_set_holds_the_target_once_and_nothing_touched() {
    let draws = Candidates::new(3, "d", 10, Negatives::Uniform, &numbered(40));
    let mut places = HashSet::new();
    for position in 1..200 {
        let touched = [1, 2, 3, 4, 5];
        let set = draws.draw("u", position, 5, &touched);
        assert_eq!(set.len(), 10);
        assert_eq!(set.iter().collect::<HashSet<_>>().len(), 10);
        assert!(set.iter().all(|item| *item == 5 || !touched.contains(item)));
        places.insert(set.iter().position(|&item| item == 5));
    }
    assert_eq!(places.len(), 10, "the target stands anywhere");
}

#[test]
fn where_repeats_are_kept_nothing_but_the_targets_title_is_left_out() {
    let mut items = numbered(12);
    items[11].title = items[4].title.clone();
    let draws = Candidates::new(3, "d", 10, Negatives::Uniform, &items).with_repeats(Repeats::Keep);
    let mut met = HashSet::new();
    for position in 1..200 {
        let set = draws.draw("u", position, 5, &[1, 2, 3, 4, 5]);
        assert_eq!(set.iter().collect::<HashSet<_>>().len(), 10);
        assert!(set.contains(&5) && !set.contains(&12));
        met.extend(set);
    }
    assert_eq!(met, (1..=11).collect());
}

#[test]
fn a_small_domain_gives_a_shorter_set() {
    let draws = Candidates::new(3, "d", 10, Negatives::Uniform, &numbered(6));
    let mut set = draws.draw("u", 2, 1, &[1, 2]);
    set.sort_unstable();
    assert_eq!(set, [1, 3, 4, 5, 6]);
}

#[test]
fn titles_within_a_set_are_distinct() {
    let draws = Candidates::new(3, "d", 10, Negatives::Uniform, &items(&["a", "b", "a", "c", "b"]));
    for position in 0..50 {
        let set = draws.draw("u", position, 1, &[1]);
        assert!(
            !set.contains(&3),
            "the target's title would be there twice: {set:?}"
        );
        assert_eq!(set.len(), 3);
    }
}

#[test]
fn negatives_are_uniform_either_way() {
    for count in [12, 60] {
        let draws = Candidates::new(3, "d", 4, Negatives::Uniform, &numbered(count));
        let mut hits = vec![0u32; count + 1];
        for position in 0..20_000 {
            for item in draws.draw("u", position, 1, &[1, 2]) {
                hits[item as usize] += 1;
            }
        }
        let expected = 20_000.0 * 3.0 / (count - 2) as f64;
        assert!(
            hits[3..]
                .iter()
                .all(|&n| (f64::from(n) / expected - 1.0).abs() < 0.15),
            "{hits:?}"
        );
        assert_eq!(hits[2], 0);
    }
}

#[test]
fn popular_items_are_drawn_as_often_as_their_share_says() {
    let mut items = numbered(60);
    for (item, count) in items.iter_mut().zip([0, 5, 30, 10].into_iter().chain([20; 40])) {
        item.train_count = count;
    }
    let draws = Candidates::new(3, "d", 2, Negatives::Popularity, &items);
    let mut hits = [0u32; 61];
    for position in 0..40_000 {
        let set = draws.draw("u", position, 2, &[2]);
        assert_eq!(set.len(), 2);
        set.iter().for_each(|item| hits[*item as usize] += 1);
    }
    let share = |item: usize| f64::from(hits[item]) / 40_000.0 * 840.0;
    assert!(
        (share(3) - 30.0).abs() < 3.0 && (share(4) - 10.0).abs() < 2.0,
        "{hits:?}"
    );
    assert_eq!((hits[1], hits[45], hits[60]), (0, 0, 0), "nobody knows them");
}

#[test]
fn unknown_items_fill_what_popular_ones_leave_open() {
    let mut items = numbered(6);
    items[0].train_count = 1_000_000;
    items[1].train_count = 1;
    let draws = Candidates::new(3, "d", 4, Negatives::Popularity, &items);
    for position in 0..50 {
        let set = draws.draw("u", position, 3, &[3, 4]);
        assert_eq!(set.len(), 4);
        assert!(set.contains(&1) && set.contains(&2), "{set:?}");
    }
}

/// 400 items, the first the most popular, in bins of 100.
fn binned(size: usize) -> (Candidates, Arc<Bins>) {
    let mut items = numbered(400);
    for item in &mut items {
        item.train_count = 1_000 - item.item;
    }
    let bins = Arc::new(Bins::of(&items, &[1; 400]));
    assert_eq!(bins.count(), 4);
    let draws = Candidates::new(3, "d", size, Negatives::Uniform, &items);
    (draws.with_bins(bins.clone()), bins)
}

#[test]
fn a_binned_set_holds_the_target_among_items_of_its_bin_each_alike() {
    let (draws, bins) = binned(10);
    let touched = draws.touched(&[1, 2, 120, 125, 130]);
    let (mut hits, mut places, mut same) = ([0_u32; 401], HashSet::new(), 0);
    for position in 0..20_000 {
        let set = draws.draw_binned("u", position, 130, &touched);
        assert!(set.items.len() == 10 && !set.left && !bins.leaves(130, &set.items));
        places.insert(set.items.iter().position(|item| *item == 130));
        set.items.iter().for_each(|item| hits[*item as usize] += 1);
        same += usize::from(set.items == draws.draw_beside("u", position, 130, &touched));
    }
    assert!(
        places.len() == 10 && same == 0,
        "another stream than the other candidates'"
    );
    assert_eq!((hits[130], hits[120], hits[125]), (20_000, 0, 0));
    let expected = 20_000.0 * 9.0 / 97.0;
    let others = bins
        .items(1)
        .iter()
        .filter(|item| ![120, 125, 130].contains(*item));
    for item in others {
        let share = f64::from(hits[*item as usize]) / expected;
        assert!((share - 1.0).abs() < 0.12, "{item}: {share}");
    }
}

#[test]
fn the_nearest_bins_fill_what_a_bin_leaves_open() {
    let (draws, bins) = binned(30);
    // All but twenty items of the second bin.
    let touched: Vec<u32> = (101..=180).chain([190]).collect();
    let set = draws.draw_binned("u", 7, 190, &draws.touched(&touched));
    assert!(set.left && set.items.len() == 30);
    let within: Vec<u32> = (181..=200).collect();
    assert!(within.iter().all(|item| set.items.contains(item)));
    let near = set.items.iter().filter(|item| !within.contains(item));
    assert!(near.clone().count() == 10 && near.clone().all(|item| [0, 2].contains(&bins.bin(*item))));
    let whole = binned(400).0;
    let set = whole.draw_binned("u", 7, 190, &whole.touched(&touched));
    assert_eq!(set.items.len(), 400 - 80, "all there is");
    assert_eq!(
        draws.none().draw_binned("u", 7, 190, &draws.touched(&touched)),
        Binned::default()
    );
}

#[test]
fn a_binned_set_repeats_no_title() {
    let mut items = numbered(40);
    for item in &mut items {
        item.title = format!("title {}", item.item % 15);
    }
    let bins = Arc::new(Bins::of(&items, &[1; 40]));
    let draws = Candidates::new(3, "d", 30, Negatives::Popularity, &items).with_bins(bins);
    for position in 0..50 {
        let set = draws.draw_binned("u", position, 3, &draws.touched(&[3, 4]));
        let titles: HashSet<u32> = set.items.iter().map(|item| item % 15).collect();
        assert_eq!((set.items.len(), titles.len(), set.left), (15, 15, false));
    }
}
