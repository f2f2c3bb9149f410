//! A backend that is a script: the command's first word, or the port, says what happens. Main type: [`Script`].

use std::sync::Arc;
use std::time::Duration;

use streaming::{
    Asked, Attach, Backend, Connection, End, Exec, Process, Refusal, Sink, Source, WindowSize,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// Bytes that a pipe of a process holds.
pub(crate) const PIPE_BYTES: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) const ECHO: u16 = 7;
pub(crate) const REFUSED: u16 = 9;
/// Says how much it was sent once that has ended.
pub(crate) const COUNT: u16 = 10;
/// Says a word, ends, and goes on reading.
pub(crate) const GREET: u16 = 13;
/// Reads nothing and says nothing.
pub(crate) const DEAF: u16 = 14;

/// What has happened so far, for tests to wait for.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    events: Arc<watch::Sender<Vec<String>>>,
    /// Lets `stuck` end.
    pub(crate) let_go: Arc<watch::Sender<bool>>,
}

/// The process' side of its streams.
struct Inside {
    stdin: DuplexStream,
    stdout: DuplexStream,
    stderr: DuplexStream,
    sizes: mpsc::Receiver<WindowSize>,
    end: oneshot::Sender<End>,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self {
            events: Arc::new(watch::Sender::new(Vec::new())),
            let_go: Arc::new(watch::Sender::new(false)),
        }
    }

    pub(crate) fn happened(&self, event: &str) {
        self.events
            .send_modify(|events| events.push(event.to_owned()));
    }

    /// Waits until something has happened `times` times.
    pub(crate) async fn wait_for(&self, event: &str, times: usize) {
        let mut events = self.events.subscribe();
        let counted =
            |events: &Vec<String>| events.iter().filter(|seen| *seen == event).count() >= times;
        let seen = timeout(PATIENCE, events.wait_for(counted)).await;
        assert!(
            seen.is_ok(),
            "{event} did not happen {times} times: {:?}",
            self.events.borrow()
        );
    }

    fn run(&self, words: &[String], asked: Asked) -> Result<Process, Refusal> {
        let words: Vec<String> = words.to_vec();
        self.happened(&format!("run {}", words.join(" ")));
        if words.first().is_some_and(|word| word == "refuse") {
            return Err(Refusal("container one is not running".to_owned()));
        }
        let (process, inside) = streams(asked);
        let script = self.clone();
        tokio::spawn(async move { act(&script, &words, inside).await });
        Ok(process)
    }
}

impl Backend for Script {
    async fn exec(&self, exec: Exec) -> Result<Process, Refusal> {
        assert_eq!(exec.container, "one");
        self.run(&exec.command, exec.streams)
    }

    async fn attach(&self, attach: Attach) -> Result<Process, Refusal> {
        self.run(&[attach.container], attach.streams)
    }

    async fn dial(&self, sandbox: &str, port: u16) -> Result<Connection, Refusal> {
        assert_eq!(sandbox, "pod");
        self.happened(&format!("dial {port}"));
        if port == REFUSED {
            return Err(Refusal(format!("port {port} of pod: connection refused")));
        }
        let (ours, theirs) = duplex(PIPE_BYTES);
        let script = self.clone();
        tokio::spawn(async move { answer(&script, port, theirs).await });
        let (from, to) = tokio::io::split(ours);
        Ok(Connection {
            from: Box::new(from),
            to: Box::new(to),
        })
    }
}

fn streams(asked: Asked) -> (Process, Inside) {
    let (stdin, stdin_inside) = duplex(PIPE_BYTES);
    let (stdout, stdout_inside) = duplex(PIPE_BYTES);
    let (stderr, stderr_inside) = duplex(PIPE_BYTES);
    let (sizes, sizes_inside) = mpsc::channel(4);
    let (end_inside, end) = oneshot::channel();
    let process = Process {
        stdin: asked.stdin.then(|| Box::new(stdin) as Sink),
        stdout: asked.stdout.then(|| Box::new(stdout) as Source),
        stderr: asked.stderr.then(|| Box::new(stderr) as Source),
        sizes,
        end,
    };
    let inside = Inside {
        stdin: stdin_inside,
        stdout: stdout_inside,
        stderr: stderr_inside,
        sizes: sizes_inside,
        end: end_inside,
    };
    (process, inside)
}

