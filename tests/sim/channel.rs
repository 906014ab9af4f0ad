//! A channel as its client knows it: what it waits for, what it holds, what it has published.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use haremq_broker::ids::Time;

use crate::model::ChannelUid;

/// An answer that is to come, in the order of the requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    OpenOk,
    ConfirmSelectOk,
    TxSelectOk,
    CommitOk,
    RollbackOk,
    QosOk {
        prefetch: u16,
        is_global: bool,
    },
    ConsumeOk {
        tag: String,
    },
    CancelOk {
        tag: String,
    },
    Got {
        queue: usize,
        no_ack: bool,
        asked_at: Time,
    },
    /// No name: the broker makes one.
    QueueDeclareOk {
        name: Option<String>,
    },
    QueueDeleteOk {
        must_be_empty: bool,
    },
    QueueBindOk,
    QueueUnbindOk,
    PurgeOk {
        queue: usize,
    },
    ExchangeDeclareOk,
    ExchangeDeleteOk,
    ExchangeBindOk,
    ExchangeUnbindOk,
    RecoverOk,
}

/// What a channel publishes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Plain,
    Confirm,
    Transaction,
}

/// A consumer.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) queue: usize,
    pub(crate) no_ack: bool,
    /// When it was asked for.
    pub(crate) asked_at: Time,
    pub(crate) prefetch: u16,
    pub(crate) unacked: u16,
    /// Deliveries may come.
    pub(crate) is_confirmed: bool,
    /// A cancel is under way.
    pub(crate) is_cancelling: bool,
    /// Last sequence by publisher, of messages not delivered before.
    pub(crate) last: BTreeMap<ChannelUid, u64>,
}

/// A delivery that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) message: usize,
    pub(crate) queue: usize,
    /// None for one that `basic.get` got.
    pub(crate) consumer: Option<String>,
}

/// A settlement in a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) tag: u64,
    pub(crate) held: Held,
    pub(crate) is_requeued: bool,
}

/// A channel of an open connection.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) uid: ChannelUid,
    pub(crate) mode: Mode,
    pub(crate) expected: VecDeque<Expected>,
    /// Codes that the broker may close it with.
    pub(crate) may_fail: BTreeSet<u16>,
    /// The broker has to close it.
    pub(crate) must_fail: bool,
    pub(crate) is_closing: bool,
    pub(crate) last_delivery_tag: u64,
    pub(crate) unacked: BTreeMap<u64, Held>,
    pub(crate) consumers: BTreeMap<String, Consumer>,
    pub(crate) getters: BTreeMap<usize, BTreeMap<ChannelUid, u64>>,
    pub(crate) prefetch: u16,
    /// The limit that surely holds; 0 is none.
    pub(crate) global_limit: u16,
    /// Limits that were asked for and not answered yet.
    pub(crate) global_changes: usize,
    pub(crate) published: u64,
    /// By number: the message.
    pub(crate) unconfirmed: BTreeMap<u64, usize>,
    pub(crate) uncommitted: Vec<usize>,
    pub(crate) pending: Vec<Pending>,
    /// A commit or a recover is under way: nothing else may be sent, or settled.
    pub(crate) is_committing: bool,
    pub(crate) is_recovering: bool,
}

impl Channel {
    pub(crate) fn new(uid: ChannelUid, mode: Mode) -> Channel {
        Channel {
            uid,
            mode,
            expected: VecDeque::new(),
            may_fail: BTreeSet::new(),
            must_fail: false,
            is_closing: false,
            last_delivery_tag: 0,
            unacked: BTreeMap::new(),
            consumers: BTreeMap::new(),
            getters: BTreeMap::new(),
            prefetch: 0,
            global_limit: 0,
            global_changes: 0,
            published: 0,
            unconfirmed: BTreeMap::new(),
            uncommitted: Vec::new(),
            pending: Vec::new(),
            is_committing: false,
            is_recovering: false,
        }
    }

    /// Whether anything may be sent on it.
    pub(crate) fn is_usable(&self) -> bool {
        !self.is_closing && !self.is_committing
    }

    /// The next delivery's tag must be one more than the last.
    pub(crate) fn count_delivery(&mut self, tag: u64) -> Result<(), String> {
        if tag != self.last_delivery_tag + 1 {
            let last = self.last_delivery_tag;
            return Err(format!("channel {}: delivery tag {tag} after {last}", self.uid));
        }
        self.last_delivery_tag = tag;
        Ok(())
    }

    /// A consumer may hold one delivery less.
    pub(crate) fn free(&mut self, held: &Held) {
        if let Some(tag) = &held.consumer
            && let Some(consumer) = self.consumers.get_mut(tag)
        {
            consumer.unacked -= 1;
        }
    }

    /// Deliveries to consumers that are not settled.
    pub(crate) fn held_by_consumers(&self) -> usize {
        self.unacked.values().filter(|held| held.consumer.is_some()).count()
    }
}

/// Messages of one publisher to one queue come in order, if they were never delivered before.
pub(crate) fn check_order(
    last: &mut BTreeMap<ChannelUid, u64>,
    publisher: ChannelUid,
    sequence: u64,
) -> Result<(), String> {
    match last.insert(publisher, sequence) {
        Some(before) if before >= sequence => {
            Err(format!("publish {sequence} of channel {publisher} came after {before}"))
        }
        _ => Ok(()),
    }
}
