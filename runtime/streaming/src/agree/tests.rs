//! Which headers lead to which protocol.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Agreed, CommandProtocol, Disagreed, ForwardProtocol, Version, command, forward};
use crate::web_socket::Encoding;

const UPGRADE: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_static(name);
        headers.append(name, HeaderValue::from_static(value));
    }
    headers
}

fn said<P>(agreed: Result<Agreed<P>, Disagreed>) -> Result<(&'static str, P), &'static str> {
    match agreed {
        Ok(Agreed { protocol, name, .. }) => Ok((name, protocol)),
        Err(Disagreed::NoUpgrade) => Err("no upgrade"),
        Err(Disagreed::NoneNamed(_)) => Err("none named"),
        Err(Disagreed::NoKey) => Err("no key"),
        Err(Disagreed::NoneInCommon(_)) => Err("none in common"),
    }
}

fn check(
    lines: &[(&'static str, &'static str)],
    expect: Result<(&'static str, CommandProtocol), &'static str>,
) {
    assert_eq!(said(command(&headers(lines))), expect, "{lines:?}");
}

fn check_forward(
    lines: &[(&'static str, &'static str)],
    expect: Result<(&'static str, ForwardProtocol), &'static str>,
) {
    assert_eq!(said(forward(&headers(lines))), expect, "{lines:?}");
}

fn spdy(versions: &[&'static str]) -> Vec<(&'static str, &'static str)> {
    let versions = versions
        .iter()
        .map(|version| ("x-stream-protocol-version", *version));
    UPGRADE.into_iter().chain(versions).collect()
}

#[test]
fn client_of_spdy_gets_its_first_that_we_speak() {
    let four = Ok(("v4.channel.k8s.io", CommandProtocol::Spdy(Version::V4)));
    let one = Ok(("channel.k8s.io", CommandProtocol::Spdy(Version::V1)));
    let three = Ok(("v3.channel.k8s.io", CommandProtocol::Spdy(Version::V3)));
    check(&spdy(&["v5.channel.k8s.io", "v4.channel.k8s.io"]), four);
    check(
        &spdy(&["v5.channel.k8s.io, v4.channel.k8s.io,channel.k8s.io"]),
        four,
    );
    check(&spdy(&["v3.channel.k8s.io", "v4.channel.k8s.io"]), three);
    check(&spdy(&["channel.k8s.io"]), one);
    let forward = Ok(("portforward.k8s.io", ForwardProtocol::Spdy));
    check_forward(&spdy(&["portforward.k8s.io"]), forward);
}

#[test]
fn client_of_web_socket_gets_its_first_that_we_speak() {
    let socket = |names: &'static str| {
        [
            ("connection", "upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", names),
        ]
    };
    let (binary, base64) = (Encoding::Binary, Encoding::Base64);
    let commands = [
        ("v5.channel.k8s.io", Version::V5, binary),
        ("v4.channel.k8s.io", Version::V4, binary),
        ("v4.base64.channel.k8s.io", Version::V4, base64),
        ("channel.k8s.io", Version::V1, binary),
        ("base64.channel.k8s.io", Version::V1, base64),
    ];
    for (name, version, encoding) in commands {
        let expect = Ok((name, CommandProtocol::WebSocket(version, encoding)));
        check(&socket(name), expect);
    }
    let forwards = [
        ("SPDY/3.1+portforward.k8s.io", ForwardProtocol::Tunnel),
        ("v4.channel.k8s.io", ForwardProtocol::WebSocket(binary)),
        (
            "v4.base64.channel.k8s.io",
            ForwardProtocol::WebSocket(base64),
        ),
    ];
    for (name, protocol) in forwards {
        check_forward(&socket(name), Ok((name, protocol)));
    }
    let several = socket("v9.channel.k8s.io, base64.channel.k8s.io,v4.channel.k8s.io");
    let first = CommandProtocol::WebSocket(Version::V1, base64);
    check(&several, Ok(("base64.channel.k8s.io", first)));
    check(&socket("v9.channel.k8s.io"), Err("none in common"));
    check(&socket("")[..4], Err("none named"));
    check(&socket("")[..3], Err("no key"));
    check(&socket("")[..2], Err("no key"));
}

#[test]
fn upgrade_is_found_in_any_case_and_company() {
    let lines = [
        ("connection", "keep-alive, UPGRADE"),
        ("upgrade", "spdy/3.1, other"),
        ("x-stream-protocol-version", "v2.channel.k8s.io"),
    ];
    let two = Ok(("v2.channel.k8s.io", CommandProtocol::Spdy(Version::V2)));
    check(&lines, two);
}

#[test]
fn client_without_common_ground_is_told_why() {
    check(&[], Err("no upgrade"));
    let other = [("connection", "Upgrade"), ("upgrade", "h2c")];
    check(&other, Err("no upgrade"));
    let unconnected = [("upgrade", "SPDY/3.1")];
    check(&unconnected, Err("no upgrade"));
    check(&UPGRADE, Err("none named"));
    check(&spdy(&["portforward.k8s.io"]), Err("none in common"));
    check_forward(&spdy(&["v4.channel.k8s.io"]), Err("none in common"));
}
