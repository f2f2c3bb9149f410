//! A server with a scripted backend, in a runtime of its own, so that a test's thread may block as a client does. Main type: [`Bench`].

use std::io;

use harness::spdy::command::{Command, Outcome, Streams};
use streaming::{Asked, Attach, Exec, PortForward, Server, Session, Settings};
use tokio::runtime::{Builder, Runtime};

use crate::backend::Script;

/// Input and both outputs.
pub(crate) const ALL: Streams = Streams {
    stdin: true,
    stdout: true,
    stderr: true,
    tty: false,
};
pub(crate) const TERMINAL: Streams = Streams {
    stdin: true,
    stdout: true,
    stderr: false,
    tty: true,
};

#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) runtime: Runtime,
    pub(crate) server: Server,
    pub(crate) script: Script,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let script = Script::new();
        let server = runtime
            .block_on(Server::bind(settings, script.clone()))
            .unwrap();
        Self {
            runtime,
            server,
            script,
        }
    }

    /// The URL of an exec.
    pub(crate) fn exec(&self, line: &str, streams: Streams) -> String {
        let exec = Exec {
            container: "one".to_owned(),
            command: line.split(' ').map(str::to_owned).collect(),
            streams: asked(streams),
        };
        self.server.open(Session::Exec(exec)).unwrap()
    }

    /// The URL of an attach; the container's name is what it does.
    pub(crate) fn attach(&self, name: &str, streams: Streams) -> String {
        let attach = Attach {
            container: name.to_owned(),
            streams: asked(streams),
        };
        self.server.open(Session::Attach(attach)).unwrap()
    }

    pub(crate) fn forward(&self, ports: &[u16]) -> String {
        let forward = PortForward {
            sandbox: "pod".to_owned(),
            ports: ports.to_vec(),
        };
        self.server.open(Session::PortForward(forward)).unwrap()
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, line: &str, streams: Streams, input: impl io::Read + Send) -> Outcome {
        let command = Command::open(&self.exec(line, streams), streams).unwrap();
        command.finish(input).unwrap()
    }

    pub(crate) fn wait_for(&self, event: &str, times: usize) {
        self.runtime.block_on(self.script.wait_for(event, times));
    }

    /// One more exec works.
    pub(crate) fn check_well(&self) {
        let outcome = self.run("exit 3 out err", ALL, io::empty());
        assert_eq!(outcome.code().unwrap(), 3);
        assert_eq!(
            (outcome.stdout, outcome.stderr),
            (b"out".to_vec(), b"err".to_vec())
        );
    }
}

fn asked(streams: Streams) -> Asked {
    Asked {
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        tty: streams.tty,
    }
}
