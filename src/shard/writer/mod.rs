//! The one writer of the catalog: it decides every change, numbers it, hands it to all shards and
//! answers only when all of them have applied it, so that `declare-ok` means "every core sees it".

mod catalog_writer;
mod letters;
mod unbinding;

pub use catalog_writer::CatalogWriter;
pub use haremq_broker::catalog::Catalog;
pub use letters::{Done, FromWriter, RetireOutcome, ToWriter};
