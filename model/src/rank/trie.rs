//! Candidates as a tree: what several of them begin with is there, and is computed, once.

/// Tokens that follow one another without a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The tokens; at least one.
    pub tokens: Vec<u32>,
    /// The run they go on from; none at the root. Parents stand before their children.
    pub parent: Option<usize>,
    /// Whether another run goes on from it.
    pub branches: bool,
}

/// A prefix tree of token sequences, without single branches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trie {
    /// The runs, each after its parent.
    pub runs: Vec<Run>,
    /// The run that each sequence ends with, in the order given.
    pub ends: Vec<usize>,
}

impl Trie {
    /// The tree of sequences, none of them empty; equal ones share their end.
    pub fn of<S: AsRef<[u32]>>(sequences: &[S]) -> Self {
        let sequences: Vec<&[u32]> = sequences.iter().map(AsRef::as_ref).collect();
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|place| sequences[*place]);
        let mut trie = Trie {
            runs: Vec::new(),
            ends: vec![0; sequences.len()],
        };
        trie.grow(&sequences, &order, 0, None);
        trie
    }

    /// Adds what the sequences `order`, sorted and equal up to `depth`, have from there on.
    fn grow(&mut self, sequences: &[&[u32]], order: &[usize], depth: usize, parent: Option<usize>) {
        let rest = |i: usize| &sequences[i][depth..];
        for group in order.chunk_by(|a, b| rest(*a).first() == rest(*b).first()) {
            let (first, last) = (rest(group[0]), rest(group[group.len() - 1]));
            // Of a sorted group, the first and the last differ earliest. Where one ends, a run ends.
            let common = first.iter().zip(last).take_while(|(a, b)| a == b).count();
            let run = match common {
                // Those that end here.
                0 => parent.unwrap_or_default(),
                _ => {
                    self.runs.push(Run {
                        tokens: first[..common].to_vec(),
                        parent,
                        branches: false,
                    });
                    self.runs.len() - 1
                }
            };
            let longer = group.partition_point(|i| rest(*i).len() == common);
            let (ending, going_on) = group.split_at(longer);
            ending.iter().for_each(|i| self.ends[*i] = run);
            if !going_on.is_empty() {
                self.runs[run].branches = true;
                self.grow(sequences, going_on, depth + common, Some(run));
            }
        }
    }

    /// A run's ancestors, from the root.
    pub fn ancestors(&self, run: usize) -> Vec<usize> {
        let mut above: Vec<usize> = self.path(run).skip(1).collect();
        above.reverse();
        above
    }

    /// A run and its ancestors, up to the root.
    pub fn path(&self, run: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(run), |r| self.runs[*r].parent)
    }

    /// What goes on from each run.
    pub fn children(&self) -> Children {
        let mut children = Children {
            root: Vec::new(),
            runs: vec![Vec::new(); self.runs.len()],
        };
        for (i, run) in self.runs.iter().enumerate() {
            match run.parent {
                Some(parent) => children.runs[parent].push(i),
                None => children.root.push(i),
            }
        }
        children
    }
}

/// The runs that go on from others, in ascending order.
pub(super) struct Children {
    root: Vec<usize>,
    runs: Vec<Vec<usize>>,
}

impl Children {
    /// Those that go on from one, or from the root.
    pub fn of(&self, parent: Option<usize>) -> &[usize] {
        parent.map_or(&self.root, |parent| &self.runs[parent])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelt(trie: &Trie, end: usize) -> Vec<u32> {
        let path = trie.ancestors(end).into_iter().chain([end]);
        path.flat_map(|run| trie.runs[run].tokens.clone()).collect()
    }

    #[test]
    fn what_sequences_share_is_there_once() {
        let trie = Trie::of(&[vec![1, 2, 3], vec![7], vec![1, 2, 4, 5], vec![1, 2], vec![7]]);
        let tokens: Vec<&[u32]> = trie.runs.iter().map(|run| run.tokens.as_slice()).collect();
        assert_eq!(tokens, [&[1, 2][..], &[3], &[4, 5], &[7]]);
        assert_eq!(trie.ends, [1, 3, 2, 0, 3]);
        assert_eq!(trie.children().of(None), [0, 3]);
        assert_eq!(trie.children().of(Some(0)), [1, 2]);
        assert_eq!(
            trie.runs.iter().map(|r| r.branches).collect::<Vec<_>>(),
            [true, false, false, false]
        );
    }

    proptest! {
        #[test]
        fn every_sequence_is_spelt_by_the_path_to_its_end_and_no_beginning_is_there_twice(
            sequences in prop::collection::vec(prop::collection::vec(0u32..3, 1..6), 0..20)
        ) {
            let trie = Trie::of(&sequences);
            for (sequence, end) in sequences.iter().zip(&trie.ends) {
                prop_assert_eq!(&spelt(&trie, *end), sequence);
            }
            let mut beginnings: Vec<&[u32]> = sequences.iter().flat_map(|s| (1..=s.len()).map(move |n| &s[..n])).collect();
            beginnings.sort();
            beginnings.dedup();
            prop_assert_eq!(trie.runs.iter().map(|run| run.tokens.len()).sum::<usize>(), beginnings.len());
            for (i, run) in trie.runs.iter().enumerate() {
                prop_assert!(run.parent.is_none_or(|parent| parent < i));
                prop_assert_eq!(run.branches, !trie.children().of(Some(i)).is_empty());
            }
        }
    }
}
