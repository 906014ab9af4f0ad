//! What shards and the catalog writer say to one another.

use std::sync::Arc;

use haremq_broker::catalog::{Command, Delta};
use haremq_broker::ids::{ChannelAddress, ConnectionAddress, QueueId};
use haremq_protocol::reply::ProtocolError;

/// From a shard to the catalog writer.
#[derive(Clone, PartialEq, Debug)]
pub enum ToWriter {
    /// A client's wish.
    Command {
        /// Whose.
        channel: ChannelAddress,
        /// The channel's number for it; comes back with the answer.
        request: u32,
        /// The wish.
        command: Arc<Command>,
        /// A queue that its home said is gone: the writer waits until it has heard so too.
        known_gone: Option<QueueId>,
    },
    /// A connection ends: delete this exclusive queue of its.
    DeleteExclusive {
        /// The owner.
        connection: ConnectionAddress,
        /// The queue.
        queue: QueueId,
    },
    /// The home has retired a queue by itself: auto-delete or lease.
    Retired {
        /// The queue.
        queue: QueueId,
    },
    /// Answer to [`FromWriter::Retire`].
    RetireAnswered {
        /// The queue.
        queue: QueueId,
        /// What the home did.
        outcome: RetireOutcome,
    },
    /// The shard has applied all deltas up to this index.
    Applied {
        /// The index.
        index: u64,
    },
    /// The channel sends no further command: what is kept for it may be forgotten.
    ChannelEnded {
        /// The channel.
        channel: ChannelAddress,
    },
}

/// What a home did when asked to retire a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetireOutcome {
    /// It is gone, with this many ready messages.
    Retired(u32),
    /// It has consumers.
    InUse,
    /// It has ready messages.
    NotEmpty,
    /// The home had retired it before; [`ToWriter::Retired`] went before this.
    Gone,
}

/// From the catalog writer to a shard.
#[derive(Clone, PartialEq, Debug)]
pub enum FromWriter {
    /// The next change.
    Delta {
        /// Its number.
        index: u64,
        /// The change.
        delta: Delta,
    },
    /// Answer to [`ToWriter::Command`]; a channel's answers come in the order of its commands.
    Answered {
        /// Whose command.
        channel: ChannelAddress,
        /// Which.
        request: u32,
        /// What came of it.
        result: Result<Done, ProtocolError>,
    },
    /// Answer to [`ToWriter::DeleteExclusive`].
    ExclusiveDeleted {
        /// The owner.
        connection: ConnectionAddress,
    },
    /// Retire this queue, which is yours.
    Retire {
        /// The queue.
        queue: QueueId,
        /// Only without consumers.
        if_unused: bool,
        /// Only without ready messages.
        if_empty: bool,
    },
    /// A queue that you retired by yourself is unknown to all shards now.
    Deleted {
        /// The queue.
        queue: QueueId,
    },
}

/// What came of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done {
    /// It is as wished.
    Ok,
    /// A queue was created.
    Created(QueueId),
    /// The queue exists; its home knows the counts.
    Exists(QueueId),
    /// A queue was deleted, with this many ready messages.
    Deleted(u32),
}

/// Octets of a letter at most: the rings to and from the writer have thousands of places, and each
/// that was used once stays in memory.
const LETTER_BYTES_MAX: usize = 48;
const _: () = assert!(size_of::<ToWriter>() <= LETTER_BYTES_MAX);
const _: () = assert!(size_of::<FromWriter>() <= LETTER_BYTES_MAX);
