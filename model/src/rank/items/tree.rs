//! A catalogue as the tree of its items' tokens.

use std::ops::Range;

use crate::{Error, Result};

/// What stands for no node and for no item.
pub(super) const NONE: u32 = u32::MAX;

/// The items of a catalogue as the tree of their tokens.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// Of every node, each before those that go on from it and these before the next one beside it.
    pub(super) nodes: Vec<Node>,
    /// Those that go on from each, in ascending order.
    children: Vec<u32>,
    /// Those at the root.
    pub(super) roots: Vec<u32>,
    /// The node that each item ends with.
    pub(super) ends: Vec<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub token: u32,
    parent: u32,
    children: Range<u32>,
    /// The item that ends here.
    pub item: u32,
}

impl Catalogue {
    /// The tree of items, each of as many tokens as the others.
    ///
    /// # Errors
    /// No items, items of other lengths, and two of the same tokens.
    pub fn new<S: AsRef<[u32]>>(items: &[S]) -> Result<Self> {
        let items: Vec<&[u32]> = items.iter().map(AsRef::as_ref).collect();
        let depth = items.first().map_or(0, |first| first.len());
        if depth == 0 || items.iter().any(|item| item.len() != depth) {
            return Err(Error::Usage(
                "a catalogue of items that are of no tokens, or of different numbers of them: give each as many as the others".into(),
            ));
        }
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|place| items[*place]);
        let (mut nodes, mut ends) = (Vec::<Node>::new(), vec![NONE; items.len()]);
        // The nodes of the item before.
        let mut path: Vec<usize> = Vec::with_capacity(depth);
        let mut before: &[u32] = &[];
        for place in order {
            let shared = items[place]
                .iter()
                .zip(before)
                .take_while(|(a, b)| a == b)
                .count();
            if shared == depth {
                let twin = path.last().map_or(NONE, |end| nodes[*end].item);
                return Err(Error::Usage(format!(
                    "items {} and {} have the same tokens: nothing could tell them apart",
                    twin + 1,
                    place + 1
                )));
            }
            path.truncate(shared);
            for token in &items[place][shared..] {
                nodes.push(Node {
                    token: *token,
                    parent: path.last().map_or(NONE, |parent| *parent as u32),
                    children: 0..0,
                    item: NONE,
                });
                path.push(nodes.len() - 1);
            }
            let end = nodes.len() - 1;
            nodes[end].item = place as u32;
            ends[place] = end as u32;
            before = items[place];
        }
        let mut below: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
        let mut roots = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            match node.parent {
                NONE => roots.push(at as u32),
                parent => below[parent as usize].push(at as u32),
            }
        }
        let mut children = Vec::with_capacity(nodes.len());
        for (node, below) in nodes.iter_mut().zip(below) {
            let start = children.len() as u32;
            children.extend(below);
            node.children = start..children.len() as u32;
        }
        Ok(Catalogue {
            nodes,
            children,
            roots,
            ends,
        })
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.ends.len()
    }

    /// The place of the item with these tokens, if there is one.
    pub fn find(&self, tokens: &[u32]) -> Option<usize> {
        let mut beginnings = self.roots.as_slice();
        let mut found = None;
        for token in tokens {
            let at = beginnings.partition_point(|node| self.nodes[*node as usize].token < *token);
            let node = *beginnings.get(at)?;
            if self.nodes[node as usize].token != *token {
                return None;
            }
            found = Some(self.nodes[node as usize].item);
            beginnings = self.children(node);
        }
        found.filter(|item| *item != NONE).map(|item| item as usize)
    }

    /// What goes on from a node.
    pub(super) fn children(&self, node: u32) -> &[u32] {
        let Range { start, end } = self.nodes[node as usize].children;
        &self.children[start as usize..end as usize]
    }

    /// The nodes that an item leads through, from the root to its end.
    pub(super) fn path(&self, end: u32) -> Vec<u32> {
        let parent = |node: &u32| Some(self.nodes[*node as usize].parent).filter(|parent| *parent != NONE);
        let mut path: Vec<u32> = std::iter::successors(Some(end), parent).collect();
        path.reverse();
        path
    }
}
