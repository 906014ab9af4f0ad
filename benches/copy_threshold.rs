//! Up to which size a body is better copied into shared memory than handed on in a buffer of its
//! own: both ways by size, made of the parts that a shard is made of, and the shard itself, which
//! takes one way or the other by `BODY_COPY_BYTES_MAX`.

#[path = "set_up/flow.rs"]
mod set_up;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use haremq_broker::store::{Content, MessageId, MessageStore};

use set_up::{Flow, READ_BYTES};

const SIZES: [usize; 8] = [64, 256, 1 << 10, 2 << 10, 4 << 10, 8 << 10, (16 << 10) - 256, 64 << 10];
const MESSAGES_MAX: usize = 256;
const EXCHANGE: &[u8] = b"exchange";
const ROUTING_KEY: &[u8] = b"routing.key";
const PROPERTIES: &[u8] = &[0x10, 0, 1];

/// Messages of this size that one read brings.
fn window(size: usize) -> usize {
    (READ_BYTES / size).clamp(1, MESSAGES_MAX)
}

/// What becomes of the bodies of one read, until they are written to a consumer.
trait Way {
    /// Takes a body in, whose parts came in one read or in several.
    fn take(&mut self, parts: &[&[u8]]);

    /// Writes all bodies for a consumer and forgets them.
    fn deliver(&mut self, out: &mut Vec<u8>);
}

/// Through the area of a batch into a slot of the store.
#[derive(Default)]
struct Copied {
    partial: Vec<u8>,
    batch: Vec<u8>,
    lengths: Vec<usize>,
    store: MessageStore,
    messages: Vec<MessageId>,
}

impl Way for Copied {
    fn take(&mut self, parts: &[&[u8]]) {
        let [whole] = parts else {
            self.partial.clear();
            parts.iter().for_each(|part| self.partial.extend_from_slice(part));
            self.batch.extend_from_slice(&self.partial);
            return self.lengths.push(self.partial.len());
        };
        self.batch.extend_from_slice(whole);
        self.lengths.push(whole.len());
    }

    fn deliver(&mut self, out: &mut Vec<u8>) {
        let mut bytes = &self.batch[..];
        for length in self.lengths.drain(..) {
            let (body, rest) = bytes.split_at(length);
            bytes = rest;
            let properties = PROPERTIES;
            let content =
                Content { exchange: EXCHANGE, routing_key: ROUTING_KEY, properties, body };
            self.messages.push(self.store.insert(&content, 1));
        }
        self.batch.clear();
        for message in self.messages.drain(..) {
            out.extend_from_slice(self.store.content(message).body);
            self.store.release(message);
        }
    }
}

/// A buffer per body, and one for what else the message has; both are freed when it is delivered.
#[derive(Default)]
struct Moved {
    batch: Vec<Bytes>,
    store: Vec<(Box<[u8]>, Bytes)>,
}

impl Way for Moved {
    fn take(&mut self, parts: &[&[u8]]) {
        if let [whole] = parts {
            return self.batch.push(Bytes::copy_from_slice(whole));
        }
        let mut body = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| body.extend_from_slice(part));
        self.batch.push(Bytes::from(body));
    }

    fn deliver(&mut self, out: &mut Vec<u8>) {
        for body in self.batch.drain(..) {
            let head = [EXCHANGE, ROUTING_KEY, PROPERTIES].concat();
            self.store.push((head.into_boxed_slice(), body));
        }
        for (head, body) in self.store.drain(..) {
            black_box(head);
            out.extend_from_slice(&body);
        }
    }
}

/// Its name, the parts in which the body comes, and what becomes of it.
type Case<'a> = (&'a str, &'a [&'a [u8]], Box<dyn Way>);

fn bench_ways(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("body from read to delivery");
    for size in SIZES {
        let body = vec![b'b'; size];
        let whole = [&body[..]];
        let (first, second) = body.split_at(size / 2);
        let parted = [first, second];
        let cases: [Case<'_>; 4] = [
            ("read whole, copied", &whole, Box::new(Copied::default())),
            ("read whole, moved", &whole, Box::new(Moved::default())),
            ("put together, copied", &parted, Box::new(Copied::default())),
            ("put together, moved", &parted, Box::new(Moved::default())),
        ];
        let messages = window(size);
        group.throughput(Throughput::Elements(messages as u64));
        for (name, parts, mut way) in cases {
            let mut out = Vec::new();
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| {
                    (0..messages).for_each(|_| way.take(black_box(parts)));
                    out.clear();
                    way.deliver(&mut out);
                    black_box(out.len())
                });
            });
        }
    }
    group.finish();
}

fn bench_shards(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("shard tick by body size");
    for size in SIZES {
        let messages = window(size) as u64;
        for (name, shards) in [("one shard", 1), ("across two shards", 2)] {
            let mut flow = Flow::new(shards, false, messages, size);
            group.throughput(Throughput::Elements(messages));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| flow.round());
            });
            flow.check();
        }
    }
    group.finish();
}

criterion_group!(benches, bench_ways, bench_shards);
criterion_main!(benches);
