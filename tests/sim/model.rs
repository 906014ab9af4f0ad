//! What must become of messages, as far as clients can tell.

use std::collections::BTreeMap;

use haremq_broker::ids::Time;

/// A channel, from its open to its end; never used twice.
pub(crate) type ChannelUid = usize;

/// What kind of queue a name stands for. A name never changes its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QueueKind {
    /// Always there, and nothing is dropped from it.
    Stable,
    /// Always there; purged now and then.
    Purgeable,
    /// Always there, with a time to live.
    Expiring,
    /// Declared and deleted by anybody.
    Deletable,
    /// As deletable, and goes with its last consumer.
    AutoDelete,
    /// As deletable, and goes when unused.
    Leased,
    /// As deletable, and belongs to the connections of one client.
    Exclusive,
}

impl QueueKind {
    /// Whether the queue exists from setup to the end.
    pub(crate) fn is_permanent(self) -> bool {
        matches!(self, QueueKind::Stable | QueueKind::Purgeable | QueueKind::Expiring)
    }
}

/// A queue's name and what is known of it.
#[derive(Debug)]
pub(crate) struct QueueModel {
    pub(crate) name: String,
    pub(crate) kind: QueueKind,
    /// Messages that purge-ok has told of.
    pub(crate) purged: u64,
    /// A purge may have happened of which no count came.
    pub(crate) has_uncounted_purge: bool,
    /// Deliveries without acknowledgement may have been lost with their connection.
    pub(crate) is_lossy: bool,
    /// It had a consumer with room when all came to rest: it must be empty.
    pub(crate) must_be_drained: bool,
}

/// Whether a message is in the broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Sent; the channel may end before it is read.
    Sent,
    /// Waits for its transaction.
    Uncommitted,
    /// The broker has it, or had.
    Certain,
    /// Rolled back: nobody may get it.
    Never,
}

/// A published message.
#[derive(Debug)]
pub(crate) struct MessageModel {
    pub(crate) publisher: ChannelUid,
    /// Rises per publisher.
    pub(crate) sequence: u64,
    pub(crate) fate: Fate,
    /// Queues that it goes to for certain, if it gets to the broker.
    pub(crate) targets: Vec<usize>,
    /// Its own time to live, in milliseconds.
    pub(crate) ttl_ms: Option<u64>,
    /// When its publisher knew that it was in its queues.
    pub(crate) confirmed_at: Option<Time>,
    pub(crate) is_mandatory: bool,
    /// No queue gets it: if mandatory, it comes back.
    pub(crate) is_unroutable: bool,
    pub(crate) is_returned: bool,
}

/// What a channel has done with a copy that came to it, as clients see it. What comes back leaves
/// no trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// With the channel.
    Held,
    /// Settled in a transaction that is open.
    InTransaction,
    /// Settled for good, if the channel was still alive.
    Settled,
    /// Perhaps settled: the channel ended before anyone could know.
    PerhapsSettled,
    /// Delivered without acknowledgement.
    Taken,
    /// Back in the queue, or requeued before it was read.
    Queue,
}

/// A message's copy in one queue.
#[derive(Clone, Debug, Default)]
struct Copy {
    deliveries: u64,
    /// Whom it is with, or was. Only one channel at a time has it, but a client may read late what
    /// its channel has lost already.
    places: Vec<(ChannelUid, Place)>,
}

/// How a channel ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// It has not.
    Alive,
    /// Closed by its client, with nothing that could have failed under way.
    Clean,
    /// Closed by the broker or with its connection, or nobody can tell.
    Abrupt,
}

/// A message came to one channel although another had it: right only if one of them has ended
/// without its client's doing.
#[derive(Debug)]
struct Suspicion {
    channels: [ChannelUid; 2],
    text: String,
}

/// A message in a queue.
pub(crate) type CopyKey = (usize, usize);

/// All that clients know together. One per run.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) queues: Vec<QueueModel>,
    pub(crate) messages: Vec<MessageModel>,
    pub(crate) endings: Vec<Ending>,
    copies: BTreeMap<CopyKey, Copy>,
    suspicions: Vec<Suspicion>,
    pub(crate) delivered: u64,
    /// So much time has passed that whatever has a deadline is gone.
    pub(crate) has_all_expired: bool,
    /// Time to live of the queues that have one, in milliseconds.
    pub(crate) queue_ttl_ms: u64,
}

impl Model {
    pub(crate) fn add_queue(&mut self, name: String, kind: QueueKind) -> usize {
        self.queues.push(QueueModel {
            name,
            kind,
            purged: 0,
            has_uncounted_purge: false,
            is_lossy: false,
            must_be_drained: false,
        });
        self.queues.len() - 1
    }

    pub(crate) fn queues_of(&self, is_wanted: impl Fn(QueueKind) -> bool) -> Vec<usize> {
        let all = self.queues.iter().enumerate();
        all.filter(|(_, queue)| is_wanted(queue.kind)).map(|(index, _)| index).collect()
    }

    pub(crate) fn open_channel(&mut self) -> ChannelUid {
        self.endings.push(Ending::Alive);
        self.endings.len() - 1
    }

