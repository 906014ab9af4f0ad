//! How a tick's budget is shared by those who wait for a part of it.

use crate::limits::BULK_PER_TURN_MIN;

/// What is left of a budget is shared by so many, who take turns. Whoever needs less leaves the rest
/// to those after the round. Where shares would become too small for the look that each costs, the
/// last in the round wait for the next tick, in which they are the first.
pub(crate) fn share(left: u32, turns: usize) -> u32 {
    let turns = u32::try_from(turns).unwrap_or(u32::MAX).max(1);
    (left / turns).max(BULK_PER_TURN_MIN).min(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_equal_and_not_too_small() {
        assert_eq!(share(1000, 1), 1000);
        assert_eq!(share(1000, 3), 333);
        assert_eq!(share(1000, 1000), BULK_PER_TURN_MIN);
        assert_eq!(share(5, 2), 5, "no more than there is");
        assert_eq!(share(0, 2), 0);
    }
}
