use bytes::Bytes;
use proptest::prelude::*;

use super::size_class::{class_of, slot_bytes};
use super::{Content, MessageId, MessageStore, SLOT_BYTES_MAX};

fn content(body: &[u8]) -> Content<'_> {
    Content { exchange: b"logs", routing_key: b"a.b", properties: &[0x10, 0, 2], body }
}

#[test]
fn class_is_the_smallest_that_fits() {
    for bytes in 0..=SLOT_BYTES_MAX {
        let class = class_of(bytes);
        assert!(bytes <= slot_bytes(class));
        assert!(class == 0 || bytes > slot_bytes(class - 1));
    }
}

#[test]
fn message_is_there_until_its_last_reference_goes() {
    let mut store = MessageStore::new();
    let id = store.insert(&content(b"hello"), 2);
    store.release(id);
    assert_eq!(store.content(id), content(b"hello"));
    assert_eq!(store.content_bytes(id), 15);
    store.release(id);
    assert_eq!((store.message_count(), store.bytes_used()), (0, 0));
}

#[test]
#[should_panic]
fn stale_id_is_noticed() {
    let mut store = MessageStore::new();
    let id = store.insert(&content(b"hello"), 1);
    store.release(id);
    store.release(id);
}

#[test]
fn queued_message_of_16_bytes_takes_at_most_64_bytes_all_in() {
    let mut store = MessageStore::new();
    let mut entries = crate::sparse_ring::SparseRing::<[u64; 2]>::default();
    let body = [0; 16];
    let message = Content {
        exchange: b"",
        routing_key: b"task-queue",
        properties: &[0x10, 0, 2],
        body: &body,
    };
    for _ in 0..1_000_000 {
        let id = store.insert(&message, 1);
        entries.push_back([u64::from(id.slab), u64::from(id.slot)]);
    }
    let chunk_bytes = 128 * 16 + 16;
    let bytes = store.bytes_reserved() + (entries.chunk_count() * (chunk_bytes + 8)) as u64;
    println!("{} bytes per queued message of 16 bytes", bytes as f64 / 1e6);
    assert!(bytes <= 64 * 1_000_000);
}

#[test]
fn large_body_is_shared_and_not_copied() {
    let mut store = MessageStore::new();
    let body = Bytes::from(vec![7; 100_000]);
    let id = store.insert_owned(b"", b"key", &[0, 0], body.clone(), 1);
    let shared = store.body_owned(id).expect("a large body has its own allocation");
    assert_eq!(shared.as_ptr(), body.as_ptr());
    assert_eq!(store.content(id).routing_key, b"key");
    assert_eq!(store.content_bytes(id), 100_005);
    assert!(store.bytes_used() >= 100_005);
    store.release(id);
    assert_eq!(store.bytes_used(), 0);
    let small = store.insert_owned(b"", b"key", &[0, 0], Bytes::from_static(b"x"), 1);
    assert!(store.body_owned(small).is_none());
}

#[test]
fn drained_store_gives_its_memory_back() {
    let mut store = MessageStore::new();
    let ids: Vec<_> = (0..100_000).map(|_| store.insert(&content(&[1; 200]), 1)).collect();
    assert!(store.bytes_reserved() > 20_000_000);
    ids.into_iter().for_each(|id| store.release(id));
    assert!(store.bytes_reserved() < 3_000_000);
    store.shrink();
    assert_eq!(store.bytes_reserved(), 0);
}

#[test]
fn trash_is_emptied_in_slices() {
    let mut store = MessageStore::new();
    let ids: Vec<_> = (0..10_000).map(|_| store.insert(&content(b"x"), 1)).collect();
    store.discard(ids.into_iter());
    assert!(store.empty_trash(4096));
    assert_eq!(store.message_count(), 10_000 - 4096);
    assert!(store.empty_trash(4096));
    assert!(!store.empty_trash(4096));
    assert_eq!((store.message_count(), store.bytes_used()), (0, 0));
}

proptest! {
    #[test]
    fn contents_stay_intact_while_others_come_and_go(
        steps in proptest::collection::vec((any::<bool>(), 0..20_000usize, 1..4u32), 1..300),
    ) {
        let mut store = MessageStore::new();
        let mut live: Vec<(MessageId, u8, usize, u32)> = Vec::new();
        for (fill, (insert, number, references)) in steps.into_iter().enumerate() {
            let fill = fill as u8;
            if insert || live.is_empty() {
                let bytes = if number % 3 == 0 { number } else { number % 100 };
                let id = store.insert(&content(&vec![fill; bytes]), references);
                live.push((id, fill, bytes, references));
            } else {
                let at = number % live.len();
                store.release(live[at].0);
                live[at].3 -= 1;
                if live[at].3 == 0 {
                    live.swap_remove(at);
                }
            }
            prop_assert_eq!(store.message_count(), live.len() as u64);
            prop_assert!(store.bytes_used() <= store.bytes_reserved());
            for (id, fill, bytes, _) in &live {
                let body = vec![*fill; *bytes];
                prop_assert_eq!(store.content(*id), content(&body));
            }
        }
    }
}
