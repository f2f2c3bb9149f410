//! Tests of the credit counters.

use proptest::prelude::*;

use super::*;

#[test]
fn inbound_full_buffer_refuses_the_next_byte() {
    let mut inbound = Inbound::default();
    assert_eq!(inbound.receive(256 * 1024), Ok(()));
    assert_eq!(inbound.receive(1), Err(Overrun));
    inbound.forward(1);
    assert_eq!(inbound.receive(1), Ok(()));
    assert_eq!(inbound.receive(usize::MAX), Err(Overrun));
}

#[test]
fn inbound_news_come_once_a_quarter() {
    let mut inbound = Inbound::default();
    assert_eq!(inbound.receive(65535), Ok(()));
    inbound.forward(65535);
    assert!(!inbound.has_news());
    assert_eq!(inbound.receive(1), Ok(()));
    inbound.forward(1);
    assert!(inbound.has_news());
    assert_eq!(inbound.tell(), 65536);
    assert!(!inbound.has_news());
}

#[test]
fn outbound_learns_shrunk_buffer_and_waits() {
    let mut outbound = Outbound::default();
    assert_eq!(outbound.usable(), 0);
    outbound.learn(262_144, 0);
    outbound.send(100_000);
    outbound.learn(65536, 0);
    assert_eq!(outbound.usable(), 0);
    outbound.learn(65536, 100_000);
    assert_eq!(outbound.usable(), 65536);
}

#[test]
fn outbound_forwarded_backwards_or_ahead_is_not_believed() {
    let mut outbound = Outbound::default();
    outbound.learn(65536, 0);
    outbound.send(50_000);
    outbound.learn(65536, 40_000);
    assert_eq!(outbound.usable(), 55_536);
    outbound.learn(65536, 10_000);
    assert_eq!(outbound.usable(), 55_536);
    outbound.learn(65536, 50_001);
    assert_eq!(outbound.usable(), 55_536);
    outbound.learn(65536, u32::MAX);
    assert_eq!(outbound.usable(), 55_536);
}

#[test]
fn outbound_sliver_is_not_offered_unless_the_buffer_is_tiny() {
    let mut outbound = Outbound::default();
    outbound.learn(262_144, 0);
    outbound.send(262_144 - 4095);
    assert_eq!(outbound.usable(), 0);
    outbound.learn(262_144, 1);
    assert_eq!(outbound.usable(), 4096);

    let mut tiny = Outbound::default();
    tiny.learn(3, 0);
    tiny.send(2);
    assert_eq!(tiny.usable(), 1);
}

#[test]
fn counters_wrap() {
    let start = u32::MAX - 10;
    let mut outbound = Outbound {
        buf_alloc: 65536,
        forwarded: start,
        sent: start,
    };
    outbound.send(100);
    assert_eq!(outbound.usable(), 65436);
    outbound.learn(65536, start.wrapping_add(100));
    assert_eq!(outbound.usable(), 65536);

    let mut inbound = Inbound {
        received: start,
        forwarded: start,
        told: start,
    };
    assert_eq!(inbound.receive(65536), Ok(()));
    inbound.forward(65536);
    assert!(inbound.has_news());
    assert_eq!(inbound.tell(), start.wrapping_add(65536));
}

proptest! {
    /// Whatever a guest claims, no more than its buffer is ever in flight by its own highest promise.
    #[test]
    fn outbound_whatever_is_claimed_stays_within_the_buffer(claims in prop::collection::vec((any::<u32>(), any::<u32>(), 0_usize..100_000), 1..50)) {
        let mut outbound = Outbound::default();
        for (buf_alloc, forwarded, wanted) in claims {
            outbound.learn(buf_alloc, forwarded);
            let usable = outbound.usable();
            prop_assert!(usable <= buf_alloc as usize);
            outbound.send(wanted.min(usable));
        }
    }
}
