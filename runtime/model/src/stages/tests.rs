//! Stages have no gaps.

use std::time::{Duration, Instant};

use super::Stages;

#[test]
fn stages_add_up_to_the_total() {
    let start = Instant::now();
    let mut stages = Stages::begin(start);
    stages.end("launch", start + Duration::from_millis(5));
    stages.end("boot", start + Duration::from_millis(12));
    let took: Vec<_> = stages
        .done()
        .iter()
        .map(|stage| stage.took.as_millis())
        .collect();
    assert_eq!(took, [5, 7]);
    let total: Duration = stages.finish().iter().map(|stage| stage.took).sum();
    assert_eq!(total, Duration::from_millis(12));
}
