//! One limit for all consumers of a channel (QOS-2), kept on the channel.

/// The channel's global limit and who waits for it. With limit 0 it is off.
#[derive(Debug, Default)]
pub struct GlobalPrefetch {}

impl GlobalPrefetch {
    /// Off.
    pub fn new() -> GlobalPrefetch {
        GlobalPrefetch::default()
    }

    /// Whether deliveries need grants.
    pub fn is_on(&self) -> bool {
        unimplemented!()
    }

    /// `basic.qos` with global: the limit (0: none), and what is outstanding on the channel at this
    /// moment: deliveries to consumers, and gets, which count only now (QOS-6).
    pub fn handle_limit(&mut self, limit: u32, deliveries: u32, gets: u32) {
        let _ = (limit, deliveries, gets);
        unimplemented!()
    }

    /// The consumer's queue has a message for it.
    pub fn handle_wants(&mut self, consumer: u32) {
        let _ = consumer;
        unimplemented!()
    }

    /// A delivery that was granted has come.
    pub fn handle_delivered(&mut self, no_ack: bool) {
        let _ = no_ack;
        unimplemented!()
    }

    /// The queue does not need `count` of its grants.
    pub fn handle_returned(&mut self, count: u32) {
        let _ = count;
        unimplemented!()
    }

    /// So many deliveries to consumers, and gets, were settled.
    pub fn handle_settled(&mut self, deliveries: u32, gets: u32) {
        let _ = (deliveries, gets);
        unimplemented!()
    }

    /// The consumer is gone; it waits no longer.
    pub fn handle_cancelled(&mut self, consumer: u32) {
        let _ = consumer;
        unimplemented!()
    }

    /// The next consumer to be granted something, and how much.
    pub fn poll_grant(&mut self) -> Option<(u32, u32)> {
        unimplemented!()
    }
}
