//! How long each stage of a start took. Main types: [`Stages`], while a start goes on, and [`Stage`], what is kept of it.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// What was done, in a few words.
    pub name: Cow<'static, str>,
    /// How long it took.
    pub took: Duration,
}

/// The stages of one start, in order, without gaps: each begins where the one before ended.
#[derive(Debug, Clone)]
pub struct Stages {
    last: Instant,
    done: Vec<Stage>,
}

impl Stages {
    /// The first stage begins.
    #[must_use]
    pub fn begin(now: Instant) -> Self {
        Self {
            last: now,
            done: Vec::new(),
        }
    }

    /// The present stage ends, the next begins.
    pub fn end(&mut self, name: &'static str, now: Instant) {
        let took = now.saturating_duration_since(self.last);
        let name = Cow::Borrowed(name);
        self.done.push(Stage { name, took });
        self.last = now;
    }

    /// What has been done so far.
    #[must_use]
    pub fn done(&self) -> &[Stage] {
        &self.done
    }

    /// No more stages come.
    #[must_use]
    pub fn finish(self) -> Vec<Stage> {
        self.done
    }
}

#[cfg(test)]
mod tests;
