//! Every wait of this crate. Main type: [`Deadlines`].

use std::time::Duration;

/// kubelet answers from its memory; what takes longer is a kubelet that is starting.
const KUBELET: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(200);

/// The waits for a kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For one answer, with the connection.
    pub kubelet: Duration,
    /// Between a try that failed and the next.
    pub again: Duration,
}

impl Deadlines {
    /// All waits, multiplied by `scale`.
    #[must_use]
    pub fn scaled(scale: u32) -> Self {
        let scale = scale.max(1);
        Self {
            kubelet: KUBELET.saturating_mul(scale),
            again: AGAIN.saturating_mul(scale),
        }
    }
}
