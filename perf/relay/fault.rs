//! Mistakes on purpose, to show that the generator sees them.

use haremq_protocol::frame::{FRAME_END, FRAME_HEAD_BYTES};

use crate::options::Fault;

/// The first message that is treated wrong, and the distance to the next one.
const FIRST: u64 = 100;
const EVERY: u64 = 1000;
/// Ids of the method, and the length of the consumer tag.
const TAG_AT: usize = FRAME_HEAD_BYTES + 4;

/// Treats some messages wrong.
#[derive(Debug)]
pub(crate) struct Faults {
    fault: Option<Fault>,
    messages: u64,
    /// A message that comes after the next one.
    held: Option<Vec<u8>>,
}

impl Faults {
    pub(crate) fn new(fault: Option<Fault>) -> Faults {
        Faults { fault, messages: 0, held: None }
    }

    /// Messages have to be whole before they are passed on.
    pub(crate) fn is_active(&self) -> bool {
        self.fault.is_some()
    }

    /// Appends a delivery to `out`, right or wrong. `next_tag` is the delivery tag of the next one.
    pub(crate) fn append(&mut self, delivery: &mut [u8], out: &mut Vec<u8>, next_tag: &mut u64) {
        let is_chosen = self.messages % EVERY == FIRST;
        self.messages += 1;
        match self.fault.filter(|_| is_chosen) {
            None => append_tagged(delivery, out, next_tag),
            Some(Fault::Lose) => {}
            Some(Fault::Double) => {
                append_tagged(delivery, out, next_tag);
                append_tagged(delivery, out, next_tag);
            }
            Some(Fault::Reorder) => {
                self.held = Some(delivery.to_vec());
                return;
            }
            Some(Fault::Corrupt) => {
                // The last octet before the end of the last frame: of the body, or of its header.
                if let [.., last, FRAME_END] = delivery {
                    *last ^= 0x20;
                }
                append_tagged(delivery, out, next_tag);
            }
        }
        if let Some(mut held) = self.held.take() {
            append_tagged(&mut held, out, next_tag);
        }
    }
}

/// Appends a delivery under the next tag of its channel.
fn append_tagged(delivery: &mut [u8], out: &mut Vec<u8>, next_tag: &mut u64) {
    let tag_at = TAG_AT + 1 + usize::from(delivery[TAG_AT]);
    delivery[tag_at..tag_at + 8].copy_from_slice(&next_tag.to_be_bytes());
    *next_tag += 1;
    out.extend_from_slice(delivery);
}

#[cfg(test)]
mod tests {
    use haremq_protocol::deliver::{Deliver, write_deliver};

    use super::*;

    /// (tag, first octet of the body, last octet of the body) of each delivery.
    fn passed(fault: Fault) -> Vec<(u64, u8, u8)> {
        let mut faults = Faults::new(Some(fault));
        let (mut out, mut next_tag) = (Vec::new(), 1);
        let mut length = 0;
        for number in 0..103u8 {
            let mut delivery = Vec::new();
            let deliver = Deliver {
                consumer_tag: b"c",
                delivery_tag: 0,
                redelivered: false,
                exchange: b"",
                routing_key: b"k",
            };
            write_deliver(&mut delivery, 1, 0, &deliver, &[0, 0], &[number, 0]);
            length = delivery.len();
            faults.append(&mut delivery, &mut out, &mut next_tag);
        }
        let deliveries = out.chunks(length);
        let parts = deliveries
            .map(|delivery| (u64::from(delivery[20]), delivery[length - 3], delivery[length - 2]));
        parts.skip(99).collect()
    }

    #[test]
    fn each_fault_is_what_its_name_says() {
        assert_eq!(passed(Fault::Lose), [(100, 99, 0), (101, 101, 0), (102, 102, 0)]);
        assert_eq!(
            passed(Fault::Double),
            [(100, 99, 0), (101, 100, 0), (102, 100, 0), (103, 101, 0), (104, 102, 0)]
        );
        assert_eq!(
            passed(Fault::Reorder),
            [(100, 99, 0), (101, 101, 0), (102, 100, 0), (103, 102, 0)]
        );
        assert_eq!(
            passed(Fault::Corrupt),
            [(100, 99, 0), (101, 100, 0x20), (102, 101, 0), (103, 102, 0)]
        );
    }
}
