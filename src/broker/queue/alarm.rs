//! The one timer of a queue, behind which all its deadlines stand.

use crate::ids::Time;

use super::effect::Effect;

/// No timer is asked for further ahead than this, milliseconds. What was asked for cannot be taken
/// back, so this bounds the timers that a queue has running, whatever the deadlines are.
const AHEAD_MAX_MS: u64 = 5 * 60 * 1000;

/// Which timers are running. Each one was earlier than all that ran when it was asked for.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// Descending: the earliest is last.
    running: Vec<Time>,
    /// When the last one fired.
    fired_at: Time,
}

impl Alarm {
    /// Sees to it that a timer fires not later than `at`, or `AHEAD_MAX_MS` from now at the latest.
    pub(super) fn arm(&mut self, now: Time, at: Time, effects: &mut Vec<Effect>) {
        let at = at.min(now.after_ms(AHEAD_MAX_MS));
        if self.running.last().is_some_and(|earliest| *earliest <= at) {
            return;
        }
        self.running.push(at);
        effects.push(Effect::ArmTimer { at });
    }

    pub(super) fn handle_fired(&mut self, now: Time) {
        self.fired_at = now;
        while self.running.last().is_some_and(|earliest| *earliest <= now) {
            self.running.pop();
        }
    }

    /// A timer will fire for `at`: not after it, or at once if it has passed.
    pub(super) fn covers(&self, at: Time) -> bool {
        let at = at.max(self.fired_at.after_ms(1));
        self.running.last().is_some_and(|earliest| *earliest <= at)
    }

    /// Gives back what is kept for reuse. Returns whether no timer is running.
    pub(super) fn shrink(&mut self) -> bool {
        self.running.shrink_to_fit();
        self.running.is_empty()
    }
}