async fn act(script: &Script, words: &[String], mut inside: Inside) {
    let word = |index: usize| words.get(index).map(String::as_str).unwrap_or_default();
    let mut code = 0;
    match word(0) {
        // Copies input to output, as cat does.
        "cat" => {
            tokio::io::copy(&mut inside.stdin, &mut inside.stdout)
                .await
                .ok();
        }
        // Says its words on both outputs and ends with the code.
        "exit" => {
            code = word(1).parse().unwrap();
            inside.stdout.write_all(word(2).as_bytes()).await.ok();
            inside.stderr.write_all(word(3).as_bytes()).await.ok();
        }
        // Writes as many bytes as it is told.
        "pour" => {
            let most = word(1).parse().unwrap();
            let mut pattern = tokio::io::repeat(b'x').take(most);
            tokio::io::copy(&mut pattern, &mut inside.stdout).await.ok();
        }
        // A terminal: says the sizes that it is told, until it is told 1 by 1.
        "terminal" => {
            while let Some(size) = inside.sizes.recv().await {
                let line = format!("{}x{}\n", size.columns, size.rows);
                inside.stdout.write_all(line.as_bytes()).await.ok();
                if size.columns == 1 {
                    break;
                }
            }
        }
        // Writes without end, until it is told a size.
        "flood" => code = flood(script, &mut inside).await,
        // Reads no input, and ends when the test says so.
        "stuck" => {
            inside.stdout.write_all(b"ready").await.ok();
            script
                .let_go
                .subscribe()
                .wait_for(|let_go| *let_go)
                .await
                .ok();
            code = 5;
        }
        // Lives for as long as its client, and tells its input until then.
        "server" => {
            inside.stdout.write_all(b"ready").await.ok();
            while inside.sizes.recv().await.is_some() {}
            script.happened("client gone");
            let mut input = Vec::new();
            inside.stdin.read_to_end(&mut input).await.ok();
            script.happened(&format!("input {}", input.len()));
        }
        // Its end is not told.
        "vanish" => return,
        "fail" => {
            inside
                .end
                .send(End::Failed("the pod is gone".to_owned()))
                .ok();
            return;
        }
        other => panic!("no such command: {other}"),
    }
    drop((inside.stdout, inside.stderr));
    inside.end.send(End::Exited(code)).ok();
    script.happened("ended");
}

async fn flood(script: &Script, inside: &mut Inside) -> u8 {
    let mut flood = tokio::io::repeat(b'x');
    let size = tokio::select! {
        size = inside.sizes.recv() => size,
        _not_read = tokio::io::copy(&mut flood, &mut inside.stdout) => inside.sizes.recv().await,
    };
    if size.is_none() {
        script.happened("client gone");
    }
    7
}

async fn answer(script: &Script, port: u16, stream: DuplexStream) {
    let (mut from, mut to) = tokio::io::split(stream);
    match port {
        ECHO => {
            tokio::io::copy(&mut from, &mut to).await.ok();
            to.shutdown().await.ok();
        }
        COUNT => {
            let read = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
            to.write_all(format!("{} bytes", read.unwrap()).as_bytes())
                .await
                .ok();
            to.shutdown().await.ok();
        }
        GREET => {
            to.write_all(b"hello").await.ok();
            to.shutdown().await.ok();
            let read = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
            script.happened(&format!("greeted and sent {}", read.unwrap_or_default()));
        }
        DEAF => {
            // Nothing is read, so this sees the other end being dropped only when it writes.
            while to.write_all(b"").await.is_ok()
                && script.let_go.subscribe().changed().await.is_ok()
            {}
        }
        other => panic!("nobody listens at {other}"),
    }
    script.happened(&format!("closed {port}"));
}
