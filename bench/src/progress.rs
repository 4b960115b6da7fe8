//! Progress of long work on standard error: bars on a terminal, plain lines elsewhere (in CI, in a log file).

use std::io::{IsTerminal, Write};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

static BARS: LazyLock<Option<MultiProgress>> =
    LazyLock::new(|| std::io::stderr().is_terminal().then(MultiProgress::new));

/// Time between two plain lines about the same work.
const QUIET: Duration = Duration::from_secs(5);

/// Writes a line about what happens, above the bars.
pub fn say(line: impl AsRef<str>) {
    match &*BARS {
        // A terminal that has gone away is no reason to stop the work.
        Some(bars) => bars.println(line.as_ref()).unwrap_or(()),
        None => writeln!(std::io::stderr(), "{}", line.as_ref()).unwrap_or(()),
    }
}

/// The progress of one piece of work.
pub struct Meter {
    label: String,
    started: Instant,
    said: Mutex<Instant>,
    bar: Option<ProgressBar>,
}

impl Meter {
    /// Starts to measure.
    pub fn start(label: impl Into<String>) -> Self {
        let label = label.into();
        let bar = BARS.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(0));
            if let Ok(style) =
                ProgressStyle::with_template("{prefix:32!} {bar:24} {pos}/{len} {eta} left · {msg}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(label.clone());
            bar
        });
        let now = Instant::now();
        Meter {
            label,
            started: now,
            said: Mutex::new(now),
            bar,
        }
    }

    /// Says how far the work is; cheap to call often.
    pub fn update(&self, done: u64, total: u64, note: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(note());
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.elapsed() < QUIET || done == 0 {
            return;
        }
        *said = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let left = seconds / done as f64 * total.saturating_sub(done) as f64;
        let of = if total > 0 {
            format!("{done}/{total}, {} left", duration(left))
        } else {
            done.to_string()
        };
        say(format!("  {}: {of} · {}", self.label, note()));
    }

    /// Ends the bar and says what came of the work, with the time it took.
    pub fn finish(self, note: impl AsRef<str>) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let took = duration(self.started.elapsed().as_secs_f64());
        let note = note.as_ref();
        let gap = if note.is_empty() { "" } else { " · " };
        say(format!("  {} · {took}{gap}{note}", self.label));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A length of time for people: `4.2 s`, `3 min 20 s`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{} min {} s", (s / 60.0) as u64, (s % 60.0) as u64),
        s => format!("{} h {} min", (s / 3600.0) as u64, (s % 3600.0 / 60.0) as u64),
    }
}

/// The pipeline's progress, shown stage by stage.
#[derive(Default)]
pub struct Stages {
    current: Mutex<Option<(Meter, u64, u64)>>,
}

impl weaverec_pipeline::raw::Progress for Stages {
    fn stage(&self, name: &str, total: Option<u64>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some((Meter::start(name), 0, total.unwrap_or(0)));
    }

    fn advance(&self, by: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((meter, done, total)) = &mut *current {
            *done += by;
            meter.update(*done, *total, String::new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_read_naturally() {
        assert_eq!(duration(4.23), "4.2 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(3.0 * 3600.0 + 120.0), "3 h 2 min");
    }
}
