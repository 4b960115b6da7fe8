//! Rows of the adapters of single domains, merged by the rules of the field: one of them is the best naive merge that a woven row is to beat.
//! And rows of either merged by weights that are chosen or learnt: SharpRec's, FeDecider's and MergeRec's among them.
//!
//! A rule stands as its paper or tool has it where nothing is set (docs/merging.md); whatever the whole result is to be multiplied with is
//! chosen on calibration users, as for every merge.

use weaverec_model::weave::Recipe;

use super::adapters::{Adapters, row};
use crate::family::Family;

const fn naive(id: &'static str, label: &'static str, reference: &'static str) -> Adapters {
    row(id, label, Family::NaiveMerging, reference, |_| {
        Some(Recipe::NaiveMerge)
    })
}

/// The sum.
pub const TASK_ARITHMETIC: Adapters = naive(
    "task-arithmetic",
    "task arithmetic",
    "arXiv 2212.04089: the sum of single-domain adapters times 0.3",
)
.summed(r#"{"lambda": 0.3}"#);

/// The mean at one adapter's rank.
pub const SVD: Adapters = naive(
    "svd",
    "mean, SVD",
    "the uniform mean of single-domain adapters, cut to the rank of one by SVD",
)
.by("svd", "{}");

/// The largest entries of the elected sign.
pub const TIES: Adapters = naive(
    "ties",
    "TIES",
    "arXiv 2306.01708: the largest fifth of each adapter's entries, of the elected sign, averaged",
)
.by("ties", r#"{"flavor": "paper"}"#);

/// Random entries, added up.
pub const DARE_LINEAR: Adapters = naive(
    "dare-linear",
    "DARE",
    "arXiv 2311.03099: half of each adapter's entries at random, the mean of twice these",
)
.by("dare_linear", r#"{"flavor": "paper", "density": 0.5}"#);

/// Random entries of the elected sign.
pub const DARE_TIES: Adapters = naive(
    "dare-ties",
    "DARE-TIES",
    "arXiv 2311.03099: half of each adapter's entries at random, of the elected sign, averaged",
)
.by("dare_ties", r#"{"flavor": "paper", "density": 0.5}"#);

/// The largest entries, added up.
pub const MAGNITUDE_PRUNE: Adapters = naive(
    "magnitude-prune",
    "magnitude prune",
    "PEFT: the mean of each adapter's largest half of entries",
)
.by("magnitude_prune", r#"{"density": 0.5, "space": "dense"}"#);

/// Entries of middling size.
pub const BREADCRUMBS: Adapters = naive(
    "breadcrumbs",
    "breadcrumbs",
    "arXiv 2312.06795, mergekit: nine tenths of each adapter's entries, without the largest hundredth, averaged",
)
.by("breadcrumbs", r#"{"density": 0.9, "gamma": 0.01}"#);

/// Random entries, likelier the larger.
pub const DELLA: Adapters = naive(
    "della",
    "DELLA",
    "arXiv 2406.11617, mergekit: random entries, likelier the larger, of the elected sign",
)
.by("della", r#"{"density": 0.5}"#);

/// Along the arc between two updates.
pub const SLERP: Adapters = naive(
    "slerp",
    "SLERP",
    "mergekit: half-way along the arc between two adapters; of two alone",
)
.by("slerp", r#"{"t": 0.5}"#);

/// Shorter, the less the updates agree.
pub const MODEL_STOCK: Adapters = naive(
    "model-stock",
    "model stock",
    "arXiv 2403.19522: the mean, shorter the less the adapters agree",
)
.by("model_stock", "{}");

/// The entries that compete well.
pub const PCB: Adapters = naive(
    "pcb",
    "PCB",
    "arXiv 2410.02396: entries weighed by their size and by how the adapters agree on them",
)
.by("pcb", "{}");

/// The largest entries, averaged where several have them.
pub const LOCALIZE_AND_STITCH: Adapters = naive(
    "localize-and-stitch",
    "Localize-and-Stitch",
    "arXiv 2408.13656: the largest twentieth of each adapter's entries, without data",
)
.by("localize_and_stitch", "{}");

/// The same with masks that are learnt.
pub const LOCALIZE_AND_STITCH_TRAINED: Adapters = naive(
    "localize-and-stitch-trained",
    "Localize-and-Stitch, trained",
    "arXiv 2408.13656: the entries of each adapter that training prompts of its domain want kept, learnt from the largest twentieth on",
)
.by_measured("localize_and_stitch", "{}");

/// Entries that several adapters want.
pub const TALL_MASKS: Adapters = naive(
    "tall-masks",
    "consensus (TALL masks)",
    "arXiv 2405.07813: the entries of the sum that several adapters agree on",
)
.by("tall_masks", "{}");

/// Ranks as bricks, by clusters.
pub const LORA_LEGO: Adapters = naive(
    "lora-lego",
    "LoRA-LEGO",
    "arXiv 2409.16167: the ranks of all adapters in clusters, each replaced by its centre",
)
.by("lora_lego", "{}");

/// TIES on what the adapters share.
pub const KNOTS_TIES: Adapters = naive(
    "knots-ties",
    "TIES in KnOTS",
    "arXiv 2410.19735: TIES on the right factors over the left singular vectors of all adapters",
)
.by(
    "ties",
    r#"{"flavor": "mergekit", "density": 0.2, "space": "knots"}"#,
);

/// TIES on the cores.
pub const CORE_TIES: Adapters = naive(
    "core-ties",
    "TIES in Core Space",
    "arXiv 2509.17786: TIES on the adapters' cores over bases that they share",
)
.by(
    "ties",
    r#"{"flavor": "mergekit", "density": 0.2, "space": "core"}"#,
);

/// The leading directions of each, made orthogonal.
pub const TSV_M: Adapters = naive(
    "tsv-m",
    "TSV-M",
    "arXiv 2412.00081: the leading singular directions of each adapter, made orthogonal to the others'",
)
.by("tsv_m", "{}");

/// Equal singular values.
pub const ISO_C: Adapters = naive(
    "iso-c",
    "Iso-C",
    "arXiv 2502.04959: the sum with all singular values equal",
)
.by("iso_c", "{}");

/// Equal singular values, of shared directions and of each one's own.
pub const ISO_CTS: Adapters = naive(
    "iso-cts",
    "Iso-CTS",
    "arXiv 2502.04959: the same with directions of each adapter beside those that they share",
)
.by("iso_cts", "{}");

/// Entries of middling size, of the elected sign.
pub const BREADCRUMBS_TIES: Adapters = naive(
    "breadcrumbs-ties",
    "breadcrumbs, TIES",
    "arXiv 2312.06795, mergekit: nine tenths of each adapter's entries, without the largest hundredth, of the elected sign",
)
.by("breadcrumbs_ties", r#"{"density": 0.9, "gamma": 0.01}"#);

/// Random entries, likelier the larger, added up.
pub const DELLA_LINEAR: Adapters = naive(
    "della-linear",
    "DELLA, linear",
    "arXiv 2406.11617, mergekit: random entries, likelier the larger, averaged",
)
.by("della_linear", r#"{"density": 0.5}"#);

/// The largest of the elected sign, masked and scaled for the target.
pub const EMR: Adapters = naive(
    "emr",
    "EMR",
    "arXiv 2405.17461: the largest entry of the elected sign, masked and scaled for the target's adapter",
)
.by("emr", r#"{"target": 1}"#);

/// The mean by squared gradients.
pub const FISHER: Adapters = naive(
    "fisher",
    "Fisher",
    "arXiv 2111.09832: the mean entry by entry, weighed by squared gradients on training prompts of each adapter's domain",
)
.by_measured("fisher", "{}");

/// What comes nearest to each adapter's outputs.
pub const REGMEAN: Adapters = naive(
    "regmean",
    "RegMean",
    "arXiv 2212.09849: nearest to each adapter's outputs on training prompts of its domain",
)
.by_measured("regmean", "{}");

/// The sum through SharpRec's map.
pub const PSA: Adapters = naive(
    "psa",
    "SharpRec's PSA",
    "SharpRec's code: the mean of single-domain adapters, each entry less noise and through its map; its members' flat minima are a setting of \
     training",
)
.by("psa", "{}");

/// The sum times the number that comes nearest to that map: what SharpRec's is to be better than.
pub const PSA_SCALAR: Adapters = naive(
    "psa-scalar",
    "PSA as a scalar",
    "the mean of single-domain adapters times the number that brings it nearest to SharpRec's map",
)
.by("psa_scalar", "{}");

/// Directions of updates, with weights that the target's training prompts teach.
pub const FEDECIDER: Adapters = naive(
    "fedecider",
    "FeDecider (one shot)",
    "directions of single-domain adapters, as long as the target's, by weights learnt on the target's training prompts; one shot, no rounds \
     and no clients",
)
.weighed(
    r#"{"by": "descent", "form": "free", "start": {"member": 1}, "directions": true, "weight_decay": 0.1, "learning_rate": 0.01,
        "steps": 150, "batch_size": 8, "objective": {"kind": "answer"}}"#,
);

/// The same without directions.
pub const LEARNED_SUM: Adapters = naive(
    "learned-sum",
    "learned sum",
    "single-domain adapters by weights learnt on the target's training prompts: FeDecider without its directions",
)
.weighed(
    r#"{"by": "descent", "form": "free", "start": {"member": 1}, "weight_decay": 0.1, "learning_rate": 0.01, "steps": 150,
        "batch_size": 8, "objective": {"kind": "answer"}}"#,
);

/// Weights by what each adapter says of its own domain.
pub const MERGEREC: Adapters = naive(
    "mergerec",
    "MergeRec",
    "MergeRec's code, on likelihoods: weights under which the merge says of pseudo-users of each domain what its adapter says; no user's data",
)
.weighed(
    r#"{"by": "descent", "form": "free", "start": {"each": 0.2}, "learning_rate": 0.02, "steps": 100,
        "objective": {"kind": "distillation"}}"#,
);

/// Weights by entropy.
pub const NAIVE_ENTROPY: Adapters = naive(
    "adamerging",
    "AdaMerging",
    "arXiv 2310.02575: single-domain adapters, weights by the entropy of the next tokens on prompts without answers",
)
.weighed(r#"{"by": "descent", "objective": {"kind": "vocabulary-entropy", "tokens": 3}}"#);

const fn woven(id: &'static str, label: &'static str, reference: &'static str) -> Adapters {
    row(id, label, Family::Woven, reference, |_| Some(Recipe::Weave))
}

/// Weights from a grid.
pub const WEAVEREC_GRID: Adapters = woven(
    "weaverec-grid",
    "WeaveRec, λ on C",
    "the weave's members by the weights of a grid that calibration users find best; uniform where they are too few",
)
.weighed(r#"{"by": "grid", "divisions": 6}"#);

/// Weights by entropy, one a member.
pub const WEAVEREC_ENTROPY: Adapters = woven(
    "weaverec-entropy",
    "WeaveRec, λ by entropy",
    "arXiv 2510.26546: the weave's members, a weight each by the entropy of the next tokens on prompts without answers",
)
.weighed(r#"{"by": "descent", "objective": {"kind": "vocabulary-entropy", "tokens": 3}}"#);

/// Weights by entropy, one a member and module.
pub const WEAVEREC_ENTROPY_MODULES: Adapters = woven(
    "weaverec-entropy-modules",
    "WeaveRec, λ by entropy, a module",
    "arXiv 2510.26546: the same with weights of their own in every module",
)
.weighed(r#"{"by": "descent", "per": "module", "objective": {"kind": "vocabulary-entropy", "tokens": 3}}"#);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use weaverec_model::merge::weights::{Descent, Weights};

    use super::*;
    use crate::method::{How, MergeBy, Method, weights};

    #[test]
    fn rivals_learn_as_the_program_says_that_they_do() {
        let of = |row: &Adapters| match row.how() {
            How::Adapters {
                by: Some(MergeBy::Weights(settings)),
                ..
            } => weights(settings).unwrap(),
            _ => panic!("{} has weights that are learnt", row.id()),
        };
        assert_eq!(of(&FEDECIDER), Weights::Descent(Descent::fedecider()));
        assert_eq!(of(&LEARNED_SUM), Weights::Descent(Descent::learned_sum()));
        assert_eq!(of(&MERGEREC), Weights::Descent(Descent::mergerec()));
    }

    #[test]
    fn what_names_the_rows_of_before_is_what_it_was() {
        let of = |row: &Adapters| match row.how() {
            How::Adapters { by: Some(by), .. } => by.identity().unwrap().to_string(),
            _ => panic!("{} is a merge", row.id()),
        };
        let entropy = |per: &str| {
            format!(
                r#"{{"weights":{{"by":"descent","per":"{per}","form":{{"softmax":{{"temperature":1.0}}}},"learning_rate":0.1,"epochs":5,"#
            ) + r#""batch_size":16,"seed":0,"objective":{"kind":"vocabulary-entropy","tokens":3}},"users":300}"#
        };
        assert_eq!(of(&NAIVE_ENTROPY), entropy("adapter"));
        assert_eq!(of(&WEAVEREC_ENTROPY_MODULES), entropy("module"));
        assert_eq!(
            of(&WEAVEREC_GRID),
            r#"{"weights":{"by":"grid","divisions":6,"objective":{"kind":"ndcg","at":5,"normalisation":"sum"}}}"#
        );
    }
}
