//! Port-forward: many connections at once, ends both ways, and failures that stay where they are.

use std::collections::HashMap;

use harness::spdy::{Client, Frame};

use crate::backend::{COUNT, DEAF, ECHO, GREET, REFUSED};
use crate::bench::Bench;

/// A client of port-forward, and what came so far on each stream.
struct Forwarder {
    client: Client,
    requests: u32,
    came: HashMap<u32, Came>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Came {
    bytes: Vec<u8>,
    fin: bool,
    reset: bool,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    error: u32,
    data: u32,
}

impl Forwarder {
    fn new(bench: &Bench) -> Self {
        let client = Client::upgrade(&bench.forward(&[]), &["portforward.k8s.io"]).unwrap();
        Self {
            client,
            requests: 0,
            came: HashMap::new(),
        }
    }

    /// Opens a pair as kubectl does: error, its end, data.
    fn open(&mut self, port: u16) -> Pair {
        let (port, request) = (port.to_string(), self.requests.to_string());
        self.requests += 1;
        let mut open = |kind| {
            let headers = [
                ("streamtype", kind),
                ("port", port.as_str()),
                ("requestid", request.as_str()),
            ];
            self.client.writer.open(&headers).unwrap()
        };
        let (error, data) = (open("error"), open("data"));
        self.client.writer.data(error, b"", true).unwrap();
        Pair { error, data }
    }

    fn send(&mut self, pair: Pair, bytes: &[u8], fin: bool) {
        self.client.writer.data(pair.data, bytes, fin).unwrap();
    }

    /// Reads until what came on a stream is as it should be.
    fn read_until(&mut self, stream: u32, is: impl Fn(&Came) -> bool) -> Came {
        loop {
            let came = self.came.entry(stream).or_default();
            if is(came) {
                return came.clone();
            }
            match self.client.reader.next().unwrap() {
                Some(Frame::Data { stream, bytes, fin }) => {
                    let came = self.came.entry(stream).or_default();
                    assert!(!came.fin, "data behind the end of {stream}");
                    came.bytes.extend(bytes);
                    came.fin = fin;
                }
                Some(Frame::Reset { stream, .. }) => {
                    self.came.entry(stream).or_default().reset = true
                }
                Some(Frame::Reply { .. }) => {}
                other => panic!("waiting for stream {stream}: {other:?}"),
            }
        }
    }

    fn check_echo(&mut self, pair: Pair, text: &str) {
        self.send(pair, text.as_bytes(), false);
        let came = self.read_until(pair.data, |came| came.bytes.ends_with(text.as_bytes()));
        assert!(!came.fin);
    }

