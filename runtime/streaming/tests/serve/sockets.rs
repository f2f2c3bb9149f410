//! Sessions over WebSocket, with tungstenite as the client: every version, both encodings, and port-forward in its two forms.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use harness::spdy::command::Streams;
use harness::spdy::{Client, Frame, connect, request};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::backend::{ECHO, GREET, REFUSED};
use crate::bench::{ALL, Bench, TERMINAL};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const END_OF: u8 = 255;

/// A client on numbered channels.
struct Socket {
    socket: WebSocket<TcpStream>,
    base64: bool,
}

/// All that came until the server closed.
#[derive(Debug, Default)]
struct Came {
    channels: [Vec<u8>; 8],
    close: Option<CloseCode>,
}

impl Socket {
    fn open(url: &str, protocol: &str) -> Self {
        let stream = connect(url).unwrap();
        let mut request = url
            .replace("http://", "ws://")
            .into_client_request()
            .unwrap();
        let name = protocol.parse().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", name);
        let (socket, answer) = client(request, stream).unwrap();
        assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], protocol);
        let base64 = protocol.contains("base64");
        Self { socket, base64 }
    }

    fn send(&mut self, channel: u8, bytes: &[u8]) {
        let message = match self.base64 {
            false => Message::binary([&[channel], bytes].concat()),
            true => Message::text(format!("{}{}", char::from(b'0' + channel), base64(bytes))),
        };
        self.socket.send(message).unwrap();
    }

    /// The next message of a channel.
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            match self.socket.read().unwrap() {
                Message::Binary(bytes) if !self.base64 => {
                    let (channel, bytes) = bytes.split_first().unwrap();
                    return Some((*channel, bytes.to_vec()));
                }
                Message::Text(text) if self.base64 => {
                    let (channel, text) = text.split_at(1);
                    return Some((channel.as_bytes()[0] - b'0', unbase64(text)));
                }
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(_) => return None,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads until the server closes.
    fn rest(&mut self) -> Came {
        let mut came = Came::default();
        loop {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) if !self.base64 => {
                    let (channel, bytes) = bytes.split_first().unwrap();
                    came.channels[usize::from(*channel)].extend(bytes);
                }
                Ok(Message::Text(text)) if self.base64 => {
                    let (channel, text) = text.split_at(1);
                    let channel = usize::from(channel.as_bytes()[0] - b'0');
                    came.channels[channel].extend(unbase64(text));
                }
                Ok(Message::Close(close)) => came.close = close.map(|close| close.code),
                Ok(other) => panic!("{other:?}"),
                Err(_closed) => return came,
            }
        }
    }

    /// Reads until a channel has brought a text.
    fn read_until(&mut self, channel: u8, text: &str) {
        let mut came = Vec::new();
        while !String::from_utf8_lossy(&came).contains(text) {
            match self.next() {
                Some((from, bytes)) if from == channel => came.extend(bytes),
                Some(_) => {}
                None => panic!("closed before {text:?}, after {came:?}"),
            }
        }
    }
}

impl Came {
    fn of(&self, channel: u8) -> &[u8] {
        &self.channels[usize::from(channel)]
    }
}

/// Base64 by openssl's table, to be independent of the server's.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let six = usize::try_from(word >> (18 - 6 * digit) & 63).unwrap();
            text.push(if digit <= chunk.len() {
                char::from(DIGITS[six])
            } else {
                '='
            });
        }
    }
    text
}

fn unbase64(text: &str) -> Vec<u8> {
    let value = |digit: u8| match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text
        .bytes()
        .filter(|digit| *digit != b'=')
        .map(value)
        .collect();
    let mut bytes = Vec::new();
    for chunk in digits.chunks(4) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, digit| word << 6 | u32::from(*digit));
        let word = word << (6 * (4 - chunk.len()));
        bytes.extend(&word.to_be_bytes()[1..chunk.len()]);
    }
    bytes
}

