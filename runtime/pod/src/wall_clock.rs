//! This host's wall clock as Kubernetes counts: nanoseconds since 1970 UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now; 0 where the clock is before 1970, which leaves a guest's clock alone.
pub(crate) fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}
