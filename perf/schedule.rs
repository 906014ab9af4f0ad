//! When messages are to be sent: known before the run, whatever the broker does.

/// Nanoseconds of a second.
const SECOND_NS: f64 = 1e9;

/// How the moments of an open loop are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arrivals {
    /// Evenly.
    Constant,
    /// At random, as those of many independent senders are.
    Poisson,
}

/// So many per second, for so long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    /// Messages per second; 0 is a pause.
    pub(crate) rate: f64,
    /// Nanoseconds.
    pub(crate) duration_ns: f64,
}

/// The moments at which one publisher intends to send, in rising order.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    steps: Vec<Step>,
    arrivals: Arrivals,
    random: Random,
    /// The step that holds, and when it began.
    step: usize,
    step_start_ns: f64,
    next_ns: f64,
}

impl Schedule {
    /// `steps` are repeated for ever; the first moment is `phase` of an interval after 0, so that
    /// many publishers do not send at once.
    pub(crate) fn new(steps: Vec<Step>, arrivals: Arrivals, phase: f64, seed: u64) -> Schedule {
        assert!(steps.iter().any(|step| step.rate > 0.0 && step.duration_ns > 0.0));
        assert!((0.0..1.0).contains(&phase));
        let random = Random::new(seed);
        let mut schedule =
            Schedule { steps, arrivals, random, step: 0, step_start_ns: 0.0, next_ns: 0.0 };
        schedule.advance(phase);
        schedule
    }

    /// Always the same rate, in messages per second.
    pub(crate) fn steady(rate: f64, arrivals: Arrivals, phase: f64, seed: u64) -> Schedule {
        assert!(rate > 0.0);
        let step = Step { rate, duration_ns: f64::INFINITY };
        Schedule::new(vec![step], arrivals, phase, seed)
    }

    /// The next moment, in nanoseconds after the start.
    pub(crate) fn next_ns(&self) -> u64 {
        self.next_ns as u64
    }

    /// The next moment is used up.
    pub(crate) fn advance_one(&mut self) {
        let intervals = match self.arrivals {
            Arrivals::Constant => 1.0,
            Arrivals::Poisson => -(1.0 - self.random.unit()).ln(),
        };
        self.advance(intervals);
    }

    /// Goes so many intervals on; one that reaches over the end of a step goes on with the pace of
    /// the next.
    fn advance(&mut self, mut intervals: f64) {
        loop {
            let Step { rate, duration_ns } = self.steps[self.step];
            let end_ns = self.step_start_ns + duration_ns;
            let next_ns = self.next_ns + intervals * SECOND_NS / rate;
            if rate > 0.0 && next_ns <= end_ns {
                self.next_ns = next_ns;
                return;
            }
            intervals -= (end_ns - self.next_ns) * rate / SECOND_NS;
            self.next_ns = end_ns;
            self.step_start_ns = end_ns;
            self.step = (self.step + 1) % self.steps.len();
        }
    }
}

/// A small generator of random numbers (splitmix64); the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Any 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, but not, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to, but not, `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        assert!(limit > 0);
        (self.unit() * limit as f64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(schedule: &mut Schedule, count: usize) -> Vec<u64> {
        let next = |_| {
            let moment = schedule.next_ns();
            schedule.advance_one();
            moment
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_constant_schedule_keeps_its_distance() {
        let mut schedule = Schedule::steady(1000.0, Arrivals::Constant, 0.5, 1);
        assert_eq!(moments(&mut schedule, 3), [500_000, 1_500_000, 2_500_000]);
        let mut schedule = Schedule::steady(3.0, Arrivals::Constant, 0.0, 1);
        let last = *moments(&mut schedule, 3_000_001).last().expect("there are some");
        assert!(last.abs_diff(1_000_000_000_000_000) < 100_000, "0.1 ms of drift in 11 days");
    }

    #[test]
    fn a_poisson_schedule_has_the_rate_and_the_spread() {
        let mut schedule = Schedule::steady(10_000.0, Arrivals::Poisson, 0.0, 42);
        let moments = moments(&mut schedule, 100_001);
        let gaps: Vec<f64> = moments.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 100_000.0 - 1.0).abs() < 0.02, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn steps_follow_each_other_and_repeat() {
        let steps = vec![
            Step { rate: 2.0, duration_ns: 1e9 },
            Step { rate: 0.0, duration_ns: 1e9 },
            Step { rate: 4.0, duration_ns: 1e9 },
        ];
        let mut schedule = Schedule::new(steps, Arrivals::Constant, 0.0, 1);
        let milliseconds: Vec<u64> =
            moments(&mut schedule, 9).into_iter().map(|ns| ns / 1_000_000).collect();
        assert_eq!(milliseconds, [0, 500, 1000, 2250, 2500, 2750, 3000, 3500, 4000]);
    }
}
