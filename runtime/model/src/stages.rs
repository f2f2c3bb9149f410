//! How long each stage of a start took. Main type: [`Stages`].

use std::time::{Duration, Instant};

/// One stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// What was done, in a few words.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// The stages of one start, in order, without gaps: each begins where the one before ended.
#[derive(Debug, Clone)]
pub struct Stages {
    begun: Instant,
    last: Instant,
    done: Vec<Stage>,
}

impl Stages {
    /// The first stage begins.
    #[must_use]
    pub fn begin(now: Instant) -> Self {
        Self {
            begun: now,
            last: now,
            done: Vec::new(),
        }
    }

    /// The present stage ends, the next begins.
    pub fn end(&mut self, name: &'static str, now: Instant) {
        let took = now.saturating_duration_since(self.last);
        self.done.push(Stage { name, took });
        self.last = now;
    }

    /// What has been done so far.
    #[must_use]
    pub fn done(&self) -> &[Stage] {
        &self.done
    }

    /// From the first stage's beginning to the last one's end.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.last.saturating_duration_since(self.begun)
    }
}

#[cfg(test)]
mod tests;
