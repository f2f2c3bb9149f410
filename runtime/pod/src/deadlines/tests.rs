//! The configuration's factor reaches every wait, those for the monitor too.

use super::*;

#[test]
fn scaled_stretches_every_wait() {
    let (one, ten) = (Deadlines::scaled(1), Deadlines::scaled(10));
    let all = |deadlines: Deadlines| {
        let Deadlines {
            boot,
            start,
            call,
            drain,
            stop,
            log,
            attach,
            monitor,
        } = deadlines;
        assert!(monitor.launch >= stop, "{monitor:?}");
        [boot, start, call, drain, stop, log, attach, monitor.launch]
    };
    for (one, ten) in all(one).into_iter().zip(all(ten)) {
        assert_eq!(one * 10, ten);
    }
    assert_eq!(ten.monitor, vm_client::Deadlines::scaled(10));
}
