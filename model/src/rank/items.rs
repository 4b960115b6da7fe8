//! Items of a few tokens each, ranked by likelihood in a whole catalogue: the tree of their tokens is read once for many users, and where
//! only the best are asked for, no further than they reach.

mod next_tokens;
mod tree;

use std::collections::HashSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use self::next_tokens::NextTokens;
pub use self::tree::Catalogue;
use self::tree::NONE;
use crate::backbone::{Decoder, Pass};
use crate::rank::top::{Ranked, best};
use crate::{Error, Result};

/// Rows of items in one pass; models that read items are small.
const ROWS: usize = 8192;
/// Rows of prompts that are read together.
const PROMPT_ROWS: usize = 2048;
/// Beginnings that are read on at a time where only the best items are asked for.
const AT_A_TIME: usize = 256;

/// What the chance of a token is a share of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mass {
    /// Of all tokens that the model knows: what [`score`](super::score) gives, and what the model was trained for.
    Vocabulary,
    /// Of the tokens with which an item of the catalogue goes on: the chances of all items sum to one. Where one token alone is left
    /// nothing is computed, which most endings of codes are.
    #[default]
    Catalogue,
}

/// A decoder, or whatever else tells chances of [next tokens](NextTokens), that ranks a catalogue.
#[derive(Debug)]
pub struct Ranker<'a, M = Decoder> {
    /// Plain or folded.
    pub decoder: &'a M,
    /// The items.
    pub catalogue: &'a Catalogue,
    /// What the chance of a token is a share of.
    pub mass: Mass,
}

// By hand, since what is referred to need not be copied.
impl<M> Clone for Ranker<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Ranker<'_, M> {}

/// Whose target is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// What comes before the item.
    pub prompt: &'a [u32],
    /// The item's place in the catalogue.
    pub target: usize,
    /// Places of items that are left out: what the user knows already.
    pub excluded: &'a [usize],
}