#[test]
fn every_version_runs_a_command() {
    let bench = Bench::new();
    let names = [
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "v4.base64.channel.k8s.io",
        "channel.k8s.io",
        "base64.channel.k8s.io",
    ];
    for name in names {
        let mut socket = Socket::open(&bench.exec("exit 3 out err", ALL), name);
        assert_eq!(
            socket.next(),
            Some((STDOUT, Vec::new())),
            "a first message, without bytes"
        );
        let came = socket.rest();
        assert_eq!(came.of(STDOUT), b"out", "{name}");
        assert_eq!(came.of(STDERR), b"err");
        let status = String::from_utf8(came.of(ERROR).to_vec()).unwrap();
        assert!(status.contains("exit code: 3"), "{status}");
        assert_eq!(
            status.contains(r#""reason":"ExitCode""#),
            name.starts_with('v'),
            "{status}"
        );
        assert_eq!(came.close, Some(CloseCode::Normal));
    }
}

#[test]
fn version_5_closes_input_and_version_4_does_not() {
    let bench = Bench::new();
    let mut socket = Socket::open(&bench.exec("cat", ALL), "v5.channel.k8s.io");
    socket.send(STDIN, b"hello");
    socket.send(END_OF, &[STDIN]);
    let came = socket.rest();
    assert_eq!(came.of(STDOUT), b"hello");
    assert_eq!(came.of(ERROR), br#"{"status":"Success"}"#);
    for name in ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"] {
        let mut socket = Socket::open(&bench.exec("cat", ALL), name);
        socket.send(STDIN, b"hello");
        socket.read_until(STDOUT, "hello");
        // No channel of this version; and one that nobody reads.
        socket.send(5, b"what");
        socket.send(STDOUT, b"what");
        socket.send(STDIN, b"again");
        socket.read_until(STDOUT, "again");
        socket.socket.close(None).unwrap();
        bench.wait_for("ended", 2);
    }
}

#[test]
fn terminal_is_told_sizes() {
    let bench = Bench::new();
    let mut socket = Socket::open(&bench.attach("terminal", TERMINAL), "v5.channel.k8s.io");
    socket.send(RESIZE, br#"{"Width":80,"Height":24}"#);
    socket.read_until(STDOUT, "80x24\n");
    socket.send(END_OF, &[STDIN]);
    socket.send(RESIZE, br#"{"Width":1,"Height":1}"#);
    assert_eq!(socket.rest().of(ERROR), br#"{"status":"Success"}"#);
}

#[test]
fn refusals_and_pings_are_answered() {
    let bench = Bench::new();
    let mut socket = Socket::open(&bench.exec("refuse", ALL), "v5.channel.k8s.io");
    let came = socket.rest();
    assert!(String::from_utf8_lossy(came.of(ERROR)).contains("container one is not running"));
    assert_eq!(came.close, Some(CloseCode::Normal));
    let mut socket = Socket::open(&bench.exec("cat", ALL), "v5.channel.k8s.io");
    assert_eq!(socket.next(), Some((STDOUT, Vec::new())));
    socket.socket.send(Message::Ping("here?".into())).unwrap();
    assert_eq!(socket.socket.read().unwrap(), Message::Pong("here?".into()));
}

#[test]
fn client_that_goes_is_noticed() {
    let bench = Bench::new();
    let gone: [fn(&mut Socket); 3] = [
        |socket| {
            socket
                .socket
                .get_ref()
                .shutdown(std::net::Shutdown::Both)
                .unwrap()
        },
        |socket| socket.socket.close(None).unwrap(),
        // Longer than any message may be.
        |socket| drop(socket.socket.send(Message::binary(vec![0; 1 << 20]))),
    ];
    for (times, go) in (1..).zip(gone) {
        let mut socket = Socket::open(&bench.exec("server", ALL), "v5.channel.k8s.io");
        socket.read_until(STDOUT, "ready");
        go(&mut socket);
        bench.wait_for("client gone", times);
    }
    bench.check_well();
}

#[test]
fn much_comes_through_whole() {
    const LENGTH: usize = 16 << 20;
    let bench = Bench::new();
    for name in ["v5.channel.k8s.io", "v4.base64.channel.k8s.io"] {
        let mut socket = Socket::open(&bench.exec("cat", ALL), name);
        let stream = socket.socket.get_ref().try_clone().unwrap();
        let mut writer = Socket {
            socket: WebSocket::from_raw_socket(stream, Role::Client, None),
            base64: socket.base64,
        };
        let sent: Vec<u8> = (0..=250).cycle().take(LENGTH).collect();
        let mut came = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sent.chunks(32 << 10)
                    .for_each(|piece| writer.send(STDIN, piece))
            });
            while came.len() < LENGTH {
                let (channel, bytes) = socket.next().unwrap();
                assert_eq!(channel, STDOUT);
                came.extend(bytes);
            }
        });
        assert!(came == sent, "{name}");
    }
}

