//! What counts as one moment of a user: one time, or, with a [window](crate::parameters::Parameters::tie_window_ms), a burst.
//!
//! A burst is events each of which follows the one before it within the window. Whoever rates everything in one sitting did not consume
//! it in the order of the clicks, so that a burst counts as tied from its first event to its last.

use std::ops::Range;

/// Whether two events that follow each other in time are at one moment, under a window in ms: the one place that says so.
pub(crate) fn tied(earlier: i64, later: i64, window: i64) -> bool {
    later.saturating_sub(earlier) <= window
}

/// The moments of a user's events, by their times in the order of events. Within a burst that is not the order of time; bursts follow
/// each other all the same.
#[derive(Debug)]
pub(crate) struct Moments<'t> {
    times: &'t [i64],
    /// Whether an event is at the moment of the one before it; empty without a window, where the times say so.
    goes_on: Vec<bool>,
}

impl<'t> Moments<'t> {
    /// Of times in ms, under a window in ms.
    pub fn of(times: &'t [i64], window: i64) -> Self {
        let mut goes_on = Vec::new();
        if window > 0 {
            // A new moment begins where everything that follows is later than everything before, by more than the window.
            goes_on.resize(times.len(), false);
            let mut later: Vec<i64> = times.to_vec();
            for at in (1..times.len()).rev() {
                later[at - 1] = later[at - 1].min(later[at]);
            }
            let mut latest = i64::MIN;
            for at in 1..times.len() {
                latest = latest.max(times[at - 1]);
                goes_on[at] = tied(latest, later[at], window);
            }
        }
        Self { times, goes_on }
    }

    /// Whether the event at `at`, which must not be the first, is at the moment of the one before it.
    pub fn goes_on(&self, at: usize) -> bool {
        match self.goes_on.get(at) {
            Some(goes_on) => *goes_on,
            None => self.times[at - 1] == self.times[at],
        }
    }

    /// How many events are at moments that were over before `time`: a burst is over with its last event.
    pub fn before(&self, time: i64) -> usize {
        if self.goes_on.is_empty() {
            return self.times.partition_point(|found| *found < time);
        }
        let mut first = self.times.iter().position(|found| *found >= time);
        while let Some(at) = first
            && at > 0
            && self.goes_on(at)
        {
            first = Some(at - 1);
        }
        first.unwrap_or(self.times.len())
    }

    /// The moments, as ranges of events.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            (start < self.times.len()).then(|| {
                let first = start;
                start += 1;
                while start < self.times.len() && self.goes_on(start) {
                    start += 1;
                }
                first..start
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_on_as_long_as_each_event_follows_within_the_window() {
        // In the order of events: 0 is alone, 50 to 58 are one burst though its ends are further apart than 5, 70 comes twice.
        let times = [0, 58, 50, 54, 70, 70];
        let ranges = |window: i64| Moments::of(&times, window).ranges().collect::<Vec<_>>();
        assert_eq!(ranges(5), [0..1, 1..4, 4..6]);
        assert_eq!(ranges(12), [0..1, 1..6]);
        assert_eq!(ranges(50), std::slice::from_ref(&(0..6)));
        let sorted = [0, 50, 54, 58, 70, 70];
        let ranges: Vec<_> = Moments::of(&sorted, 0).ranges().collect();
        assert_eq!(ranges, [0..1, 1..2, 2..3, 3..4, 4..6]);
        assert_eq!(Moments::of(&[], 9).ranges().count(), 0);
    }

    #[test]
    fn a_burst_that_goes_on_beyond_a_time_is_not_before_it() {
        let times = [0, 58, 50, 54, 70, 70];
        let before = |window: i64, time| Moments::of(&times, window).before(time);
        assert_eq!((before(5, 0), before(5, 1), before(5, 50)), (0, 1, 1));
        assert_eq!((before(5, 54), before(5, 58), before(5, 59)), (1, 1, 4));
        assert_eq!((before(5, 70), before(5, 71)), (4, 6));
        assert_eq!((before(12, 71), before(12, 70), before(50, 70)), (6, 1, 0));
        let sorted = [0, 50, 54, 58, 70, 70];
        let before = |time| Moments::of(&sorted, 0).before(time);
        assert_eq!((before(54), before(55), before(70)), (2, 3, 4));
    }
}
