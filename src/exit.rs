//! Exit codes that scripts and service managers can tell apart.

/// Failed while running, or shutting down took too long.
pub(crate) const FAILURE: u8 = 1;
/// Cannot start as configured on this machine; trying again changes nothing (`EX_CONFIG`).
pub(crate) const CONFIG: u8 = 78;