    /// A copy has come to a channel's client.
    pub(crate) fn deliver(
        &mut self,
        (message, queue): CopyKey,
        redelivered: bool,
        channel: ChannelUid,
        asked_at: Time,
        place: Place,
    ) -> Result<(), String> {
        self.delivered += 1;
        if self.has_expired((message, queue), asked_at) {
            let name = &self.queues[queue].name;
            return Err(format!("message {message} came from {name} after its deadline"));
        }
        let name = &self.queues[queue].name;
        let Some(sent) = self.messages.get(message) else {
            return Err(format!("message {message} was never published"));
        };
        if matches!(sent.fate, Fate::Never | Fate::Uncommitted) {
            let fate = sent.fate;
            return Err(format!("message {message} came from {name} although it is {fate:?}"));
        }
        let copy = self.copies.entry((message, queue)).or_default();
        copy.deliveries += 1;
        if place == Place::Queue {
            return Ok(());
        }
        let came = format!("message {message} came from {name} to {channel}");
        if copy.deliveries > 1 && !redelivered {
            let text = format!("{came} again without redelivered");
            self.suspicions.push(Suspicion { channels: [channel; 2], text });
        }
        for (other, place) in &copy.places {
            if *place != Place::PerhapsSettled {
                let text = format!("{came} while {other} has it, {place:?}");
                self.suspicions.push(Suspicion { channels: [channel, *other], text });
            }
        }
        copy.places.push((channel, place));
        Ok(())
    }

    /// Whether the message's deadline had passed for certain when somebody asked for it.
    fn has_expired(&self, (message, queue): CopyKey, asked_at: Time) -> bool {
        let Some(sent) = self.messages.get(message) else {
            return false;
        };
        let is_expiring = self.queues[queue].kind == QueueKind::Expiring;
        let of_queue = is_expiring.then_some(self.queue_ttl_ms);
        let Some(ttl_ms) = sent.ttl_ms.into_iter().chain(of_queue).min() else {
            return false;
        };
        let confirmed_at = sent.confirmed_at;
        self.has_all_expired || confirmed_at.is_some_and(|at| at.after_ms(ttl_ms) < asked_at)
    }

    /// A channel has done something with a copy that it has.
    pub(crate) fn put(&mut self, key: CopyKey, channel: ChannelUid, place: Place) {
        let copy = self.copies.get_mut(&key).expect("it was delivered before");
        let is_live = |place| matches!(place, Place::Held | Place::InTransaction);
        let of_channel = |it: &&mut (ChannelUid, Place)| it.0 == channel && is_live(it.1);
        let entry = copy.places.iter_mut().find(of_channel).expect("the channel has it");
        entry.1 = place;
        copy.places.retain(|(_, place)| *place != Place::Queue);
    }

    /// The channel is about to end: what it holds goes back. So does what the transaction has
    /// not committed.
    pub(crate) fn release(&mut self, channel: ChannelUid) {
        for copy in self.copies.values_mut() {
            copy.places.retain(|(by, place)| {
                *by != channel || !matches!(place, Place::Held | Place::InTransaction)
            });
        }
        for message in self.messages.iter_mut().filter(|it| it.publisher == channel) {
            if message.fate == Fate::Uncommitted {
                message.fate = Fate::Never;
            }
        }
    }

    /// The channel has ended.
    pub(crate) fn end_channel(&mut self, channel: ChannelUid, ending: Ending) {
        self.release(channel);
        self.endings[channel] = ending;
        if ending == Ending::Clean {
            let sent = self.messages.iter_mut().filter(|it| it.publisher == channel);
            sent.filter(|it| it.fate == Fate::Sent).for_each(|it| it.fate = Fate::Certain);
            return;
        }
        let places = self.copies.values_mut().flat_map(|copy| &mut copy.places);
        for (_, place) in places.filter(|it| **it == (channel, Place::Settled)) {
            *place = Place::PerhapsSettled;
        }
    }

    /// Everything that is left has been taken by the checker: does the sum come out?
    pub(crate) fn check_at_rest(&self) -> Result<(), String> {
        for suspicion in &self.suspicions {
            let is_abrupt = |channel: &ChannelUid| self.endings[*channel] == Ending::Abrupt;
            if !suspicion.channels.iter().any(is_abrupt) {
                return Err(suspicion.text.clone());
            }
        }
        (0..self.queues.len()).try_for_each(|queue| self.check_sum(queue))
    }

    /// Published to the queue = settled + dropped, as far as each can be told.
    fn check_sum(&self, queue: usize) -> Result<(), String> {
        let model = &self.queues[queue];
        if !matches!(model.kind, QueueKind::Stable | QueueKind::Purgeable) || model.is_lossy {
            return Ok(());
        }
        let (mut missing, mut perhaps) = (Vec::new(), 0);
        for (index, message) in self.messages.iter().enumerate() {
            let copy = self.copies.get(&(index, queue));
            if copy.is_some_and(|copy| !copy.places.is_empty()) {
                continue;
            }
            let is_certain = message.fate == Fate::Certain && message.targets.contains(&queue);
            if (is_certain || copy.is_some()) && message.ttl_ms.is_none() {
                missing.push(index);
            } else if message.fate != Fate::Never {
                perhaps += 1;
            }
        }
        let (name, purged) = (&model.name, model.purged);
        let count = missing.len() as u64;
        if count > purged && !model.has_uncounted_purge {
            return Err(format!("{name}: {count} lost, {purged} purged, among {missing:?}"));
        }
        if purged > count + perhaps + self.perhaps_settled(queue) {
            return Err(format!("{name}: {purged} purged, but only {count} + {perhaps} missing"));
        }
        Ok(())
    }

    /// Copies that may have been settled, or purged.
    fn perhaps_settled(&self, queue: usize) -> u64 {
        let of_queue = self.copies.iter().filter(|((_, of), _)| *of == queue);
        let is_unsure = |copy: &Copy| copy.places.iter().all(|it| it.1 == Place::PerhapsSettled);
        of_queue.filter(|(_, copy)| is_unsure(copy)).count() as u64
    }
}
