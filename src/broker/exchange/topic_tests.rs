use ahash::RandomState;
use proptest::prelude::*;

use super::Found;
use super::targets::{End, Place, Target};
use super::topic::{Topic, TopicScratch};
use crate::ids::{QueueId, SlotId};

fn topic() -> Topic {
    Topic::new(&RandomState::with_seeds(1, 2, 3, 4))
}

fn target(binding: u32) -> Target {
    Target { end: End::Queue(QueueId(u64::from(binding)), SlotId(0)), binding }
}

/// Numbers of the patterns that match, in rising order. A pattern is never found twice.
fn matching(topic: &Topic, key: &str) -> Vec<u64> {
    let mut found = Found::default();
    topic.collect(key.as_bytes(), &mut TopicScratch::default(), &mut found);
    let mut queues: Vec<u64> = found.queues.iter().map(|(queue, _)| queue.0).collect();
    queues.sort_unstable();
    queues
}

/// The rules of TOP-1 and TOP-2 as they are written, at any cost.
fn is_match(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), None) => is_match(rest, key),
        (Some((&"#", rest)), Some((_, after))) => is_match(rest, key) || is_match(pattern, after),
        (Some((&"*", rest)), Some((_, after))) => is_match(rest, after),
        (Some((word, rest)), Some((first, after))) => word == first && is_match(rest, after),
        _ => false,
    }
}

pub(crate) fn matches_naively(pattern: &str, key: &str) -> bool {
    is_match(&words(pattern), &words(key))
}

fn words(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split('.').collect() }
}

#[test]
fn patterns_match_as_the_table_says() {
    let check = |pattern: &str, yes: &[&str], no: &[&str]| {
        let mut topic = topic();
        topic.insert(pattern.as_bytes(), target(7));
        for key in yes {
            assert_eq!(matching(&topic, key), [7], "{pattern:?} matches {key:?}");
        }
        for key in no {
            assert!(matching(&topic, key).is_empty(), "{pattern:?} does not match {key:?}");
        }
    };
    check("#", &["", "a", "a.b", ".", "a."], &[]);
    check("*", &["a", "abc"], &["", "a.b"]);
    check("", &[""], &["a", "."]);
    check("a.#", &["a", "a.b", "a.b.c", "a."], &["ab", ""]);
    check("#.a", &["a", "x.a", "x.y.a"], &["a.x"]);
    check("a.*", &["a.b", "a."], &["a", "a.b.c"]);
    check("*.*", &["a.b", "."], &["a", ""]);
    check("#.#", &["", "a", "a.b", "."], &[]);
    check("*.#", &["a", "a.b", ".", "a."], &[""]);
    check("#.*", &["a", "a.b", ".", "a."], &[""]);
    check("a.#.b", &["a.b", "a.x.b", "a.x.y.b"], &["a", "a.x"]);
    check("..", &[".."], &[".", "a.b.c"]);
    // Wildcards count as whole words only, and only in patterns.
    check("a*", &["a*"], &["ab", "a"]);
    check("#b", &["#b"], &["b", "a.b"]);
    check("a.b", &["a.b"], &["a.*", "#", "*.b", "A.b"]);
    check("*", &["*", "#"], &["#.#"]);
}

#[test]
fn number_of_hashes_does_not_matter_for_the_cost() {
    let mut topic = topic();
    let pattern = "#.a.".repeat(63) + "b";
    topic.insert(pattern.as_bytes(), target(1));
    topic.insert("*.#.".repeat(50).as_bytes(), target(2));
    topic.insert(b"#.#.#.#.a", target(3));
    let key = vec!["a"; 127].join(".");
    assert_eq!(matching(&topic, &key), [3]);
    assert_eq!(matching(&topic, &(key + ".b")), [1]);
    assert_eq!(matching(&topic, &".".repeat(254)), [2]);
}

#[test]
fn a_trie_shrinks_to_nothing() {
    let mut topic = topic();
    let patterns = ["a.b.c", "a.b", "#.#.a", "#.a", "a.*.#.b", "", "*", "a.b.c"];
    let places: Vec<Place> = patterns
        .iter()
        .zip(0..)
        .map(|(pattern, number)| topic.insert(pattern.as_bytes(), target(number)))
        .collect();
    assert_eq!(matching(&topic, "a.b.c"), [0, 7]);
    topic.remove(places[0]);
    let remaining = Place { list: places[7].list, position: 0 };
    assert_eq!(matching(&topic, "a.b.c"), [7]);
    topic.remove(remaining);
    for place in [places[1], places[3], places[2], places[4], places[5], places[6]] {
        topic.remove(Place { position: 0, ..place });
    }
    assert!(topic.is_empty());
}

fn pattern() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec!["a", "b", "", "*", "#", "ab", "#"]);
    prop::collection::vec(word, 0..6).prop_map(|words| words.join("."))
}

fn key() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec!["a", "b", "", "*", "ab", "c"]);
    prop::collection::vec(word, 0..7).prop_map(|words| words.join("."))
}

/// Bindings and where the trie keeps them, kept up to date as the catalog does.
#[derive(Default)]
struct Kept(Vec<Option<(String, Place)>>);

impl Kept {
    fn remove(&mut self, topic: &mut Topic, number: usize) {
        let Some((_, place)) = self.0.get_mut(number).and_then(Option::take) else { return };
        if let Some(moved) = topic.remove(place) {
            let moved_to = self.0[moved.binding as usize].as_mut().expect("the moved one is there");
            moved_to.1.position = moved.position;
        }
    }
}

proptest! {
    #[test]
    fn trie_finds_what_the_rules_say(
        patterns in prop::collection::vec(pattern(), 1..40),
        removed in prop::collection::vec(0usize..40, 0..40),
        keys in prop::collection::vec(key(), 1..20),
    ) {
        let mut topic = topic();
        let mut kept = Kept::default();
        for (pattern, number) in patterns.into_iter().zip(0..) {
            let place = topic.insert(pattern.as_bytes(), target(number));
            kept.0.push(Some((pattern, place)));
        }
        for number in removed {
            kept.remove(&mut topic, number);
        }
        for key in keys {
            let expected: Vec<u64> = kept.0.iter().zip(0u64..).filter_map(|(pattern, number)| {
                let (pattern, _) = pattern.as_ref()?;
                matches_naively(pattern, &key).then_some(number)
            }).collect();
            prop_assert_eq!(matching(&topic, &key), expected, "key {:?}", key);
        }
        for number in 0..kept.0.len() {
            kept.remove(&mut topic, number);
        }
        prop_assert!(topic.is_empty());
    }
}
