//! Between shards: one FIFO per ordered pair carries everything, so that the order of a
//! connection's requests, and of a queue's answers, holds by construction.
//!
//! A ring carries *batches*: what one tick has for one peer moves as one buffer and comes back
//! empty for reuse. Parcels are plain data; contents travel in the batch's byte area.
//!
//! Only publishes need credit. Everything else is bounded by what causes it: a channel has one
//! request under way, an answer answers a request, a settle settles a delivery, and deliveries
//! are bounded by the windows of `haremq_broker::queue`.

mod batch;
mod outbox;
mod parcel;

pub use batch::Batch;
pub(crate) use batch::Reader;
pub(crate) use outbox::{Outbox, publish_cost};
pub use parcel::{Answer, Delivery, Lengths, Parcel, Publish, Request};
