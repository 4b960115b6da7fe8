//! A page with a heat map of every measure, by layer and kind of module.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use weaverec_model::merge::inspect::{ModuleInspection, Pair};

use super::Inspection;

/// What every such page begins with.
pub(super) const MARK: &str = "<!doctype html><!-- weaverec merge inspect -->";

#[derive(Serialize)]
struct Page {
    mark: &'static str,
    adapters: Vec<AdapterView>,
    /// Cosine of every two adapters over all modules.
    cosines: Vec<Vec<CellView>>,
    pairs: Vec<PairView>,
    sampled: Option<String>,
}

#[derive(Serialize)]
struct AdapterView {
    name: String,
    norm: String,
    modules: usize,
    ranks: String,
}

#[derive(Serialize)]
struct PairView {
    name: String,
    maps: Vec<MapView>,
}

/// One measure, by layer (down) and kind (across).
#[derive(Serialize)]
struct MapView {
    title: &'static str,
    legend: &'static str,
    kinds: Vec<String>,
    rows: Vec<(String, Vec<CellView>)>,
}

/// A place in a heat map. `tone` is what its colour goes by, from −100 to 100.
#[derive(Serialize)]
struct CellView {
    text: String,
    about: String,
    tone: Option<i32>,
}

/// A measure of two updates, from −1 to 1.
struct Measure {
    title: &'static str,
    legend: &'static str,
    of: fn(&Pair) -> Option<f64>,
}

const MEASURES: [Measure; 4] = [
    Measure {
        title: "Cosine",
        legend: "1 the same direction, 0 nothing in common, −1 opposite",
        of: |pair| Some(pair.cosine),
    },
    Measure {
        title: "Sign conflict",
        legend: "share of the entries that both move, which one moves up and the other down; half by chance",
        of: |pair| pair.signs.conflict(),
    },
    Measure {
        title: "Outputs in common",
        legend: "share of the smaller subspace that is written to which lies in the other",
        of: |pair| Some(pair.outputs.share),
    },
    Measure {
        title: "Inputs in common",
        legend: "share of the smaller subspace that is read from which lies in the other",
        of: |pair| Some(pair.inputs.share),
    },
];

/// The page, with everything that it needs in it.
pub(super) fn render(found: &Inspection) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment
        .add_template("page.html", include_str!("page.html.j2"))
        .context("the page's template")?;
    let view = view(found);
    environment
        .get_template("page.html")
        .and_then(|template| template.render(minijinja::value::Serde(&view)))
        .context("the page")
}

fn view(found: &Inspection) -> Page {
    let ranks = |place: usize| match found.total.true_ranks[place] {
        Some([least, most]) if least == most => most.to_string(),
        Some([least, most]) => format!("{least}–{most}"),
        None => "–".to_string(),
    };
    let adapters = found
        .adapters
        .iter()
        .enumerate()
        .map(|(place, name)| AdapterView {
            name: name.clone(),
            norm: format!("{:.4}", found.total.norms[place]),
            modules: found
                .modules
                .iter()
                .filter(|module| module.ranks[place] > 0)
                .count(),
            ranks: ranks(place),
        });
    let pairs = found.total.pairs.iter().map(|pair| PairView {
        name: pair
            .adapters
            .map(|place| found.adapters[place].as_str())
            .join(" and "),
        maps: MEASURES
            .iter()
            .map(|measure| map(measure, pair.adapters, &found.modules))
            .collect(),
    });
    Page {
        mark: MARK,
        adapters: adapters.collect(),
        cosines: cosines(found),
        pairs: pairs.collect(),
        sampled: super::table::sampled(&found.modules),
    }
}

fn cosines(found: &Inspection) -> Vec<Vec<CellView>> {
    let count = found.adapters.len();
    let between = |one: usize, other: usize| match one == other {
        true => Some(1.0),
        false => {
            let places = [one.min(other), one.max(other)];
            let pair = found.total.pairs.iter().find(|pair| pair.adapters == places);
            pair.map(|pair| pair.cosine)
        }
    };
    let row = |one: usize| {
        let cells = (0..count).map(|other| {
            let about = format!("{} and {}", found.adapters[one], found.adapters[other]);
            cell(between(one, other), about)
        });
        cells.collect()
    };
    (0..count).map(row).collect()
}

fn map(measure: &Measure, adapters: [usize; 2], modules: &[ModuleInspection]) -> MapView {
    let here: Vec<(Place, Option<f64>)> = modules
        .iter()
        .filter_map(|module| {
            let pair = module.pairs.iter().find(|pair| pair.adapters == adapters)?;
            Some((Place::of(&module.module), (measure.of)(pair)))
        })
        .collect();
    let kinds: Vec<&str> = here
        .iter()
        .map(|(place, _)| place.kind)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let layers: BTreeSet<usize> = here.iter().map(|(place, _)| place.layer).collect();
    let row = |layer: &usize| {
        let named = match *layer {
            usize::MAX => "outside".to_string(),
            layer => layer.to_string(),
        };
        let cells = kinds.iter().map(|kind| {
            let found = here
                .iter()
                .find(|(place, _)| place.layer == *layer && place.kind == *kind);
            let about = format!("layer {named}, {kind}");
            match found {
                Some((_, value)) => cell(*value, about),
                // No such module: an empty place, and no cell.
                None => CellView {
                    text: String::new(),
                    about,
                    tone: None,
                },
            }
        });
        (named.clone(), cells.collect())
    };
    MapView {
        title: measure.title,
        legend: measure.legend,
        rows: layers.iter().map(row).collect(),
        kinds: kinds.into_iter().map(str::to_string).collect(),
    }
}

fn cell(value: Option<f64>, about: String) -> CellView {
    CellView {
        text: value.map_or("–".to_string(), |value| format!("{value:.2}")),
        about: value.map_or(about.clone(), |value| format!("{about}: {value:.4}")),
        tone: value.map(|value| (100.0 * value).round().clamp(-100.0, 100.0) as i32),
    }
}

/// Where a module stands; what is outside of layers comes last.
struct Place<'a> {
    layer: usize,
    kind: &'a str,
}

impl<'a> Place<'a> {
    fn of(module: &'a str) -> Self {
        let layer = module
            .strip_prefix("model.layers.")
            .and_then(|rest| rest.split('.').next()?.parse().ok());
        Place {
            layer: layer.unwrap_or(usize::MAX),
            kind: module.rsplit('.').next().unwrap_or(module),
        }
    }
}
