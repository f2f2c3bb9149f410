//! What the header may say, and what becomes of a call that is late.

use std::{convert::Infallible, future::pending, time::Duration};

use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{HeaderMap, Response},
};

use super::{ClientDeadline, parse};

fn headers(timeout: &str) -> HeaderMap {
    [("grpc-timeout".parse().unwrap(), timeout.parse().unwrap())]
        .into_iter()
        .collect()
}

#[test]
fn timeouts_are_a_number_and_a_unit() {
    let check = |text: &str, expect: Option<Duration>| assert_eq!(parse(text), expect, "{text}");
    check("2H", Some(Duration::from_secs(7200)));
    check("3M", Some(Duration::from_secs(180)));
    check("42S", Some(Duration::from_secs(42)));
    check("1m", Some(Duration::from_millis(1)));
    check("999600u", Some(Duration::from_micros(999_600)));
    check("99999999n", Some(Duration::from_nanos(99_999_999)));
    check("99999999H", Some(Duration::from_secs(359_999_996_400)));
    check("100000000n", None);
    check("", None);
    check("S", None);
    check("12", None);
    check("+1S", None);
    check("1s", None);
    check("1€", None);
}

#[tokio::test]
async fn late_answer_is_deadline_exceeded() {
    let deadline = ClientDeadline::start(&headers("1m"));
    let never = Box::pin(pending::<Result<Response<Body>, Infallible>>());
    let response = deadline.hold(never).await.unwrap();
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

#[tokio::test]
async fn answer_in_time_is_the_answer() {
    for headers in [headers("1H"), headers("soon"), HeaderMap::new()] {
        let deadline = ClientDeadline::start(&headers);
        let answer = Box::pin(async { Ok::<_, Infallible>(Status::ok("done").into_http()) });
        let response: Response<Body> = deadline.hold(answer).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.message(), "done");
    }
}
