//! Exec and port-forward through the daemon's streaming server, into a guest and back.

use std::io::{self, Read, Write};

use anyhow::{Context, Result, bail, ensure};
use harness::spdy::command::{Command, Streams};
use harness::spdy::{Client, Frame};
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::daemon::{Daemon, expect_failure};
use crate::streaming::{self, ALL, OUTPUTS, TERMINAL, exec, until};
use crate::test_image;

pub(crate) const TESTS: &[Test] = &[
    ("command_has_its_streams_its_code_and_its_terminal", command),
    ("bytes_pass_whole_in_both_directions", bytes),
    ("addresses_that_nobody_uses_have_an_end", many),
    ("ports_of_both_loopbacks_are_reached_ten_at_once", ports),
    (
        "client_that_goes_takes_its_terminal_with_it_and_nothing_else",
        gone,
    ),
    ("killed_daemon_leaves_no_command_behind", killed),
];

/// Says how many MiB pass through an exec: `COFFERDAM_E2E_STREAM_MIB=1024` for a thorough run.
pub(crate) const STREAM_MIB_VARIABLE: &str = "COFFERDAM_E2E_STREAM_MIB";
const USUAL_MIB: usize = 16;

const SLEEP: &str = "exec sleep 1000";

fn command(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", SLEEP)?;
    // The input's end is the command's, and its output goes on.
    let script = "cat; echo err >&2; echo after; exit 3";
    let outcome = exec(&daemon, &id, script, ALL)?.finish(&b"hello\n"[..])?;
    ensure!(
        outcome.stdout == b"hello\nafter\n" && outcome.stderr == b"err\n",
        "{outcome:?}"
    );
    ensure!(outcome.code()? == 3, "{outcome:?}");
    // What a process leaves behind does not hold its client.
    let outcome = exec(&daemon, &id, "sleep 1000 & echo said", OUTPUTS)?.finish(io::empty())?;
    ensure!(
        outcome.stdout == b"said\n" && outcome.code()? == 0,
        "{outcome:?}"
    );
    let script =
        "until [ \"$(stty size 2>/dev/null)\" = '33 101' ]; do sleep 0.1; done; echo $TERM; exit 7";
    let mut terminal = exec(&daemon, &id, script, TERMINAL)?;
    terminal.resize(101, 33)?;
    let outcome = terminal.finish(io::empty())?;
    ensure!(
        outcome.stdout == b"xterm\r\n" && outcome.code()? == 7,
        "{outcome:?}"
    );
    let url = streaming::exec_url(&daemon, &id, &["/no-such-program"], OUTPUTS)?;
    let missing = Command::open(&url, OUTPUTS)?.finish(io::empty())?;
    ensure!(
        missing.status.contains("no-such-program") && missing.code().is_err(),
        "{missing:?}"
    );
    ensure!(Command::open(&url, OUTPUTS).is_err(), "a URL is good once");
    let refused = |streams| {
        let url = streaming::exec_url(&daemon, &id, &["true"], streams);
        expect_failure(url, Code::InvalidArgument, "stderr")
    };
    refused(Streams {
        tty: true,
        ..OUTPUTS
    })?;
    refused(Streams {
        stdout: false,
        stderr: false,
        ..OUTPUTS
    })?;
    // The container's end is the command's.
    let mut cut_off = exec(&daemon, &id, "echo up; exec sleep 1000", OUTPUTS)?;
    cut_off.read_until("up")?;
    let url = streaming::exec_url(&daemon, &id, &["true"], OUTPUTS)?;
    daemon.stop(&id, 0)?;
    let outcome = cut_off.finish(io::empty())?;
    ensure!(outcome.code()? == 128 + 9, "{outcome:?}");
    let late = Command::open(&url, OUTPUTS)?.finish(io::empty())?;
    ensure!(late.status.contains("does not run"), "{late:?}");
    let late = streaming::exec_url(&daemon, &id, &["true"], OUTPUTS);
    expect_failure(late, Code::FailedPrecondition, "does not run")?;
    daemon.remove_sandbox(&sandbox)?;
    let late = streaming::port_forward_url(&daemon, &sandbox);
    expect_failure(late, Code::NotFound, &sandbox)
}

/// More than may wait for their clients at once.
const URLS: usize = 1100;

fn many(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let first = streaming::port_forward_url(&daemon, &sandbox)?;
    let refused = (1..URLS).find_map(|_| streaming::port_forward_url(&daemon, &sandbox).err());
    let refused = refused.context("there is no end to it")?;
    expect_failure::<()>(Err(refused), Code::ResourceExhausted, "1000")?;
    // One that is taken makes room.
    forward(&first, &[])?;
    streaming::port_forward_url(&daemon, &sandbox)?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

/// The test image's block again and again.
struct Blocks {
    block: Vec<u8>,
    position: usize,
    left: usize,
    sum: Sha256,
}

impl Blocks {
    fn new(count: usize) -> Self {
        Self {
            block: test_image::block(),
            position: 0,
            left: count,
            sum: Sha256::new(),
        }
    }
}

impl Read for &mut Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let rest = &self.block[self.position..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.sum.update(&rest[..count]);
        self.position += count;
        if self.position == self.block.len() {
            self.position = 0;
            self.left -= 1;
        }
        Ok(count)
    }
}

