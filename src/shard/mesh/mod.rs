//! Between shards: one FIFO per ordered pair carries everything, so that the order of a
//! connection's requests, and of a queue's answers, holds by construction.
//!
//! A ring carries *batches*: what one tick has for one peer moves as one buffer and comes back
//! empty for reuse. Parcels are plain data; contents lie behind one another in the batch.
//!
//! Publishes of one channel to the same queues by the same names, and such deliveries to one
//! consumer, are one parcel, a *series*, while nothing comes between them: the way is told, and
//! looked up, once, and a message costs little more than the copies of its properties and body.
//!
//! Only publishes need credit. Everything else is bounded by what causes it: a channel has one
//! request under way, an answer answers a request, a settle settles a delivery, and deliveries
//! are bounded by the windows of `haremq_broker::queue`.

mod batch;
mod contents;
mod outbox;
mod parcel;
mod series;

pub use batch::Batch;
pub(crate) use batch::{Reader, Reading};
pub(crate) use contents::Messages;
pub(crate) use outbox::{Outbox, publish_cost};
pub use parcel::{Answer, Got, Parcel, Request};
pub use series::{Arrival, Departure, Numbered, Series};
