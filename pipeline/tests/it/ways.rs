//! All ways through the stages write the same bytes.

use weaverec_pipeline::parameters::Parameters;
use weaverec_pipeline::stage::{Cut, DedupPolicy, DomainFilter, KCore, Repeats, SplitPolicy, Ties};

use crate::support::{contents, films, named, run};

/// Every choice of interactions, made from packed rows in memory, from such rows in files, and by plans.
#[test]
fn plans_and_packed_rows_choose_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut base = films(folder.path(), 300);
    // A second file: users and items meet those of the first, and lines go on.
    let raw = folder.path().join("raw");
    let ratings = std::fs::read_to_string(raw.join("ratings.csv")).unwrap();
    let (header, rows) = ratings.split_once('\n').unwrap();
    // Every fourth film goes to the evening, four hours before the next day's.
    let evening = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let (film, time): (u32, i64) = (fields[1].parse().unwrap(), fields[3].parse().unwrap());
        let later = if film % 4 == 0 { 72_000 } else { 0 };
        format!("{},{film},{},{}", fields[0], fields[2], time + later)
    };
    let (first, second): (Vec<_>, Vec<_>) = rows
        .lines()
        .map(evening)
        .enumerate()
        .partition(|(at, _)| at % 3 == 0);
    std::fs::create_dir(raw.join("parts")).unwrap();
    // Repeats at one moment that stand apart, some of them rated otherwise: which of them stays, and where, shows in the bytes.
    let repeat = |(at, line): &(usize, String)| {
        let fields: Vec<&str> = line.split(',').collect();
        (at % 5 == 0).then(|| format!("{},{},{}.5,{}", fields[0], fields[1], at % 4, fields[3]))
    };
    let repeats: Vec<String> = first.iter().filter_map(repeat).collect();
    assert!(repeats.len() > 50, "{}", repeats.len());
    for (name, part, more) in [("a.csv", first, Vec::new()), ("b.csv", second, repeats)] {
        let lines: Vec<String> = part.into_iter().map(|(_, line)| line).chain(more).collect();
        std::fs::write(
            raw.join("parts").join(name),
            format!("{header}\n{}\n", lines.join("\n")),
        )
        .unwrap();
    }
    base.dataset.interactions = vec!["parts/".to_owned()];
    let core = KCore { users: 5, items: 6 };
    let domain = |name: &str, exclude: &[&str]| DomainFilter {
        domain: Some(name.to_owned()),
        exclude: exclude.iter().map(|name| (*name).to_owned()).collect(),
    };
    let split = SplitPolicy::GlobalTime(Cut::Shares {
        validation: 0.2,
        test: 0.2,
    });
    type Change<'a> = Box<dyn Fn(&mut Parameters) + 'a>;
    let changes: Vec<Change<'_>> = vec![
        Box::new(|_| ()),
        Box::new(|parameters| parameters.dedup = DedupPolicy::None),
        Box::new(|parameters| (parameters.dedup, parameters.tie_seed) = (DedupPolicy::None, 7)),
        Box::new(|parameters| (parameters.dedup, parameters.ties) = (DedupPolicy::None, Ties::Line)),
        Box::new(|parameters| (parameters.dedup, parameters.ties) = (DedupPolicy::First, Ties::Line)),
        Box::new(|parameters| (parameters.dedup, parameters.ties) = (DedupPolicy::Last, Ties::Line)),
        Box::new(|parameters| parameters.ties = Ties::Line),
        Box::new(|parameters| (parameters.dedup, parameters.core) = (DedupPolicy::First, core)),
        Box::new(|parameters| (parameters.dedup, parameters.core) = (DedupPolicy::Last, core)),
        Box::new(|parameters| (parameters.min_rating, parameters.core) = (Some(3.0), core)),
        Box::new(|parameters| parameters.window.from = Some(1_000_086_400_000)),
        Box::new(|parameters| parameters.filter = domain("Action", &[])),
        Box::new(|parameters| parameters.filter = domain("other", &["Action", "Drama"])),
        Box::new(|parameters| parameters.split = split),
        Box::new(|parameters| (parameters.dedup, parameters.repeats) = (DedupPolicy::None, Repeats::Keep)),
        Box::new(|parameters| parameters.tie_window_ms = 18_000_000),
        Box::new(|parameters| {
            (parameters.tie_window_ms, parameters.split) = (18_000_000, split);
            parameters.dedup = DedupPolicy::None;
        }),
        Box::new(|parameters| {
            (parameters.tie_window_ms, parameters.ties) = (18_000_000, Ties::Line);
            parameters.split = "2001-09-11".parse().map(SplitPolicy::GlobalTime).unwrap();
        }),
        Box::new(|parameters| (parameters.split, parameters.repeats) = (split, Repeats::Keep)),
        Box::new(|parameters| parameters.core.users = 4),
        Box::new(|parameters| parameters.core.items = 20),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut config = named(&base, "one-name");
        config.parameters.max_train = 50;
        change(&mut config.parameters);
        // Under so small a limit ids are in memory and rows in files.
        let ways = [
            ("memory", false, None),
            ("files", false, Some(1 << 20)),
            ("plans", true, None),
        ];
        let [packed, spilled, planned] = ways.map(|(way, plans_only, memory_limit)| {
            config.out = folder.path().join(format!("{number}-{way}"));
            (config.plans_only, config.memory_limit) = (plans_only, memory_limit);
            (run(&config).unwrap(), contents(&config.folder()))
        });
        for (way, other) in [("files", spilled), ("plans", planned)] {
            assert_eq!(packed.0, other.0, "choice {number}, {way}");
            assert!(packed.1 == other.1, "choice {number}, {way}: other bytes");
        }
        let ties = packed.0.ties;
        assert!(
            ties.neighbours.count > 60 || number > 10,
            "choice {number}: {ties}"
        );
    }
}