impl<M: NextTokens> Ranker<'_, M> {
    /// Log-probabilities of all items, in the catalogue's order, after each prompt; `out` is prompts × items. `progress` is told how many
    /// prompts are done.
    ///
    /// # Errors
    /// An empty prompt, an `out` of another size, or a model whose answers are no numbers.
    pub fn scores(&self, prompts: &[&[u32]], out: &mut [f32], progress: &mut dyn FnMut(usize)) -> Result<()> {
        let items = self.catalogue.items();
        if out.len() != prompts.len() * items {
            return Err(Error::Usage(format!(
                "room for {} scores of {} prompts × {items} items",
                out.len(),
                prompts.len()
            )));
        }
        let inner: Vec<u32> = (0..self.catalogue.nodes.len() as u32)
            .filter(|node| !self.catalogue.children(*node).is_empty())
            .collect();
        let mut done = 0;
        for batch in batches(prompts) {
            let reader = Reader::new(self, batch)?;
            for (user, out) in out[done * items..][..batch.len() * items]
                .chunks_exact_mut(items)
                .enumerate()
            {
                let mut sums = vec![0.0; self.catalogue.nodes.len()];
                for (root, answer) in self.catalogue.roots.iter().zip(&reader.roots[user]) {
                    sums[*root as usize] = *answer;
                }
                let asked: Vec<(usize, u32)> = inner.iter().map(|node| (user, *node)).collect();
                let mut answers = reader.after(&asked)?.into_iter();
                for node in &inner {
                    let before = sums[*node as usize];
                    for (child, answer) in self.catalogue.children(*node).iter().zip(answers.by_ref()) {
                        sums[*child as usize] = before + answer;
                    }
                }
                for (score, end) in out.iter_mut().zip(&self.catalogue.ends) {
                    *score = sums[*end as usize];
                }
                progress(done + user + 1);
            }
            done += batch.len();
        }
        Ok(())
    }

    /// The `count` likeliest items after each prompt, best first, equal ones in the catalogue's order, but for those at the places
    /// `excluded`: those that [`scores`](Self::scores) puts there, but for rounding.
    ///
    /// A beginning of items is read on only while it is likelier than `count` whole items, since no token makes a sum greater.
    ///
    /// # Errors
    /// As [`scores`](Self::scores), and as many lists of excluded items as prompts are needed.
    pub fn top(&self, prompts: &[&[u32]], excluded: &[&[usize]], count: usize) -> Result<Vec<Vec<Ranked>>> {
        if prompts.len() != excluded.len() {
            return Err(Error::Usage(format!(
                "{} prompts and {} lists of items to leave out: give each prompt one, which may be empty",
                prompts.len(),
                excluded.len()
            )));
        }
        let margin = self.decoder.rounding();
        let mut all = Vec::with_capacity(prompts.len());
        for batch in batches(prompts) {
            let reader = Reader::new(self, batch)?;
            let excluded = &excluded[all.len()..][..batch.len()];
            let mut users: Vec<Search> = (0..batch.len())
                .map(|user| reader.search(user, excluded[user]))
                .collect();
            let mut found: Vec<Vec<Ranked>> = vec![Vec::new(); batch.len()];
            reader.read_on(&mut users, |user, news, open| {
                let found = &mut found[user];
                found.extend(news);
                *found = best(std::mem::take(found), count);
                if let Some(least) = found.last().filter(|_| found.len() == count) {
                    open.retain(|(sum, _)| *sum >= least.score - margin);
                }
                if count == 0 {
                    open.clear();
                }
            })?;
            all.extend(found);
        }
        Ok(all)
    }

    /// How many items are likelier than each target, and how many others are as likely, those that are excluded left out. Counting ends
    /// where `most` are likelier: whoever looks at the first hundred need not know where behind them a target stands.
    ///
    /// # Errors
    /// As [`scores`](Self::scores), and a target that is excluded or not in the catalogue.
    pub fn places(
        &self,
        sought: &[Sought],
        most: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<(usize, usize)>> {
        for Sought { target, excluded, .. } in sought {
            if *target >= self.catalogue.items() || excluded.contains(target) {
                return Err(Error::Usage(format!(
                    "the target, item {}, is excluded or not in the catalogue of {}: it has no place there",
                    target + 1,
                    self.catalogue.items()
                )));
            }
        }
        let margin = self.decoder.rounding();
        let prompts: Vec<&[u32]> = sought.iter().map(|sought| sought.prompt).collect();
        let mut all = Vec::with_capacity(sought.len());
        for batch in batches(&prompts) {
            let reader = Reader::new(self, batch)?;
            let sought = &sought[all.len()..][..batch.len()];
            let own = reader.own(sought)?;
            let mut users = Vec::with_capacity(batch.len());
            for (user, sought) in sought.iter().enumerate() {
                let mut search = reader.search(user, sought.excluded);
                search.excluded.insert(sought.target as u32);
                search.open.retain(|(sum, _)| *sum >= own[user] - margin);
                users.push(search);
            }
            let mut places = vec![(0, 0); batch.len()];
            reader.read_on(&mut users, |user, news, open| {
                let (above, tied) = &mut places[user];
                *above += news.iter().filter(|item| item.score > own[user]).count();
                *tied += news.iter().filter(|item| item.score == own[user]).count();
                match *above >= most {
                    true => open.clear(),
                    false => open.retain(|(sum, _)| *sum >= own[user] - margin),
                }
            })?;
            all.extend(places);
            progress(all.len());
        }
        Ok(all)
    }
}

