//! How long the tests may take. critest has deadlines of its own inside of these.

use std::time::Duration;

/// Of everything in the test host, where it takes about 40 minutes.
pub(crate) const WHOLE_RUN: Duration = Duration::from_secs(2 * 60 * 60);

/// Of critest, for its own flag: short of the above, so that its report is written.
pub(crate) const CRITEST_MINUTES: u32 = 110;

/// Until the daemon answers.
pub(crate) const START: Duration = Duration::from_secs(60);

/// How long one call of the daemon may take, in seconds: critest's and crictl's defaults are for hardware.
pub(crate) const CALL_SECONDS: u32 = 600;

/// How often a condition that gives no signal is looked at again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(50);
