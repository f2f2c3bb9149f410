//! How long a measurement waits. For a guest that hangs; the test host is slow, and its instruction clock slower.

use std::time::Duration;

/// From a monitor's exec to its agent's answer.
pub(crate) const BOOT: Duration = Duration::from_secs(600);

/// How much longer than on hardware a monitor may take.
pub(crate) const MONITOR_SCALE: u32 = 20;

/// For one place's measurements, all together.
pub(crate) const PLACE: Duration = Duration::from_secs(1800);

/// For a monitor to end when it is asked to.
pub(crate) const STOP: Duration = Duration::from_secs(60);

/// Between two looks at whether an agent answers, where nothing tells it.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
