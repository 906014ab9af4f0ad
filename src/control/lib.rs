//! The control plane: threads of their own, peers of the shards, never on the data path.

#![forbid(unsafe_code)]

mod catalog;

pub use catalog::{CatalogThread, start_catalog};
