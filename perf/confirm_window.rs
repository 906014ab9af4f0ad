//! The publishes of one channel that the broker has not confirmed.

/// When an unconfirmed message was intended to be sent, and when it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SendTime {
    /// In ns after the start.
    pub(crate) intended_ns: u64,
    /// In ns after the start.
    pub(crate) sent_ns: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    time: SendTime,
    is_settled: bool,
}

/// A ring over the unsettled sequence numbers, bounded by the window that the run asks for.
#[derive(Clone, Debug)]
pub(crate) struct ConfirmWindow {
    slots: Vec<Slot>,
    /// The oldest unsettled number, and the next one to be sent.
    first: u64,
    next: u64,
    /// Sent and not yet settled.
    open: u64,
    open_max: u64,
}

impl ConfirmWindow {
    /// For at most `open_max` unconfirmed messages.
    pub(crate) fn new(open_max: u32) -> ConfirmWindow {
        assert!(open_max > 0);
        // Numbers settled out of order still take their slot until older ones are settled.
        let slots = (open_max as usize * 2).next_power_of_two();
        let slots = vec![Slot::default(); slots];
        ConfirmWindow { slots, first: 0, next: 0, open: 0, open_max: u64::from(open_max) }
    }

    /// Unconfirmed messages, at most.
    pub(crate) fn open_max(&self) -> u64 {
        self.open_max
    }

    /// Another message may be sent.
    pub(crate) fn has_room(&self) -> bool {
        self.open < self.open_max && self.next - self.first < self.slots.len() as u64
    }

    /// Notes the next message as sent.
    pub(crate) fn send(&mut self, time: SendTime) {
        assert!(self.has_room());
        let index = self.index(self.next);
        self.slots[index] = Slot { time, is_settled: false };
        self.next += 1;
        self.open += 1;
    }

    /// Settles the message with this number, or all up to it, and tells each. False if the broker
    /// confirms what was never sent, or confirms one twice.
    pub(crate) fn settle(
        &mut self,
        seq: u64,
        multiple: bool,
        mut tell: impl FnMut(u64, SendTime),
    ) -> bool {
        if seq >= self.next || (seq < self.first && !multiple) {
            return false;
        }
        let from = if multiple { self.first } else { seq };
        for settled in from..=seq.max(from) {
            if settled > seq {
                break;
            }
            let index = self.index(settled);
            let slot = &mut self.slots[index];
            if !slot.is_settled {
                slot.is_settled = true;
                self.open -= 1;
                tell(settled, slot.time);
            } else if !multiple {
                return false;
            }
        }
        while self.first < self.next && self.slots[self.index(self.first)].is_settled {
            self.first += 1;
        }
        true
    }

    fn index(&self, seq: u64) -> usize {
        seq as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(count: u64) -> ConfirmWindow {
        let mut window = ConfirmWindow::new(10);
        (0..count).for_each(|_| window.send(SendTime::default()));
        window
    }

    fn settled(window: &mut ConfirmWindow, seq: u64, multiple: bool) -> Option<Vec<u64>> {
        let mut told = Vec::new();
        window.settle(seq, multiple, |seq, _| told.push(seq)).then_some(told)
    }

    #[test]
    fn a_full_window_has_no_room_until_a_confirm() {
        let mut window = sent(10);
        assert!(!window.has_room());
        assert_eq!(settled(&mut window, 9, false), Some(vec![9]));
        assert!(window.has_room());
    }

    #[test]
    fn a_multiple_confirm_tells_the_rest_once() {
        let mut window = sent(6);
        assert_eq!(settled(&mut window, 2, false), Some(vec![2]));
        assert_eq!(settled(&mut window, 4, true), Some(vec![0, 1, 3, 4]));
        assert_eq!(window.open, 1);
        assert_eq!(settled(&mut window, 4, true), Some(vec![]));
    }

    #[test]
    fn confirms_that_make_no_sense_are_refused() {
        let mut window = sent(3);
        assert_eq!(settled(&mut window, 3, false), None);
        assert_eq!(settled(&mut window, 1, false), Some(vec![1]));
        assert_eq!(settled(&mut window, 1, false), None);
    }
}
