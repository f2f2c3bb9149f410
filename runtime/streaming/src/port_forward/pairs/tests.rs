//! Which streams become a connection, and which wait in vain.

use std::time::Duration;

use tokio::{sync::mpsc, time::advance};

use super::{Paired, Pairs, may_be};
use crate::{
    pipe::{self, Outbound},
    spdy::{Headers, Stream},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn stream(id: u32, headers: &[(&str, &str)]) -> Stream {
    let (queue, _frames) = mpsc::channel(1);
    let (_pieces, from) = pipe::inbound();
    Stream {
        id,
        headers: Headers::of(headers),
        from,
        to: Outbound::new(id, queue),
    }
}

fn half(id: u32, kind: &str, port: &str, request: &str) -> Stream {
    let headers = [("streamtype", kind), ("port", port), ("requestid", request)];
    stream(id, &headers)
}

fn is_port(paired: &Paired, port: u16) -> bool {
    matches!(paired, Paired::Whole(forward) if forward.port == port)
}

#[tokio::test]
async fn halves_of_a_request_are_paired_in_any_order() {
    let mut pairs = Pairs::new(PATIENCE);
    for first in [half(1, "error", "80", "0"), half(3, "data", "81", "1")] {
        assert!(matches!(pairs.add(first), Paired::Waits));
    }
    assert!(is_port(&pairs.add(half(5, "error", "81", "1")), 81));
    assert!(is_port(&pairs.add(half(7, "data", "80", "0")), 80));
    assert!(pairs.until().is_none());
}

#[tokio::test]
async fn halves_without_request_are_paired_by_number() {
    let mut pairs = Pairs::new(PATIENCE);
    let old = |id, kind, port| stream(id, &[("streamtype", kind), ("port", port)]);
    assert!(matches!(pairs.add(old(1, "error", "80")), Paired::Waits));
    assert!(matches!(pairs.add(old(5, "error", "81")), Paired::Waits));
    assert!(is_port(&pairs.add(old(7, "data", "81")), 81));
    assert!(is_port(&pairs.add(old(3, "data", "80")), 80));
}

#[tokio::test]
async fn second_of_a_kind_is_not_wanted() {
    let mut pairs = Pairs::new(PATIENCE);
    assert!(matches!(
        pairs.add(half(1, "data", "80", "0")),
        Paired::Waits
    ));
    let twice = pairs.add(half(3, "data", "80", "0"));
    assert!(matches!(twice, Paired::Twice(stream) if stream.id == 3));
    assert!(is_port(&pairs.add(half(5, "error", "80", "0")), 80));
}

#[tokio::test(start_paused = true)]
async fn half_that_waits_too_long_is_given_back() {
    let mut pairs = Pairs::new(PATIENCE);
    pairs.add(half(1, "error", "80", "0"));
    advance(PATIENCE / 2).await;
    pairs.add(half(3, "error", "80", "1"));
    assert!(pairs.late().is_empty());
    advance(PATIENCE / 2).await;
    let late: Vec<u32> = pairs.late().iter().map(|stream| stream.id).collect();
    assert_eq!(late, [1]);
    assert!(is_port(&pairs.add(half(5, "data", "80", "1")), 80));
}

#[test]
fn stream_that_can_be_no_half_is_refused() {
    let check = |expect: bool, headers: &[(&str, &str)]| {
        assert_eq!(may_be(3, &Headers::of(headers)), expect, "{headers:?}");
    };
    let long = "1".repeat(65);
    check(
        true,
        &[("streamtype", "data"), ("port", "1"), ("requestid", "0")],
    );
    check(true, &[("streamtype", "error"), ("port", "65535")]);
    check(false, &[("streamtype", "stdin"), ("port", "80")]);
    check(false, &[("port", "80")]);
    check(false, &[("streamtype", "data")]);
    check(
        false,
        &[("streamtype", "data"), ("port", "80"), ("requestid", &long)],
    );
    for port in ["0", "65536", "-1", "", "http", "80 "] {
        check(false, &[("streamtype", "data"), ("port", port)]);
    }
}
