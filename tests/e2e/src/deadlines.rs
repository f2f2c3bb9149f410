//! Every time limit of the tests, as it is on hardware, and the one factor that stretches all of them.
//!
//! Main type: [`Patience`]. The nested test host is about ten times slower than hardware.

use std::time::Duration;

use anyhow::{Context, Result};

/// From the start of a command to its end, with the boot of a VM in between and nothing long in it.
pub(crate) const RUN: Duration = Duration::from_secs(30);
/// A run that moves 50 MiB.
pub(crate) const LONG_RUN: Duration = Duration::from_secs(60);
/// Walks of large trees with files of gigabytes that are holes, which the kernels of today read like any other.
pub(crate) const COMPARISON: Duration = Duration::from_secs(120);
/// A command that boots no VM: `image ls`, `check`, or a mistake that is seen before a VM starts.
pub(crate) const COMMAND: Duration = Duration::from_secs(10);
/// What a running VM shall do next: a line that appears, a process that goes.
pub(crate) const STEP: Duration = Duration::from_secs(20);

/// How often a condition that gives no signal is looked at again. Never stretched.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Set it to stretch every deadline by a whole number.
pub(crate) const SCALE_VARIABLE: &str = "COFFERDAM_TIME_SCALE";
const SCALE_IN_TEST_HOST: u32 = 10;
const LARGEST_SCALE: u32 = 1000;

/// How much longer than on hardware everything may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    scale: u32,
}

impl Patience {
    /// From the value of the variable, where it is set.
    pub(crate) fn new(value: Option<&str>, in_test_host: bool) -> Result<Self> {
        let usual = if in_test_host { SCALE_IN_TEST_HOST } else { 1 };
        let scale = match value {
            None => usual,
            Some(value) => {
                let scale: Option<u32> = value.parse().ok();
                scale
                    .filter(|scale| (1..=LARGEST_SCALE).contains(scale))
                    .with_context(|| {
                        format!("{SCALE_VARIABLE}={value}: give a number from 1 to {LARGEST_SCALE}")
                    })?
            }
        };
        Ok(Self { scale })
    }

    /// For the program under test, whose own deadlines stretch alike.
    pub(crate) fn scale(self) -> u32 {
        self.scale
    }

    pub(crate) fn stretch(self, deadline: Duration) -> Duration {
        deadline * self.scale
    }
}
