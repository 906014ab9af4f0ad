//! The queues whose home a shard is, their messages, and what is owed for them.

mod accept;
mod effects;
mod enqueue;
mod leaving;
mod pass;
mod requests;
mod retire;
#[cfg(test)]
mod test_kit;
#[cfg(test)]
mod turns_tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ahash::{HashMap, RandomState};
use haremq_broker::ids::{ChannelAddress, ConnectionAddress, QueueId};
use haremq_broker::queue::{Effect, Queue, Waiting, WindowId, Windows};
use haremq_broker::store::MessageStore;
use haremq_storage::{Log, Lsn};

use crate::mesh::Answer;
use leaving::Leaving;

/// A queue and what its home keeps beside it.
#[derive(Debug)]
pub(crate) struct HomeQueue {
    pub(crate) queue: Queue,
    /// Whether it is in the list of those with deliveries to make.
    pub(crate) is_listed: bool,
    /// Whether it is in the list of those used since they were last looked at for spare memory.
    pub(crate) is_touched: bool,
    /// Whether it is in the list of those that are not finished with a command.
    pub(crate) is_unfinished: bool,
}

impl HomeQueue {
    pub(crate) fn new(queue: Queue) -> HomeQueue {
        HomeQueue { queue, is_listed: false, is_touched: false, is_unfinished: false }
    }
}

/// What the budget of a tick did not suffice for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unfinished {
    /// A queue that is not finished with a command.
    Queue(QueueId),
    /// A channel that not all of its queues know to be on its way out.
    Channel(ChannelAddress),
}

/// An answer that waits until every shard has forgotten the queues retired before it.
#[derive(Debug)]
pub(crate) struct Deferred {
    /// Retirements that must be done.
    pub(crate) retirements: u64,
    pub(crate) channel: ChannelAddress,
    pub(crate) answer: Answer,
}

/// An acceptance that waits for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsynced {
    pub(crate) lsn: Lsn,
    pub(crate) channel: ChannelAddress,
    pub(crate) sequence: u64,
}

/// Publishes of a channel of this shard that are accepted. They are gathered into ranges, apart
/// from the answers: nothing that a client sees before the end of the tick depends on them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acceptance {
    pub(crate) channel: ChannelAddress,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// All that a shard is home of.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) queues: HashMap<QueueId, Box<HomeQueue>>,
    pub(crate) store: MessageStore,
    pub(crate) windows: Windows,
    /// The byte window that each consuming connection has here, until the connection ends.
    pub(crate) connection_windows: BTreeMap<ConnectionAddress, WindowId>,
    /// The queues at which each channel has a consumer or holds messages.
    pub(crate) channels: BTreeMap<ChannelAddress, BTreeSet<QueueId>>,
    /// Queues with deliveries to make, in the order in which they got them.
    pub(crate) runnable: VecDeque<QueueId>,
    /// What goes on in the next tick, each once.
    pub(crate) unfinished: VecDeque<Unfinished>,
    /// What the commands of this tick may still go through.
    pub(crate) bulk_left: u32,
    pub(crate) bulk_per_tick: u32,
    /// Channels that are to be let go of.
    pub(crate) leaving: BTreeMap<ChannelAddress, Leaving>,
    /// Those of them that not all of their queues know of; they have their turns in each tick.
    pub(crate) telling: BTreeSet<ChannelAddress>,
    /// Queues that may hold spare memory.
    pub(crate) touched: VecDeque<QueueId>,
    pub(crate) log: Log,
    pub(crate) unsynced: VecDeque<Unsynced>,
    /// Queues that this home has retired by itself, oldest first, and whether every shard has
    /// forgotten them; those that are forgotten at the front are taken out.
    pub(crate) retired: VecDeque<(QueueId, bool)>,
    /// How many there were, and how many have been taken out.
    pub(crate) retirements_begun: u64,
    pub(crate) retirements_done: u64,
    pub(crate) deferred: VecDeque<Deferred>,
    /// Effects of the command being carried out; kept for its memory.
    pub(crate) effects: Vec<Effect>,
    /// Consumers woken by a window; kept for its memory.
    pub(crate) woken: Vec<Waiting>,
    /// Whether messages of dropped queues are still to be released.
    pub(crate) has_trash: bool,
}

/// Ids are dense numbers of our own making, so a fixed seed cannot be exploited, and the order
/// of the map is never looked at.
const QUEUE_MAP_SEED: u64 = 0x5eed;

impl Home {
    pub(crate) fn new(bulk_per_tick: u32) -> Home {
        assert!(bulk_per_tick > 0);
        let hasher = RandomState::with_seeds(QUEUE_MAP_SEED, 1, 2, 3);
        Home {
            queues: HashMap::with_capacity_and_hasher(0, hasher),
            store: MessageStore::new(),
            windows: Windows::default(),
            connection_windows: BTreeMap::new(),
            channels: BTreeMap::new(),
            runnable: VecDeque::new(),
            unfinished: VecDeque::new(),
            bulk_left: bulk_per_tick,
            bulk_per_tick,
            leaving: BTreeMap::new(),
            telling: BTreeSet::new(),
            touched: VecDeque::new(),
            log: Log::new(),
            unsynced: VecDeque::new(),
            retired: VecDeque::new(),
            retirements_begun: 0,
            retirements_done: 0,
            deferred: VecDeque::new(),
            effects: Vec::new(),
            woken: Vec::new(),
            has_trash: false,
        }
    }

    /// Whether there is something to do at once.
    pub(crate) fn has_work(&self) -> bool {
        !self.runnable.is_empty() || !self.unfinished.is_empty() || self.has_trash
    }

    /// Notes that a channel has a consumer, or holds messages, at a queue.
    pub(crate) fn note_channel(&mut self, channel: ChannelAddress, queue: QueueId) {
        let queues = self.channels.entry(channel).or_default();
        if queues.insert(queue) && queues.len().is_power_of_two() {
            // Now and then those that are gone are taken out, so that a channel with a new queue
            // for each request does not gather them.
            queues.retain(|queue| self.queues.contains_key(queue));
        }
    }

    pub(crate) fn check_invariants(&self) {
        for entry in self.queues.values() {
            entry.queue.check_invariants();
            assert!(!entry.queue.is_runnable() || entry.is_listed, "a runnable queue is listed");
            let is_known = !entry.queue.is_unfinished() || entry.is_unfinished;
            assert!(is_known, "an unfinished queue is listed");
        }
        assert!(self.telling.iter().all(|channel| self.leaving.contains_key(channel)));
        for channel in self.leaving.keys() {
            let turn = Unfinished::Channel(*channel);
            let turns = self.unfinished.iter().filter(|it| **it == turn).count();
            let is_telling = self.telling.contains(channel);
            assert_eq!(turns, usize::from(is_telling), "who has queues to tell is listed");
        }
        assert!(self.retirements_done <= self.retirements_begun);
    }
}
