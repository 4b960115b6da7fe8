//! The prompts of a training set: which are taken of each domain, and in which order.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::Portion;
use crate::op::mix;
use crate::{Error, Result};

/// How many examples each domain gives to a training set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// The most that any domain gives.
    pub cap: usize,
    /// The most that a domain after the first gives for each example of the first, rounded up; none: as many as it has. A source
    /// many times the size of the target then does not drown it.
    pub ratio: Option<f64>,
}

impl Mixture {
    /// Up to `cap` examples from each domain.
    pub fn capped(cap: usize) -> Self {
        Mixture { cap, ratio: None }
    }

    /// What a domain of `available` examples gives, where the first domain gives `first` (none: this is the first).
    fn quota(self, available: usize, first: Option<usize>) -> usize {
        let most = match (self.ratio, first) {
            (Some(ratio), Some(first)) => (ratio * first as f64).ceil() as usize,
            _ => usize::MAX,
        };
        available.min(self.cap).min(most)
    }
}

/// The training set of an adapter: what the mixture takes from each domain, shuffled together. The target is the first domain.
///
/// In which order a domain's examples are taken depends on the seed and the domain's name alone, so that of two adapters of one
/// seed that share a domain one has seen the same part of it as the other, or the beginning of that part.
pub fn mix_domains<'a, T: Clone + 'a>(
    domains: impl IntoIterator<Item = (&'a str, &'a [T])>,
    mixture: Mixture,
    seed: u64,
) -> Vec<T> {
    let mut mixed = Vec::new();
    let mut name = String::new();
    let mut first = None;
    for (domain, examples) in domains {
        let mut chosen: Vec<usize> = (0..examples.len()).collect();
        chosen.shuffle(&mut keyed(seed, domain));
        chosen.truncate(mixture.quota(examples.len(), first));
        first = first.or(Some(chosen.len()));
        mixed.extend(chosen.into_iter().map(|i| examples[i].clone()));
        name.push('+');
        name.push_str(domain);
    }
    mixed.shuffle(&mut keyed(seed, &name));
    mixed
}

/// The prompts of a diet, one pass of them: pairs of a portion's place and a prompt's place among what is `available` of its domain.
///
/// A portion's pool is the beginning of its domain's order, which is that of [`mix_domains`] under the seed `subset`, so that all adapters of
/// one subset see the same part of a domain; prompts that come again do so in orders of their own, after the whole pool has been taken.
/// All are shuffled together by the seed `order`, whichever portion comes first. Of a plain diet and of the same domains in alphabetical
/// order under the same cap, this with one seed for both and [`mix_domains`] make the same training set.
///
/// # Errors
/// A portion that takes more different prompts than there are, or some of none.
pub fn mix_portions(
    portions: &[Portion],
    available: &dyn Fn(&str) -> usize,
    subset: u64,
    order: u64,
) -> Result<Vec<(usize, usize)>> {
    let mut sorted: Vec<usize> = (0..portions.len()).collect();
    sorted.sort_by_key(|place| &portions[*place]);
    let mut mixed = Vec::new();
    let mut name = String::new();
    for place in sorted {
        let portion = &portions[place];
        let taken = take(portion, available(&portion.domain), subset, order)?;
        mixed.extend(taken.into_iter().map(|prompt| (place, prompt)));
        name.push('+');
        name.push_str(&portion.domain);
    }
    mixed.shuffle(&mut keyed(order, &name));
    Ok(mixed)
}

/// A portion's prompts: its pool, and as much of it again as it takes.
fn take(portion: &Portion, available: usize, subset: u64, seed: u64) -> Result<Vec<usize>> {
    let Portion {
        domain,
        pool,
        prompts,
        ..
    } = portion;
    if *pool > available || (*pool == 0 && *prompts > 0) {
        return Err(Error::Usage(format!(
            "{prompts} prompts of {domain} are to come of a pool of {pool}, and it has {available}: plan again from the prompts there are"
        )));
    }
    let mut pool = {
        let mut order: Vec<usize> = (0..available).collect();
        order.shuffle(&mut keyed(subset, domain));
        order.truncate(*pool);
        order
    };
    let mut taken = Vec::with_capacity(*prompts);
    let instead_of = portion.again_for.as_deref().unwrap_or_default();
    for pass in 0.. {
        if pass > 0 {
            pool.shuffle(&mut keyed(seed, &format!("{domain}\0{instead_of}\0{pass}")));
        }
        taken.extend(pool.iter().take(prompts - taken.len()));
        if taken.len() == *prompts {
            break;
        }
    }
    Ok(taken)
}

fn keyed(seed: u64, name: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(mix(seed) ^ xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_caps_each_domain_and_depends_on_the_seed_alone() {
        let (a, b): (Vec<u32>, Vec<u32>) = ((0..100).collect(), (100..130).collect());
        let capped = Mixture::capped(40);
        let make = |seed| mix_domains([("a", a.as_slice()), ("b", b.as_slice())], capped, seed);
        let mixed = make(1);
        assert_eq!(mixed.iter().filter(|x| **x < 100).count(), 40);
        assert_eq!(mixed.iter().filter(|x| **x >= 100).count(), 30);
        assert_eq!(mixed, make(1));
        assert_ne!(mixed, make(2));
        assert!(
            mixed[..35].iter().any(|x| *x >= 100),
            "the domains are shuffled together"
        );
        let alone = mix_domains([("a", a.as_slice())], capped, 1);
        assert!(
            mixed.iter().filter(|x| **x < 100).all(|x| alone.contains(x)),
            "a shared domain gives the same part"
        );
    }

    #[test]
    fn a_ratio_holds_sources_to_a_share_of_the_target_and_takes_a_beginning_of_what_they_would_give() {
        let (target, source): (Vec<u32>, Vec<u32>) = ((0..41).collect(), (100..1_000).collect());
        let make = |cap, ratio| {
            let domains = [
                ("target", target.as_slice()),
                ("one", source.as_slice()),
                ("two", source.as_slice()),
            ];
            mix_domains(domains, Mixture { cap, ratio }, 7)
        };
        let sources = |mixed: &[u32]| mixed.iter().filter(|x| **x >= 100).count();
        for (cap, ratio, of_target, of_a_source) in [
            (1_000, None, 41, 900),
            (1_000, Some(0.5), 41, 21),
            (1_000, Some(2.0), 41, 82),
            (1_000, Some(100.0), 41, 900),
            (30, Some(0.5), 30, 15),
            (30, Some(2.0), 30, 30),
        ] {
            let mixed = make(cap, ratio);
            assert_eq!(mixed.len() - sources(&mixed), of_target, "{cap} {ratio:?}");
            assert_eq!(sources(&mixed), 2 * of_a_source, "{cap} {ratio:?}");
        }
        let (few, more) = (make(1_000, Some(0.2)), make(1_000, Some(0.5)));
        assert!(few.iter().all(|x| more.contains(x)));
    }
}
