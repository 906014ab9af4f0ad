//! What channels leave behind whose memory is given back in slices.

use std::collections::{VecDeque, btree_map};

use haremq_broker::ids::QueueId;
use haremq_broker::queue::ConsumerIndex;
use slab::Slab;

use super::channel::{Channel, Consumer};
use crate::limits::DISCARDS_PER_TICK;

/// Consumers of channels that are gone. Of interest to nobody but the allocator, which a channel
/// with 100,000 of them would keep busy for long.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    channels: VecDeque<Remnant>,
}

#[derive(Debug)]
struct Remnant {
    consumers: slab::IntoIter<Consumer>,
    tags: btree_map::IntoIter<Box<str>, u32>,
    getters: btree_map::IntoIter<(QueueId, ConsumerIndex), u32>,
}

impl Remains {
    /// Takes what is left of a channel; what is not much is freed at once.
    pub(crate) fn add(&mut self, mut channel: Box<Channel>) {
        if channel.consumers.len() > DISCARDS_PER_TICK {
            self.channels.push_back(Remnant {
                consumers: std::mem::replace(&mut channel.consumers, Slab::new()).into_iter(),
                tags: std::mem::take(&mut channel.consumer_tags).into_iter(),
                getters: std::mem::take(&mut channel.getters).into_iter(),
            });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Frees as much as a tick is for.
    pub(crate) fn free_some(&mut self) {
        let mut left = DISCARDS_PER_TICK;
        while left > 0
            && let Some(remnant) = self.channels.front_mut()
        {
            let freed = (remnant.consumers.next(), remnant.tags.next(), remnant.getters.next());
            if let (None, None, None) = freed {
                self.channels.pop_front();
            }
            left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use haremq_broker::ids::ShardId;

    use super::*;
    use crate::event::ConnectionSlot;
    use crate::front::channel::ConsumerKind;

    fn channel(consumers: usize) -> Box<Channel> {
        let mut channel = Channel::new(1, ConnectionSlot(0), 1);
        for number in 0..consumers {
            let tag: Box<str> = format!("{number}").into();
            let key = channel.consumers.insert(Consumer {
                tag: tag.clone(),
                kind: ConsumerKind::Active,
                queue: QueueId(1),
                home: ShardId(0),
                index: None,
                unsettled: 0,
            });
            channel.consumer_tags.insert(tag, key as u32);
        }
        Box::new(channel)
    }

    #[test]
    fn a_channel_with_many_consumers_is_freed_over_ticks_and_others_at_once() {
        let mut remains = Remains::default();
        remains.add(channel(DISCARDS_PER_TICK));
        assert!(remains.is_empty());
        remains.add(channel(3 * DISCARDS_PER_TICK));
        for _ in 0..3 {
            assert!(!remains.is_empty());
            remains.free_some();
        }
        remains.free_some();
        assert!(remains.is_empty());
    }
}
