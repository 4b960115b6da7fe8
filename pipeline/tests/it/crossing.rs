//! Several domains, one cut: what one gives away of the other's tests.

use std::fmt::Write as _;

use weaverec_pipeline::audit::crossing::crossing;
use weaverec_pipeline::prepare::{PrepareConfig, common_cut};
use weaverec_pipeline::prepared::{Prepared, Share};
use weaverec_pipeline::raw::NoProgress;
use weaverec_pipeline::stage::{Cut, SplitPolicy, TimeCut};

use crate::stages::with_ratings;
use crate::support::{films, prepared, run};

/// Two domains of one set, whose folders are called after their genres.
fn domains(base: &PrepareConfig) -> [PrepareConfig; 2] {
    ["Drama", "Action"].map(|genre| {
        let mut config = base.clone();
        config.parameters.filter.domain = Some(genre.to_owned());
        config
    })
}

fn cut(configs: &[PrepareConfig], cut: Cut) -> TimeCut {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(common_cut(configs, cut, &NoProgress)).unwrap()
}

fn times(folders: &[Prepared]) -> Vec<i64> {
    let rows = folders.iter().flat_map(|folder| folder.sequences().unwrap());
    rows.flat_map(|row| row.timestamps).collect()
}

/// The films of every user spread over days, those of Action a month behind the others.
fn spread(folder: &std::path::Path) -> PrepareConfig {
    let base = films(folder, 1);
    let mut text = String::from("userId,movieId,rating,timestamp\n");
    for user in 1..=80_u32 {
        for step in 0..14 {
            let film = (user * 7 + step * 11) % 40 + 1;
            let day = user % 17 + step * 6 + if film % 3 == 1 { 36 } else { 0 };
            writeln!(
                text,
                "{user},{film},4.0,{}",
                1_000_000_000 + i64::from(day) * 86_400
            )
            .unwrap();
        }
    }
    std::fs::write(base.raw.join("ratings.csv"), text).unwrap();
    base
}

#[test]
fn one_cut_for_two_domains_leaves_nothing_of_the_future_in_either() {
    let folder = tempfile::tempdir().unwrap();
    let base = spread(folder.path());
    let mut configs = domains(&base);
    let loose: Vec<Prepared> = configs.iter().map(prepared).collect();
    let found = crossing(&loose[0], &loose[1]).unwrap();
    assert!(found.tested > 50 && found.later.count > 20, "{found}");
    let later = found.later;
    assert!(
        later.count < later.of && found.users_later <= found.tested,
        "{found}"
    );
    let text = found.to_string();
    assert!(
        text.contains("films-action trains on") && text.contains("tested in films-drama"),
        "{text}"
    );

    let shares = Cut::Shares {
        validation: 0.15,
        test: 0.5,
    };
    let common = cut(&configs, shares);
    assert_eq!(common, shares.among(times(&loose)).unwrap(), "of both together");
    assert_eq!(cut(&configs, Cut::At(common)), common);
    let left = std::fs::read_dir(&base.out).unwrap().count();
    assert_eq!(left, 2, "the tables made aside are gone");
    for config in &mut configs {
        config.parameters.split = SplitPolicy::GlobalTime(Cut::At(common));
        config.out = folder.path().join("cut");
    }
    let cut: Vec<Prepared> = configs.iter().map(prepared).collect();
    for (target, source) in [(0, 1), (1, 0)] {
        let found = crossing(&cut[target], &cut[source]).unwrap();
        assert!(found.tested > 20 && found.later.of > 20, "{found}");
        assert_eq!((found.later.count, found.users_later), (0, 0), "{found}");
        assert_eq!(cut[target].manifest().cut, Some(common));
    }
    // Each at a share of its own: the source goes on after the target's cut.
    for (config, test) in configs.iter_mut().zip([0.6, 0.05]) {
        config.parameters.split = SplitPolicy::GlobalTime(Cut::Shares {
            validation: 0.1,
            test,
        });
        config.out = folder.path().join("apart");
    }
    let apart: Vec<Prepared> = configs.iter().map(prepared).collect();
    assert!(crossing(&apart[0], &apart[1]).unwrap().later.count > 0);
}

#[test]
fn what_is_counted_is_what_can_be_counted_by_hand() {
    // Films 3, 6, 9 … are Drama|War, 1, 4, 7 … Action; the first user's Drama test is at 30, the second's at 9.
    let rows = [
        (1, 3, 10),
        (1, 6, 20),
        (1, 9, 30),
        (1, 1, 5),
        (1, 4, 31),
        (1, 7, 32),
        (1, 10, 33),
        (1, 13, 34),
        (2, 3, 7),
        (2, 6, 8),
        (2, 9, 9),
        (2, 1, 1),
        (2, 4, 2),
        (2, 7, 3),
        (3, 1, 1),
        (3, 4, 2),
        (3, 7, 3),
    ];
    let (_folder, base) = with_ratings(&rows);
    let [drama, action] = domains(&base);
    let (drama, mut other) = (prepared(&drama), action.clone());
    let found = crossing(&drama, &prepared(&action)).unwrap();
    // Of the first user's five three are trained on, at 5, 31 and 32; of the second's one, at 1.
    assert_eq!(found.later, Share { count: 2, of: 4 });
    assert_eq!(
        (found.tested, found.users_later, found.targets_in_source),
        (2, 1, 0)
    );
    assert_eq!(found.users.iter().collect::<Vec<_>>(), ["1", "2"]);
    // The same films under another folder's name: every test is in the source.
    let same = crossing(&drama, &drama).unwrap();
    assert_eq!((same.tested, same.targets_in_source), (2, 2));
    // Another platform's user 1 is somebody else.
    other.dataset.platform = "elsewhere".to_owned();
    other.force = true;
    run(&other).unwrap();
    let found = crossing(&drama, &Prepared::open(other.folder()).unwrap()).unwrap();
    assert!(found.users.is_empty() && found.tested == 0, "{found}");
}
