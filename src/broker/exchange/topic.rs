//! The topic exchange: binding keys are patterns of words (TOP-1 to TOP-4).
//!
//! Patterns share a trie over numbered words. A routing key is matched by keeping the set of nodes
//! that its words read so far can have reached. Only a node of `#` can be reached in two ways, and
//! it is marked; so a word costs at most one step per node, whatever the number of `#` (TOP-6).

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use slab::Slab;

use super::targets::{Moved, Place, Target, Targets};
use super::{Found, NONE};

/// The edge of `*`, where others have the number of a word.
const STAR: u32 = u32::MAX - 1;
/// The edge of `#`.
const HASH: u32 = u32::MAX - 2;

/// The trie of one exchange.
pub(crate) struct Topic {
    words: Words,
    nodes: Slab<Node>,
    /// Edges of literal words: (node, word) to child. Lookups only.
    children: HashMap<(u32, u32), u32, RandomState>,
    root: u32,
}

/// What has been read of a pattern.
struct Node {
    /// Bindings whose pattern ends here.
    targets: Targets,
    parent: u32,
    /// The edge that leads here: a word's number, `STAR` or `HASH`.
    edge: u32,
    star: u32,
    hash: u32,
    /// Number of children by literal words.
    literals: u32,
}

/// Memory for matching. Nodes of all tries share the marks: a generation is never used twice.
#[derive(Default)]
pub(crate) struct TopicScratch {
    active: Vec<u32>,
    next: Vec<u32>,
    marks: Vec<u64>,
    generation: u64,
}

/// The words of a key or pattern; the empty string has none (TOP-1).
fn split(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = if key.is_empty() { None } else { Some(key.split(|octet| *octet == b'.')) };
    words.into_iter().flatten()
}

impl Topic {
    pub(crate) fn new(hash: &RandomState) -> Topic {
        let mut nodes = Slab::new();
        let root = slot(nodes.insert(Node::new(NONE, NONE)));
        let children = HashMap::with_hasher(hash.clone());
        Topic { words: Words::new(hash), nodes, children, root }
    }

    pub(crate) fn insert(&mut self, pattern: &[u8], target: Target) -> Place {
        let mut node = self.root;
        for word in split(pattern) {
            node = self.child_or_new(node, word);
        }
        Place { list: node, position: self.nodes[node as usize].targets.insert(target) }
    }

    pub(crate) fn remove(&mut self, place: Place) -> Option<Moved> {
        let moved = self.nodes[place.list as usize].targets.remove(place.position);
        let mut node = place.list;
        while node != self.root && self.nodes[node as usize].is_bare() {
            node = self.detach(node);
        }
        moved
    }

    pub(crate) fn collect(&self, key: &[u8], scratch: &mut TopicScratch, found: &mut Found) {
        scratch.begin(self.nodes.capacity());
        self.reach(self.root, scratch);
        for word in split(key) {
            scratch.advance();
            let number = self.words.number(word);
            for position in 0..scratch.active.len() {
                self.step(scratch.active[position], number, scratch);
            }
            if scratch.next.is_empty() {
                return;
            }
        }
        for node in &scratch.next {
            self.nodes[*node as usize].targets.collect(found);
        }
    }

    /// Reads one word at `node`. `number` is `None` for a word that no pattern has.
    fn step(&self, node: u32, number: Option<u32>, scratch: &mut TopicScratch) {
        let here = &self.nodes[node as usize];
        if here.edge == HASH {
            self.reach(node, scratch);
        }
        if here.star != NONE {
            self.reach(here.star, scratch);
        }
        let Some(number) = number.filter(|_| here.literals > 0) else { return };
        if let Some(child) = self.children.get(&(node, number)) {
            self.reach(*child, scratch);
        }
    }

    /// Notes `node` as reached, and with it its `#`, which also stands for no word at all.
    fn reach(&self, node: u32, scratch: &mut TopicScratch) {
        let here = &self.nodes[node as usize];
        if here.edge == HASH && !scratch.mark(node) {
            return;
        }
        scratch.next.push(node);
        if here.hash != NONE && scratch.mark(here.hash) {
            scratch.next.push(here.hash);
        }
    }