/// Prompts as many at a time as are read together.
fn batches<'p, 'a>(prompts: &'p [&'a [u32]]) -> impl Iterator<Item = &'p [&'a [u32]]> {
    let mut rest = prompts;
    std::iter::from_fn(move || {
        let mut rows = 0;
        let fitting = rest.iter().take_while(|prompt| {
            rows += prompt.len();
            rows <= PROMPT_ROWS
        });
        let count = fitting.count().max(1).min(rest.len());
        let (batch, later) = rest.split_at(count);
        rest = later;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Some prompts, read, before the items that may follow.
struct Reader<'a, M: NextTokens> {
    of: &'a Ranker<'a, M>,
    cache: M::Cache,
    /// Where in the cache each prompt is.
    prompts: Vec<Range<usize>>,
    /// After each prompt, of the catalogue's first tokens.
    roots: Vec<Vec<f32>>,
}

/// A search under way for one user.
struct Search {
    /// Beginnings that were not read on, with their log-probabilities.
    open: Vec<(f32, u32)>,
    excluded: HashSet<u32>,
}

impl<'a, M: NextTokens> Reader<'a, M> {
    fn new(of: &'a Ranker<'a, M>, prompts: &[&[u32]]) -> Result<Self> {
        if prompts.iter().any(|prompt| prompt.is_empty()) {
            return Err(Error::Usage(
                "an empty prompt: there is nothing to rank a catalogue by".into(),
            ));
        }
        let pass = Pass::sequences(prompts.iter().copied());
        let mut rows = Vec::with_capacity(prompts.len());
        let mut start = 0;
        for prompt in prompts {
            rows.push(start..start + prompt.len());
            start += prompt.len();
        }
        let first = |at: &u32| of.catalogue.nodes[*at as usize].token;
        let roots = &of.catalogue.roots;
        let asked: Vec<(usize, u32)> = rows
            .iter()
            .flat_map(|rows| roots.iter().map(|root| (rows.end - 1, first(root))))
            .collect();
        let (mut answers, cache) = of.decoder.read(&pass, &asked)?;
        answers
            .chunks_exact_mut(roots.len())
            .for_each(|answers| shares(answers, of.mass));
        check(&answers)?;
        Ok(Reader {
            of,
            cache,
            prompts: rows,
            roots: answers.chunks_exact(roots.len()).map(<[f32]>::to_vec).collect(),
        })
    }

    /// Log-probabilities of what goes on from each of these nodes after the prompt of the user beside it, one after another. Users ascend,
    /// and nodes of a user.
    fn after(&self, asked: &[(usize, u32)]) -> Result<Vec<f32>> {
        let catalogue = self.of.catalogue;
        let mut found = Vec::with_capacity(asked.len());
        let mut rest = asked;
        while !rest.is_empty() {
            let (mut pass, mut rows, mut tokens) = (Pass::default(), Vec::new(), Vec::new());
            // The nodes above the one before, with their rows in this pass.
            let mut above: Vec<(u32, Range<usize>)> = Vec::new();
            let mut reader = None;
            let mut read = 0;
            for (user, node) in rest {
                if pass.rows() >= ROWS {
                    break;
                }
                read += 1;
                let children = catalogue.children(*node);
                if self.is_certain(children) {
                    continue;
                }
                if reader != Some(*user) {
                    reader = Some(*user);
                    above.clear();
                }
                let path = catalogue.path(*node);
                let shared = above
                    .iter()
                    .zip(&path)
                    .take_while(|(above, node)| above.0 == **node)
                    .count();
                above.truncate(shared);
                for node in &path[shared..] {
                    let after = above.iter().map(|(_, rows)| rows.clone()).collect();
                    let token = catalogue.nodes[*node as usize].token;
                    let own = pass.push(&[token], self.prompts[*user].clone(), after);
                    above.push((*node, own));
                }
                tokens.extend(
                    children
                        .iter()
                        .map(|child| (rows.len(), catalogue.nodes[*child as usize].token)),
                );
                // Nodes ascend, and each before those that go on from it, so rows ascend too.
                rows.push(pass.rows() as u32 - 1);
            }
            let answers = match rows.is_empty() {
                true => Vec::new(),
                false => {
                    let model = self.of.decoder;
                    model.read_on(&pass, &rows, &tokens, &self.cache, self.of.mass)?
                }
            };
            let mut answers = answers.as_slice();
            for (_, node) in &rest[..read] {
                let children = catalogue.children(*node);
                if self.is_certain(children) {
                    found.resize(found.len() + children.len(), 0.0);
                    continue;
                }
                let (own, later) = answers.split_at(children.len());
                answers = later;
                let start = found.len();
                found.extend_from_slice(own);
                shares(&mut found[start..], self.of.mass);
                check(&found[start..])?;
            }
            rest = &rest[read..];
        }
        Ok(found)
    }

    /// Whether what goes on is known without asking.
    fn is_certain(&self, children: &[u32]) -> bool {
        children.is_empty() || children.len() == 1 && self.of.mass == Mass::Catalogue
    }

    /// The log-probability of each user's target.
    fn own(&self, sought: &[Sought]) -> Result<Vec<f32>> {
        let catalogue = self.of.catalogue;
        let paths: Vec<Vec<u32>> = sought
            .iter()
            .map(|sought| catalogue.path(catalogue.ends[sought.target]))
            .collect();
        let inner = |path: &[u32]| path[..path.len() - 1].to_vec();
        let asked: Vec<(usize, u32)> = paths
            .iter()
            .enumerate()
            .flat_map(|(user, path)| inner(path).into_iter().map(move |node| (user, node)))
            .collect();
        let answers = self.after(&asked)?;
        let mut answers = answers.as_slice();
        let mut own = Vec::with_capacity(sought.len());
        for (user, path) in paths.iter().enumerate() {
            let root = catalogue.roots.partition_point(|root| *root < path[0]);
            let mut sum = self.roots[user][root];
            for pair in path.windows(2) {
                let children = catalogue.children(pair[0]);
                let (here, later) = answers.split_at(children.len());
                sum += here[children.partition_point(|child| *child < pair[1])];
                answers = later;
            }
            own.push(sum);
        }
        Ok(own)
    }

    fn search(&self, user: usize, excluded: &[usize]) -> Search {
        let roots = self.of.catalogue.roots.iter();
        Search {
            open: self.roots[user].iter().copied().zip(roots.copied()).collect(),
            excluded: excluded.iter().map(|place| *place as u32).collect(),
        }
    }

    /// Reads the likeliest open beginnings on, all users' together, until none is open. `told` is given a user's items that are whole now,
    /// and takes away what need not be read on.
    fn read_on(
        &self,
        users: &mut [Search],
        mut told: impl FnMut(usize, Vec<Ranked>, &mut Vec<(f32, u32)>),
    ) -> Result<()> {
        let catalogue = self.of.catalogue;
        // Items of a single token are whole from the start.
        for (user, search) in users.iter_mut().enumerate() {
            let whole = search.take_whole(catalogue);
            told(user, whole, &mut search.open);
        }
        loop {
            let mut asked: Vec<(usize, f32, u32)> = Vec::new();
            for (user, search) in users.iter_mut().enumerate() {
                search
                    .open
                    .sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                let later = search.open.split_off(AT_A_TIME.min(search.open.len()));
                let mut now = std::mem::replace(&mut search.open, later);
                now.sort_by_key(|(_, node)| *node);
                asked.extend(now.into_iter().map(|(sum, node)| (user, sum, node)));
            }
            if asked.is_empty() {
                return Ok(());
            }
            let nodes: Vec<(usize, u32)> = asked.iter().map(|(user, _, node)| (*user, *node)).collect();
            let mut answers = self.after(&nodes)?.into_iter();
            for (user, sum, node) in &asked {
                let children = catalogue.children(*node).iter().zip(answers.by_ref());
                users[*user]
                    .open
                    .extend(children.map(|(child, answer)| (sum + answer, *child)));
            }
            for (user, search) in users.iter_mut().enumerate() {
                let whole = search.take_whole(catalogue);
                told(user, whole, &mut search.open);
            }
        }
    }
}

impl Search {
    /// Takes the items that are whole from what is open, without the excluded ones.
    fn take_whole(&mut self, catalogue: &Catalogue) -> Vec<Ranked> {
        let mut whole = Vec::new();
        self.open.retain(|(score, node)| {
            let item = catalogue.nodes[*node as usize].item;
            if item != NONE && !self.excluded.contains(&item) {
                whole.push(Ranked {
                    place: item as usize,
                    score: *score,
                });
            }
            item == NONE
        });
        whole
    }
}

/// Log-probabilities of what may come next, as shares of what they are to be shares of.
fn shares(answers: &mut [f32], mass: Mass) {
    if mass == Mass::Vocabulary {
        return;
    }
    let most = answers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = answers.iter().map(|answer| (answer - most).exp()).sum();
    let all = most + sum.ln();
    answers.iter_mut().for_each(|answer| *answer -= all);
}

fn check(answers: &[f32]) -> Result<()> {
    match answers.iter().any(|answer| answer.is_nan()) {
        true => Err(Error::Usage(
            "the model's likelihoods are no numbers: its weights, or the adapter's, hold some that are not finite or far too large".into(),
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
