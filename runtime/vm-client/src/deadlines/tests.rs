//! The factor stretches every wait, and one that is too large does not make it short.

use super::*;

#[test]
fn scaled_stretches_every_wait() {
    let all = |scale| {
        let Deadlines {
            launch,
            request,
            kill,
            farewell,
            dying,
        } = Deadlines::scaled(scale);
        [launch, request, kill, farewell, dying]
    };
    for (one, ten) in all(1).into_iter().zip(all(10)) {
        assert_eq!(one * 10, ten);
    }
    assert!(
        all(u32::MAX)
            .into_iter()
            .zip(all(1))
            .all(|(most, one)| most > one)
    );
}
