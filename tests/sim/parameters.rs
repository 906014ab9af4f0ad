//! The world that a seed draws.

use haremq_shard::limits::{BINDINGS_PER_DELTA, BULK_PER_TICK, PARCELS_PER_RING_AND_TICK};

use crate::prng::Prng;
use crate::workload::OPERATIONS;

/// Which worlds are drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scenario {
    /// Anything: each run leaves out some operations and faults, so that others come more often.
    #[default]
    Swarm,
    /// All operations at once over three shards, through the smallest rings.
    Crossfire,
}

/// What differs between worlds.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Shards.
    pub shards: u16,
    /// Clients, each with one connection at a time.
    pub clients: usize,
    /// Channels of a connection.
    pub channels_max: u16,
    /// Queues that are never deleted, purged or subject to expiry.
    pub stable_queues: usize,
    /// Queues of each other kind.
    pub other_queues: usize,
    /// Batches that fit into a mesh ring.
    pub ring_batches: usize,
    /// What a shard settles, requeues or purges in one tick.
    pub bulk_per_tick: u32,
    /// What a shard reads of each ring in one tick.
    pub parcels_per_tick: u32,
    /// Bindings of a queue or exchange that go at once.
    pub bindings_per_delta: u32,
    /// Letters that fit into a ring from or to the writer.
    pub ring_letters: usize,
    /// Longest delay of a ring or a sync, in milliseconds.
    pub delay_ms_max: u64,
    /// Octets that a client's socket buffers before it looks slow.
    pub socket_bytes: usize,
    /// Largest number of octets moved at once.
    pub chunk_bytes_max: usize,
    /// Largest prefetch.
    pub prefetch_max: u64,
    /// Longest short time to live, in milliseconds.
    pub ttl_ms_max: u64,
    /// Operations until the faults stop.
    pub operations: usize,
    /// Whether deliveries without acknowledgement are asked for.
    pub has_no_ack: bool,
    /// Large bodies, of a thousand.
    pub large_body_permille: u64,
    /// Most messages that a client publishes in a row.
    pub burst_max: u64,
    /// Resets per thousand steps of faults.
    pub reset_permille: u64,
    /// Changes of the memory alarm per thousand steps of faults.
    pub memory_permille: u64,
    /// How often time passes although something is ready.
    pub late_permille: u64,
    /// How often each operation is chosen.
    pub weights: [u64; OPERATIONS.len()],
    /// How often each kind of step is chosen.
    pub step_weights: [u64; 8],
}

impl Parameters {
    /// The world of a seed.
    pub fn draw(seed: u64, scenario: Scenario) -> Parameters {
        let mut prng = Prng::new(seed, 0x7061_7261);
        let prng = &mut prng;
        let mut parameters = Parameters {
            shards: prng.between(1, 4) as u16,
            clients: prng.between(2, 6) as usize,
            channels_max: prng.between(1, 3) as u16,
            stable_queues: prng.between(1, 3) as usize,
            other_queues: prng.between(1, 2) as usize,
            ring_batches: prng.pick(&[2, 2, 3, 4, 8, 64]),
            bulk_per_tick: prng.pick(&[1, 2, 5, BULK_PER_TICK]),
            parcels_per_tick: prng.pick(&[1, 2, 5, PARCELS_PER_RING_AND_TICK]),
            bindings_per_delta: prng.pick(&[1, 2, BINDINGS_PER_DELTA]),
            ring_letters: prng.pick(&[1, 2, 4, 64]),
            delay_ms_max: prng.pick(&[0, 1, 5, 30]),
            socket_bytes: prng.pick(&[64, 1024, 16 << 10, 1 << 20]),
            chunk_bytes_max: prng.pick(&[7, 100, 5000, 1 << 20]),
            prefetch_max: prng.between(1, 5),
            ttl_ms_max: prng.pick(&[1, 20, 200]),
            operations: prng.pick(&[100, 200, 400, 400, 1500]),
            has_no_ack: prng.chance(400),
            large_body_permille: prng.pick(&[0, 0, 20, 100]),
            burst_max: prng.pick(&[2, 12, 12, 300]),
            reset_permille: prng.pick(&[0, 0, 2, 10]),
            memory_permille: prng.pick(&[0, 0, 5]),
            late_permille: prng.pick(&[0, 10, 50]),
            weights: draw_weights(prng),
            step_weights: std::array::from_fn(|_| prng.pick(&[1, 2, 4, 8])),
        };
        if scenario == Scenario::Crossfire {
            parameters.focus();
        }
        parameters
    }

    fn focus(&mut self) {
        self.shards = 3;
        self.clients = 6;
        self.channels_max = 3;
        self.ring_batches = 2;
        self.ring_letters = 2;
        self.operations = 600;
        self.weights = std::array::from_fn(|index| OPERATIONS[index].1);
    }
}

/// Some operations are left out, and some favoured.
fn draw_weights(prng: &mut Prng) -> [u64; OPERATIONS.len()] {
    std::array::from_fn(|index| {
        let (_, weight, is_optional) = OPERATIONS[index];
        if is_optional { weight * prng.pick(&[0, 1, 1, 3]) } else { weight }
    })
}