    /// True if nothing but the root is left.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let counts = (self.nodes.len(), self.children.len(), self.words.words.len());
        counts == (1, 0, 0) && self.words.numbers.is_empty()
    }

    fn child_or_new(&mut self, node: u32, word: &[u8]) -> u32 {
        let here = &self.nodes[node as usize];
        match word {
            // A `#` after a `#` says nothing new; without it no `#` has a `#` as its child.
            b"#" if here.edge == HASH => node,
            b"#" if here.hash != NONE => here.hash,
            b"*" if here.star != NONE => here.star,
            b"#" => self.attach(node, HASH),
            b"*" => self.attach(node, STAR),
            _ => {
                let known = self.words.number(word);
                match known.and_then(|number| self.children.get(&(node, number))) {
                    Some(child) => *child,
                    None => {
                        let number = self.words.acquire(word);
                        self.attach(node, number)
                    }
                }
            }
        }
    }

    fn attach(&mut self, parent: u32, edge: u32) -> u32 {
        let child = slot(self.nodes.insert(Node::new(parent, edge)));
        let above = &mut self.nodes[parent as usize];
        match edge {
            HASH => above.hash = child,
            STAR => above.star = child,
            _ => {
                above.literals += 1;
                self.children.insert((parent, edge), child);
            }
        }
        child
    }

    /// Removes a node without targets and children, and tells its parent.
    fn detach(&mut self, node: u32) -> u32 {
        let Node { parent, edge, .. } = self.nodes.remove(node as usize);
        let above = &mut self.nodes[parent as usize];
        match edge {
            HASH => above.hash = NONE,
            STAR => above.star = NONE,
            _ => {
                above.literals -= 1;
                self.children.remove(&(parent, edge));
                self.words.release(edge);
            }
        }
        parent
    }
}

impl Node {
    fn new(parent: u32, edge: u32) -> Node {
        Node { targets: Targets::default(), parent, edge, star: NONE, hash: NONE, literals: 0 }
    }

    fn is_bare(&self) -> bool {
        self.targets.is_empty() && self.star == NONE && self.hash == NONE && self.literals == 0
    }
}

impl TopicScratch {
    fn begin(&mut self, nodes: usize) {
        if self.marks.len() < nodes {
            self.marks.resize(nodes, 0);
        }
        self.next.clear();
        self.generation += 1;
    }

    fn advance(&mut self) {
        std::mem::swap(&mut self.active, &mut self.next);
        self.next.clear();
        self.generation += 1;
    }

    /// True the first time for a node since the last word.
    fn mark(&mut self, node: u32) -> bool {
        let mark = &mut self.marks[node as usize];
        let is_new = *mark != self.generation;
        *mark = self.generation;
        is_new
    }
}

/// The literal words of all patterns, numbered; each is kept as long as an edge has it.
struct Words {
    numbers: HashMap<Arc<[u8]>, u32, RandomState>,
    words: Slab<(Arc<[u8]>, u32)>,
}

impl Words {
    fn new(hash: &RandomState) -> Words {
        Words { numbers: HashMap::with_hasher(hash.clone()), words: Slab::new() }
    }

    fn number(&self, word: &[u8]) -> Option<u32> {
        self.numbers.get(word).copied()
    }

    fn acquire(&mut self, word: &[u8]) -> u32 {
        if let Some(number) = self.number(word) {
            self.words[number as usize].1 += 1;
            return number;
        }
        let word: Arc<[u8]> = word.into();
        let number = slot(self.words.insert((Arc::clone(&word), 1)));
        self.numbers.insert(word, number);
        number
    }

    fn release(&mut self, number: u32) {
        let (_, edges) = &mut self.words[number as usize];
        *edges -= 1;
        if *edges == 0 {
            let (word, _) = self.words.remove(number as usize);
            self.numbers.remove(&word);
        }
    }
}

fn slot(index: usize) -> u32 {
    let slot = u32::try_from(index).expect("fewer than 2^32 words and nodes fit in memory");
    assert!(slot < HASH);
    slot
}