#[test]
fn ports_are_forwarded_on_channels_of_their_own() {
    let bench = Bench::new();
    for name in ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"] {
        let mut socket = Socket::open(&bench.forward(&[ECHO, REFUSED, GREET]), name);
        socket.send(0, b"hello");
        let mut came: [Vec<u8>; 6] = Default::default();
        let ready =
            |came: &[Vec<u8>; 6]| came[0].len() >= 7 && came[3].len() > 30 && came[4].len() >= 7;
        while !ready(&came) {
            let (channel, bytes) = socket.next().unwrap();
            came[usize::from(channel)].extend(bytes);
        }
        for (channel, port) in (0..).zip([ECHO, ECHO, REFUSED, REFUSED, GREET, GREET]) {
            let channel: usize = channel;
            assert!(
                came[channel].starts_with(&port.to_le_bytes()),
                "{channel}: {came:?}"
            );
        }
        assert_eq!(&came[0][2..], b"hello");
        assert_eq!(&came[3][2..], b"port 9 of pod: connection refused");
        assert_eq!(&came[4][2..], b"hello");
        socket.socket.close(None).unwrap();
    }
    bench.wait_for("closed 7", 2);
    // All pods' ends are the end.
    let mut socket = Socket::open(&bench.forward(&[GREET, REFUSED]), "v4.channel.k8s.io");
    assert_eq!(socket.rest().close, Some(CloseCode::Normal));
}

#[test]
fn ports_that_have_no_channels_are_refused() {
    let bench = Bench::new();
    let lines = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: v4.channel.k8s.io",
    ];
    let status =
        |url: &str, lines: &[&str]| request(&mut connect(url).unwrap(), "GET", url, lines).unwrap();
    assert_eq!(status(&bench.forward(&[]), &lines).status, 400);
    assert_eq!(status(&bench.forward(&[1; 33]), &lines).status, 400);
    assert_eq!(status(&bench.exec("cat", ALL), &lines[..4]).status, 400);
    assert_eq!(status(&bench.exec("cat", ALL), &lines[..3]).status, 400);
    let answer = status(&bench.forward(&[1; 32]), &lines);
    assert_eq!(answer.status, 101);
    // The example of RFC 6455, 1.3.
    let accept = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    assert!(
        answer
            .head
            .to_ascii_lowercase()
            .contains(&accept.to_ascii_lowercase()),
        "{}",
        answer.head
    );
}

#[test]
fn tunnel_carries_spdy() {
    let bench = Bench::new();
    let socket = Socket::open(&bench.forward(&[]), "SPDY/3.1+portforward.k8s.io").socket;
    // A client of SPDY, whose bytes go through a pair of sockets into messages.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut spdy =
        Client::over(TcpStream::connect(listener.local_addr().unwrap()).unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    let stream = socket.get_ref().try_clone().unwrap();
    let (from_client, to_client) = (far.try_clone().unwrap(), far);
    let close = std::thread::scope(|scope| {
        scope.spawn(|| {
            into_messages(
                from_client,
                WebSocket::from_raw_socket(stream, Role::Client, None),
            )
        });
        let closed = scope.spawn(|| out_of_messages(socket, to_client));
        let port = ECHO.to_string();
        let mut open = |kind| {
            spdy.open(&[("streamtype", kind), ("port", &port), ("requestid", "0")])
                .unwrap()
        };
        let (_error, data) = (open("error"), open("data"));
        spdy.writer
            .data(data, b"through the tunnel", false)
            .unwrap();
        let mut echoed = Vec::new();
        while echoed.len() < 18 {
            match spdy.reader.next().unwrap() {
                Some(Frame::Data { stream, bytes, .. }) if stream == data => echoed.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(echoed, b"through the tunnel");
        // GOAWAY ends SPDY, and that the WebSocket.
        spdy.writer.goaway().unwrap();
        closed.join().unwrap()
    });
    assert_eq!(close, Some(CloseCode::Normal));
    bench.wait_for("closed 7", 1);
}

/// Three bytes a message: nothing may depend on where messages end.
fn into_messages(mut from: TcpStream, mut to: WebSocket<TcpStream>) {
    let mut buffer = [0; 3];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.send(Message::binary(buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

/// Until the server closes; how.
fn out_of_messages(mut from: WebSocket<TcpStream>, mut to: TcpStream) -> Option<CloseCode> {
    loop {
        match from.read().unwrap() {
            Message::Binary(bytes) => to.write_all(&bytes).unwrap(),
            Message::Close(close) => {
                to.shutdown(std::net::Shutdown::Both).unwrap();
                return close.map(|close| close.code);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn outputs_without_input_are_enough() {
    let bench = Bench::new();
    let streams = Streams {
        stderr: true,
        ..Streams::default()
    };
    let mut socket = Socket::open(&bench.exec("exit 0 out err", streams), "v5.channel.k8s.io");
    assert_eq!(socket.next(), Some((STDERR, Vec::new())));
    let came = socket.rest();
    assert_eq!((came.of(STDOUT), came.of(STDERR)), (&b""[..], &b"err"[..]));
}
