//! What one module takes while it is merged, in numbers of f64 that are there at once, beside the members' factors and the result's.
//!
//! A module goes through phases, and the largest of them counts:
//!
//! * **the space** makes the members' matrices. A dense update is multiplied as one matrix and laid out as another before the first is
//!   dropped, so that the last of n updates has n others' places and two;
//! * **the rule** has these matrices and what it makes beside them ([`Merging::holds`]);
//! * **the cut** of a dense result, which falls away where it is folded whole, has it and a decomposition: of all of it, where the module
//!   is small or the rank nearly full, else of the subspace that is looked for; of a sum it is that of the factors;
//! * **the report** goes through the factors of all members, and of the result, a piece at a time.
//!
//! Random inputs of the report, numbers a row or a rank, and the tables of a pass over all modules (32 MiB, with two updates) are left out of
//! sums, and the last is its own phase.

use super::align::Site;
use super::rule::{Merging, Method};
use super::run::Run;
use super::space::{Space, dense};

/// Times the factors of all members, for what is worked on in them: they in f64 as a tensor, as numbers and as a matrix, and a product.
const FACTORS: usize = 4;
/// Times the factors of a result that is cut: both sides, their QR and its Q, the product with the core's sides, and the cut factors. Of a
/// sum it is next to nothing, unless its columns are nearly dependent.
const CUT_OF_FACTORS: usize = 6;
/// Times a dense matrix, for its whole decomposition: the matrix laid out anew, both sides with room to work, and copies of both.
const WHOLE: usize = 6;
/// Times the vectors of a subspace: the basis, what is multiplied with it, two QRs, the decomposition within.
const SUBSPACE: usize = 6;
/// Bytes of the counts of a pass that finds a number by its rank among those of all modules.
const COUNTS: usize = (1 << 22) * size_of::<usize>();

/// Numbers that reading a file's tensor takes: as it is there, in f32, the same in f64, and the matrix.
pub(super) fn read(entries: usize) -> usize {
    entries * 5 / 2
}

/// Bytes that a module takes.
pub(super) fn of(run: Run, site: &Site) -> usize {
    let (out, input) = site.shape;
    let (ranks, members) = (site.ranks(), site.factors.len());
    let all: usize = ranks.iter().sum();
    let rule = run.rule.merging();
    let factors = FACTORS * (out + input) * all;
    let numbers = match rule.method() {
        Method::Sum(_) => {
            let cut = match run.rank_in(site) {
                Some(rank) if rank < all => CUT_OF_FACTORS * (out + input) * all,
                _ => 0,
            };
            // Norms, inner products and what is compared go through the factors a piece at a time.
            cut.max(rule.holds(site, out * input))
        }
        Method::Matrices(space, _) => {
            let made = in_space(space, rule, site);
            let cut = match space {
                Space::Dense => {
                    let rank = run.rank_in(site).unwrap_or(out.min(input));
                    out * input + cut_of_dense(site.shape, rank)
                }
                _ => CUT_OF_FACTORS * (out + input) * all.min(out).min(input),
            };
            factors.max(made).max(cut)
        }
    };
    let bytes = numbers * size_of::<f64>();
    match rule.passes(members) {
        0 => bytes,
        // A pass counts in a table, with one update at a time; PCB scores all of them.
        _ => bytes.max(COUNTS + (members + 2) * out * input * size_of::<f64>()),
    }
}

/// The members' matrices in a space, what makes them, and what the rule makes of them.
fn in_space(space: Space, rule: &dyn Merging, site: &Site) -> usize {
    let (out, input) = site.shape;
    let (ranks, members) = (site.ranks(), site.factors.len());
    let all: usize = ranks.iter().sum();
    let largest = ranks.iter().max().copied().unwrap_or(0);
    match space {
        Space::Dense => {
            let update = out * input;
            // The product's place is free again when the rule begins.
            let beside = rule.holds(site, update).max(update);
            members * update + beside + FACTORS * (out + input) * largest
        }
        // Columns of all members in one decomposition, and for each a matrix R × in beside its rows.
        Space::Knots => {
            let rank = all.min(out);
            let basis = 5 * out * all + (FACTORS + 1) * input * all;
            basis + (members + 2) * rank * input + rule.holds(site, rank * input)
        }
        // Both sides' bases, of all columns and all rows, and a core R × R for each.
        Space::Core => {
            let (left, right) = (all.min(out), all.min(input));
            5 * (out + input) * all + (members + 2) * left * right + rule.holds(site, left * right)
        }
        Space::Factors => {
            let sides = (out + input) * largest;
            FACTORS * (out + input) * all + sides + rule.holds(site, out.max(input) * largest)
        }
        Space::Units => FACTORS * (out + input) * all + rule.holds(site, (out + input) * all),
    }
}

/// What it takes to cut a dense matrix to a rank, beside itself.
fn cut_of_dense((out, input): (usize, usize), rank: usize) -> usize {
    match dense::subspace(out.min(input), rank) {
        None => WHOLE * out * input,
        Some(count) => SUBSPACE * (out + input) * count,
    }
}

#[cfg(test)]
mod tests;
