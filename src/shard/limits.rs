//! Every bound of a shard, with its unit.

/// Deliveries of one tick, shared by the queues that have some to make. More than the small
/// messages of one read, so that a lone queue delivers as fast as it takes in.
pub const DELIVERIES_PER_TICK: usize = 2048;
/// Deliveries that one queue may make in one tick, however many queues there are.
pub const DELIVERIES_PER_QUEUE_AND_TICK_MIN: usize = 256;
/// Parcels taken from one mesh ring in one tick; one with many messages counts as so many, at each
/// of its queues.
pub const PARCELS_PER_RING_AND_TICK: u32 = 1024;
/// Deliveries that a shard settles, and messages that come back or are purged one by one, in one
/// tick. What is left over goes on in the next.
pub const BULK_PER_TICK: u32 = 16_384;
/// What it counts for when a queue lets go of a channel, beside the messages that come back: a look
/// at a queue among 100,000 costs as much as so many messages of one queue.
pub const BULK_PER_QUEUE: u32 = 16;
/// The least of either that is worth a turn: when this many times as many wait as go into a tick's
/// budget, each still gets a turn in every tick.
pub const BULK_PER_TURN_MIN: u32 = 16;
/// Bindings that a shard drops at once, of a queue or exchange that goes.
pub const BINDINGS_PER_DELTA: u32 = 1024;
/// Exclusive queues of a connection that ends whose deletion is asked for at once.
pub const EXCLUSIVE_PER_SLICE: usize = 1024;
/// Messages of purged and deleted queues whose memory is given back in one tick, and likewise
/// consumers of channels that are gone.
pub const DISCARDS_PER_TICK: usize = 4096;

/// How long a used queue keeps memory for reuse before it is looked at, in milliseconds.
pub const SWEEP_MS: u64 = 1_000;
/// Queues looked at for spare memory in one tick.
pub const SWEPT_PER_TICK: usize = 4096;

/// What a message costs in the ring of its queue.
pub const QUEUE_ENTRY_BYTES: u64 = 24;

/// Bytes of publishes that may be under way from one shard to another. A connection whose
/// publish finds no credit pauses at that frame.
pub const PUBLISH_CREDIT_BYTES: i64 = 4 << 20;
/// What a parcel costs beside the bytes it carries.
pub const PARCEL_COST_BYTES: usize = 64;
/// Up to this size a body is copied into the batch; above it its buffer moves.
pub const BODY_COPY_BYTES_MAX: usize = 4 << 10;

/// Unsent output at which a connection's input pauses: its answers must be read first.
pub const OUTPUT_PAUSE_BYTES: usize = 1 << 20;
/// Unsent output below which windows are given back and paused input resumes.
pub const OUTPUT_LOW_BYTES: usize = 64 << 10;
/// Capacity an idle connection's buffers may keep.
pub const IDLE_BUFFER_BYTES_MAX: usize = 4 << 10;

/// How often it is looked at how long deliveries are not acknowledged, in milliseconds. A timeout is
/// noticed within two looks: within a minute, as at RabbitMQ (ACK-40).
pub const ACK_CHECK_MS: u64 = 30_000;
/// How soon it is looked at again where it could not be told for the moment, in milliseconds.
pub const ACK_CHECK_SOON_MS: u64 = 1_000;
/// Deliveries of one channel that are gone through in such a look, for the first with a timeout.
pub const ACK_CHECKED_MAX: usize = 1_024;
/// Times at which a channel's delivery tags are known, for that.
pub const ACK_MARKS_MAX: usize = 64;

/// Catalog commands of one channel that may be under way at once.
pub const COMMANDS_PER_CHANNEL_MAX: usize = 64;

/// Largest frame before tune-ok (WIRE-3).
pub const HANDSHAKE_FRAME_BYTES_MAX: u32 = 8192;
/// Smallest frame-max a client may ask for (CONN-41).
pub const FRAME_BYTES_MIN: u32 = 4096;
/// Frame-max that we propose (CONN-40).
pub const FRAME_BYTES_MAX: u32 = 131_072;
/// Channel-max that we propose (CONN-40).
pub const CHANNELS_PER_CONNECTION_MAX: u16 = 2047;
/// Heartbeat that we propose, in seconds (CONN-40).
pub const HEARTBEAT_S: u16 = 60;

/// Longest time between two looks at a connection's heartbeat, in milliseconds.
pub const HEARTBEAT_STEP_MS_MAX: u64 = 60_000;

/// Largest body (PUB-2).
pub const MESSAGE_BYTES_MAX: u64 = 134_217_728;
/// What all half-received messages of one connection may hold together. One message of the
/// largest size always fits.
pub const HALF_RECEIVED_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX as usize;

/// What the publishes of all uncommitted transactions of one connection may hold together.
pub const UNCOMMITTED_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX as usize;

/// While memory is over its limit, the half-received messages and uncommitted transactions of all
/// connections of a shard grow to this together, as publishers that wait in the middle of a message
/// would keep what they hold. Beyond it, a connection's grow to its fair share only.
pub const UNFINISHED_OVER_LIMIT_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX as usize;
/// That share.
pub const UNFINISHED_FAIR_BYTES: usize = 1 << 20;

/// Lines of one kind for the log that wait to be written; more are counted.
pub const REPORTS_WAITING_MAX: usize = 64;
/// Characters of such a line's text: the longest reply text and three names fit.
pub const REPORT_CHARS_MAX: usize = 1_024;

/// From the protocol header to open-ok (CONN-3), in milliseconds.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 10_000;
/// How long a socket is kept after a silent refusal (CONN-26), in milliseconds.
pub const REFUSAL_DELAY_MS: u64 = 3_000;
/// How long close-ok is waited for (CONN-91), in milliseconds.
pub const CLOSE_TIMEOUT_MS: u64 = 30_000;
/// How long close-ok is waited for when the broker stops, in milliseconds.
pub const SHUTDOWN_TIMEOUT_MS: u64 = 5_000;

const _: () = {
    assert!(FRAME_BYTES_MIN <= HANDSHAKE_FRAME_BYTES_MAX);
    assert!(HANDSHAKE_FRAME_BYTES_MAX <= FRAME_BYTES_MAX);
    assert!(MESSAGE_BYTES_MAX <= haremq_protocol::content::BODY_BYTES_MAX);
    assert!(HALF_RECEIVED_BYTES_MAX as u64 >= MESSAGE_BYTES_MAX);
    assert!(DELIVERIES_PER_QUEUE_AND_TICK_MIN <= DELIVERIES_PER_TICK);
    assert!(OUTPUT_LOW_BYTES < OUTPUT_PAUSE_BYTES);
    assert!(IDLE_BUFFER_BYTES_MAX < OUTPUT_LOW_BYTES);
};
