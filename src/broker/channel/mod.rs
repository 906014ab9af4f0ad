//! What a channel keeps track of: delivery tags, confirms, the global prefetch, a transaction.

mod delivery_tags;
mod global_prefetch;
mod transaction;
mod unconfirmed;

pub use delivery_tags::{DeliveryTags, Held, Rest, Run, UnknownDeliveryTag};
pub use global_prefetch::GlobalPrefetch;
pub use transaction::Transaction;
pub use unconfirmed::{Confirm, Unconfirmed};