    /// Both streams have ended, without a word on `error`.
    fn check_ended(&mut self, pair: Pair) -> Vec<u8> {
        let error = self.read_until(pair.error, |came| came.fin);
        assert_eq!(
            error.bytes, b"",
            "a word on the error stream ends all forwards"
        );
        self.read_until(pair.data, |came| came.fin).bytes
    }
}

#[test]
fn forwarded_connection_echoes_and_ends() {
    let bench = Bench::new();
    let mut forwarder = Forwarder::new(&bench);
    let pair = forwarder.open(ECHO);
    forwarder.check_echo(pair, "hello");
    forwarder.check_echo(pair, "again");
    forwarder.send(pair, b"!", true);
    assert_eq!(forwarder.check_ended(pair), b"helloagain!");
    bench.wait_for("closed 7", 1);
}

#[test]
fn ends_go_both_ways_by_themselves() {
    let bench = Bench::new();
    let mut forwarder = Forwarder::new(&bench);
    // The client ends; the pod answers after that.
    let count = forwarder.open(COUNT);
    forwarder.send(count, b"12345", false);
    forwarder.send(count, b"67", true);
    assert_eq!(forwarder.check_ended(count), b"7 bytes");
    // The pod ends; the client sends after that.
    let greet = forwarder.open(GREET);
    assert_eq!(forwarder.check_ended(greet), b"hello");
    forwarder.send(greet, b"123", false);
    forwarder.send(greet, b"", true);
    bench.wait_for("greeted and sent 3", 1);
}

#[test]
fn ten_connections_at_once_keep_to_themselves() {
    let bench = Bench::new();
    let mut forwarder = Forwarder::new(&bench);
    let pairs: Vec<Pair> = (0..10).map(|_| forwarder.open(ECHO)).collect();
    for round in 0..3 {
        for (number, pair) in pairs.iter().enumerate() {
            forwarder.check_echo(*pair, &format!("<{round} of {number}>"));
        }
    }
    for (number, pair) in pairs.iter().enumerate().rev() {
        forwarder.send(*pair, b"", true);
        let expect = format!("<0 of {number}><1 of {number}><2 of {number}>");
        assert_eq!(forwarder.check_ended(*pair), expect.as_bytes());
    }
    bench.wait_for("closed 7", 10);
}

#[test]
fn refused_connection_says_why_and_disturbs_no_other() {
    let bench = Bench::new();
    let mut forwarder = Forwarder::new(&bench);
    let well = forwarder.open(ECHO);
    forwarder.check_echo(well, "before");
    let refused = forwarder.open(REFUSED);
    // What crosses on the way is dropped.
    forwarder.send(refused, b"GET / HTTP/1.1\r\n\r\n", false);
    let error = forwarder.read_until(refused.error, |came| came.reset);
    assert_eq!(error.bytes, b"port 9 of pod: connection refused");
    assert!(error.fin);
    let data = forwarder.read_until(refused.data, |came| came.reset);
    assert!(data.fin && data.bytes.is_empty());
    forwarder.send(refused, b"more", true);
    forwarder.check_echo(well, "after");
}

#[test]
fn client_s_reset_drops_its_connection_only() {
    let bench = Bench::new();
    let mut forwarder = Forwarder::new(&bench);
    let (well, other) = (forwarder.open(ECHO), forwarder.open(ECHO));
    forwarder.check_echo(well, "one");
    forwarder.check_echo(other, "two");
    forwarder.client.writer.reset(other.data).unwrap();
    let error = forwarder.read_until(other.error, |came| came.fin);
    assert_eq!(error.bytes, b"");
    bench.wait_for("closed 7", 1);
    // Also when the client had ended its side before.
    let deaf = forwarder.open(DEAF);
    forwarder.send(deaf, b"x", true);
    bench.wait_for("dial 14", 1);
    forwarder.client.writer.reset(deaf.data).unwrap();
    forwarder.read_until(deaf.error, |came| came.fin);
    forwarder.check_echo(well, "three");
}

#[test]
fn streams_that_are_no_half_of_a_connection_are_refused() {
    let bench = Bench::new();
    let mut forwarder = Forwarder::new(&bench);
    let wrong: [&[(&str, &str)]; 5] = [
        &[("streamtype", "data"), ("port", "0"), ("requestid", "9")],
        &[
            ("streamtype", "data"),
            ("port", "65536"),
            ("requestid", "9"),
        ],
        &[("streamtype", "data"), ("port", "http"), ("requestid", "9")],
        &[("streamtype", "stdin"), ("port", "80"), ("requestid", "9")],
        &[("port", "80")],
    ];
    for headers in wrong {
        let stream = forwarder.client.writer.open(headers).unwrap();
        let refused = forwarder.client.reader.next().unwrap();
        assert_eq!(
            refused,
            Some(Frame::Reset { stream, status: 3 }),
            "{headers:?}"
        );
    }
    let pair = forwarder.open(ECHO);
    let twice = [("streamtype", "data"), ("port", "7"), ("requestid", "100")];
    let first = forwarder.client.writer.open(&twice).unwrap();
    let second = forwarder.client.writer.open(&twice).unwrap();
    forwarder.read_until(second, |came| came.reset);
    assert!(!forwarder.came.contains_key(&first));
    forwarder.check_echo(pair, "well");
}

#[test]
fn clients_without_request_ids_are_understood() {
    let bench = Bench::new();
    let mut forwarder = Forwarder::new(&bench);
    let port = ECHO.to_string();
    let mut open = |kind| {
        let headers = [("streamtype", kind), ("port", port.as_str())];
        forwarder.client.open(&headers).unwrap()
    };
    let (error, data) = (open("error"), open("data"));
    let pair = Pair { error, data };
    forwarder.check_echo(pair, "old");
    forwarder.send(pair, b"", true);
    assert_eq!(forwarder.check_ended(pair), b"old");
}

#[test]
fn client_that_goes_takes_its_connections_along() {
    let bench = Bench::new();
    let mut forwarder = Forwarder::new(&bench);
    let pairs = [
        forwarder.open(ECHO),
        forwarder.open(ECHO),
        forwarder.open(GREET),
    ];
    forwarder.check_echo(pairs[0], "one");
    forwarder.check_echo(pairs[1], "two");
    forwarder.client.writer.close().unwrap();
    bench.wait_for("closed 7", 2);
    bench.wait_for("closed 13", 1);
}

#[test]
fn last_words_of_a_client_that_goes_are_given_on() {
    let bench = Bench::new();
    for times in 1..=20 {
        let mut forwarder = Forwarder::new(&bench);
        let greet = forwarder.open(GREET);
        forwarder.read_until(greet.data, |came| came.fin);
        forwarder.send(greet, b"12345", false);
        forwarder.client.writer.goaway().unwrap();
        bench.wait_for("greeted and sent 5", times);
    }
}

#[test]
fn streams_at_a_time_are_bounded() {
    let bench = Bench::new();
    let mut forwarder = Forwarder::new(&bench);
    let mut open = |number: usize| {
        let request = number.to_string();
        let headers = [
            ("streamtype", "error"),
            ("port", "80"),
            ("requestid", request.as_str()),
        ];
        let stream = forwarder.client.writer.open(&headers).unwrap();
        (stream, forwarder.client.reader.next().unwrap().unwrap())
    };
    for number in 0..1024 {
        let (stream, answer) = open(number);
        assert_eq!(answer, Frame::Reply { stream });
    }
    for number in 1024..1030 {
        let (stream, answer) = open(number);
        assert_eq!(answer, Frame::Reset { stream, status: 3 });
    }
}

#[test]
fn pairs_come_and_go_without_end() {
    let bench = Bench::new();
    let mut forwarder = Forwarder::new(&bench);
    // More than there may be at a time.
    for _ in 0..1500 {
        let pair = forwarder.open(COUNT);
        forwarder.send(pair, b"1", true);
        assert_eq!(forwarder.check_ended(pair), b"1 bytes");
    }
}