/// Counts and sums what is written to it.
#[derive(Default)]
struct Sum {
    bytes: usize,
    sum: Sha256,
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len();
        self.sum.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn bytes(case: &Case) -> Result<()> {
    let mib = match std::env::var(STREAM_MIB_VARIABLE) {
        Ok(number) => number
            .parse()
            .with_context(|| format!("{STREAM_MIB_VARIABLE}={number} is no number"))?,
        Err(_unset) => USUAL_MIB,
    };
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", SLEEP)?;
    // Through the guest and back, both ways at the same time.
    let (mut input, mut output) = (Blocks::new(mib), Sum::default());
    let both = exec(&daemon, &id, "cat; echo over >&2", ALL)?;
    let outcome = both.finish_into(&mut input, &mut output)?;
    ensure!(
        outcome.stderr == b"over\n" && outcome.code()? == 0,
        "{outcome:?}"
    );
    ensure!(
        output.bytes == mib << 20,
        "{} bytes came back of {mib} MiB",
        output.bytes
    );
    ensure!(
        output.sum.finalize() == input.sum.finalize(),
        "the bytes that came back are others"
    );
    // A process that reads nothing ends all the same, and its client with it.
    let unread = exec(&daemon, &id, "sleep 1; exit 4", ALL)?.finish(&mut Blocks::new(4))?;
    ensure!(unread.code()? == 4, "{unread:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

const WEB_PORT: u16 = 8080;
const WEB_PORT_V6: u16 = 8081;
const SUM_PORT: u16 = 8082;
const CLOSED_PORT: u16 = 8083;

/// One forwarded connection: its two streams, and what came on them.
#[derive(Debug)]
struct Forward {
    port: u16,
    error: u32,
    data: u32,
    answer: Vec<u8>,
    reason: Vec<u8>,
    /// Which of its streams have ended.
    ended: Vec<u32>,
}

impl Forward {
    /// Opens it and sends all of its request.
    fn open(client: &mut Client, number: usize, (port, request): (u16, &[u8])) -> Result<Self> {
        let (port_text, number) = (port.to_string(), number.to_string());
        let mut open = |kind| {
            let headers = [
                ("streamtype", kind),
                ("port", port_text.as_str()),
                ("requestid", number.as_str()),
            ];
            client.writer.open(&headers)
        };
        let (error, data) = (open("error")?, open("data")?);
        client.writer.data(error, &[], true)?;
        client.writer.data(data, request, true)?;
        Ok(Self {
            port,
            error,
            data,
            answer: Vec::new(),
            reason: Vec::new(),
            ended: Vec::new(),
        })
    }

    fn take(&mut self, frame: &Frame) {
        let (stream, ends) = match frame {
            Frame::Data { stream, bytes, fin } => {
                if *stream == self.data {
                    self.answer.extend(bytes);
                } else if *stream == self.error {
                    self.reason.extend(bytes);
                }
                (*stream, *fin)
            }
            Frame::Reset { stream, .. } => (*stream, true),
            _ => return,
        };
        if ends && !self.ended.contains(&stream) {
            self.ended.push(stream);
        }
    }

    fn is_over(&self) -> bool {
        let both = [self.data, self.error];
        both.iter().all(|stream| self.ended.contains(stream))
    }
}

/// Opens all of them at once on one connection, and waits for all their ends.
fn forward(url: &str, requests: &[(u16, &[u8])]) -> Result<Vec<Forward>> {
    let mut client = Client::upgrade(url, &["portforward.k8s.io"])?;
    let opened = requests
        .iter()
        .enumerate()
        .map(|(number, request)| Forward::open(&mut client, number, *request));
    let mut forwards = opened.collect::<Result<Vec<_>>>()?;
    while forwards.iter().any(|forward| !forward.is_over()) {
        let Some(frame) = client.reader.next()? else {
            bail!("the connection ended before its streams did: {forwards:?}");
        };
        for forward in &mut forwards {
            forward.take(&frame);
        }
    }
    Ok(forwards)
}

fn ports(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    // One that is reached on one family only, each.
    let script = format!(
        "httpd -p 127.0.0.1:{WEB_PORT} -h /; httpd -p '[::1]:{WEB_PORT_V6}' -h /; \
         exec nc -ll -p {SUM_PORT} -e sha256sum"
    );
    let id = daemon.run(&sandbox, "main", &script)?;
    for port in [WEB_PORT, WEB_PORT_V6, SUM_PORT] {
        until(&daemon, &id, &format!("netstat -ltn | grep -q ':{port} '"))?;
    }
    let url = || streaming::port_forward_url(&daemon, &sandbox);
    let page: &[u8] = b"GET /block HTTP/1.0\r\n\r\n";
    let block = test_image::block();
    let mut requests = vec![(WEB_PORT, page); 9];
    requests.push((WEB_PORT_V6, page));
    for forward in forward(&url()?, &requests)? {
        let reason = String::from_utf8_lossy(&forward.reason);
        ensure!(reason.is_empty(), "port {}: {reason}", forward.port);
        ensure!(
            forward.answer.ends_with(&block),
            "port {} answered with {} bytes",
            forward.port,
            forward.answer.len()
        );
    }
    // It answers when it has heard the end of what it was sent, beside one that nobody listens for.
    let answers = forward(&url()?, &[(CLOSED_PORT, page), (SUM_PORT, &block)])?;
    let [closed, sum] = answers.as_slice() else {
        bail!("two forwards, not {answers:?}");
    };
    let reason = String::from_utf8_lossy(&closed.reason);
    ensure!(
        reason.contains("127.0.0.1:8083: Connection refused") && reason.contains("[::1]:8083"),
        "{reason}"
    );
    let digest = Sha256::digest(&block);
    let wanted: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let answer = String::from_utf8_lossy(&sum.answer);
    ensure!(answer.starts_with(&wanted), "{answer}, not {wanted}");
    daemon.stop_sandbox(&sandbox)?;
    expect_failure(url(), Code::FailedPrecondition, "is not ready")?;
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

/// Succeeds when a process sleeps for so many seconds. The brackets keep grep from finding itself.
fn sleeps(seconds: &str) -> String {
    let (head, last) = seconds.split_at(seconds.len() - 1);
    format!("ps | grep -q 'slee[p] {head}[{last}]'")
}

fn gone(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", SLEEP)?;
    // One that heeds the hang-up and says so, one that ignores it, and one without a terminal.
    let heeds = "trap 'touch /tmp/hung-up; exit' HUP; echo up; sleep 4501 & wait";
    let ignores = "trap '' HUP; echo up; sleep 4502 & sleep 4503";
    let other = "echo up; cat; echo loud; touch /tmp/went-on; exec sleep 4504";
    let mut clients = Vec::new();
    for (script, streams) in [(heeds, TERMINAL), (ignores, TERMINAL), (other, ALL)] {
        let mut client = exec(&daemon, &id, script, streams)?;
        client.read_until("up")?;
        clients.push(client);
    }
    for client in &clients {
        client.client.writer.close()?;
    }
    until(&daemon, &id, "test -e /tmp/hung-up")?;
    for ended in ["4501", "4502", "4503"] {
        until(&daemon, &id, &format!("! {}", sleeps(ended)))?;
    }
    // Its input has ended, and its output goes nowhere, but it runs.
    until(&daemon, &id, "test -e /tmp/went-on")?;
    until(&daemon, &id, &sleeps("4504"))?;
    let status = daemon.exec(&id, &sleeps("1000"), 60)?;
    ensure!(status.exit_code == 0, "the container goes on");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}

fn killed(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let sandbox = daemon.run_sandbox("web")?;
    let id = daemon.run(&sandbox, "main", SLEEP)?;
    let mut clients = Vec::new();
    for (script, streams) in [
        ("echo up; sleep 4601 & sleep 4602", OUTPUTS),
        ("trap '' HUP; echo up; sleep 4603", TERMINAL),
    ] {
        let mut client = exec(&daemon, &id, script, streams)?;
        client.read_until("up")?;
        clients.push(client);
    }
    let url = streaming::exec_url(&daemon, &id, &["true"], OUTPUTS)?;
    for seconds in ["4601", "4602", "4603"] {
        until(&daemon, &id, &sleeps(seconds))?;
    }
    daemon.restart()?;
    for client in clients {
        let rest = client.finish(io::empty());
        ensure!(rest.is_err(), "its connection broke: {rest:?}");
    }
    ensure!(
        Command::open(&url, OUTPUTS).is_err(),
        "the URLs of a daemon go with it"
    );
    for seconds in ["4601", "4602", "4603"] {
        until(&daemon, &id, &format!("! {}", sleeps(seconds)))?;
    }
    let outcome = exec(&daemon, &id, &sleeps("1000"), OUTPUTS)?.finish(io::empty())?;
    ensure!(outcome.code()? == 0, "the container goes on: {outcome:?}");
    daemon.remove_sandbox(&sandbox)?;
    Ok(())
}
