//! Connections to ports of the pod's loopback, which is this machine's for an agent that runs on it.

use std::{
    fs::File,
    io::Read,
    net::Ipv6Addr,
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    thread,
};

use agent_client::AgentError;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::host::{DEADLINE, Host, exchange};

/// Answers only when it has heard all: an end of one direction must not be one of the other.
async fn answer(mut client: TcpStream) {
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    heard.reverse();
    client.write_all(&heard).await.unwrap();
}

#[tokio::test]
async fn port_is_reached_on_either_loopback_and_each_direction_ends_by_itself() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut listeners = vec![TcpListener::bind("127.0.0.1:0").await.unwrap()];
    match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await {
        Ok(listener) => listeners.push(listener),
        Err(error) => println!("SKIPPED: the half with ::1, which this machine has not: {error}"),
    }
    for listener in listeners {
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            answer(listener.accept().await.unwrap().0).await;
        });
        let mut stream = host.agent.dial(port).await.unwrap();
        assert_eq!(exchange(&mut stream, b"abc").await, b"cba");
        server.await.unwrap();
    }
    host.stop().await;
}

#[tokio::test]
async fn server_that_ends_first_still_hears_the_client() {
    let Some(host) = Host::start().await else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        heard
    });
    let mut stream = host.agent.dial(port).await.unwrap();
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting).await.unwrap();
    assert_eq!(greeting, "hello");
    stream.write_all(b"late").await.unwrap();
    drop(stream);
    assert_eq!(server.await.unwrap(), "late");
    host.stop().await;
}

#[tokio::test]
async fn twenty_connections_carry_a_mebibyte_each() {
    let Some(host) = Host::start().await else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let mut clients = JoinSet::new();
        for _ in 0..20 {
            clients.spawn(answer(listener.accept().await.unwrap().0));
        }
        clients.join_all().await;
    });
    let mut streams = JoinSet::new();
    for number in 0..20_u8 {
        let agent = host.agent.clone();
        streams.spawn(async move {
            let sent: Vec<u8> = (0..1_u32 << 20)
                .map(|index| number.wrapping_mul(31) ^ index.to_le_bytes()[index as usize % 3])
                .collect();
            let mut stream = agent.dial(port).await.unwrap();
            let mut back = exchange(&mut stream, &sent).await;
            back.reverse();
            assert!(back == sent, "connection {number}");
        });
    }
    streams.join_all().await;
    server.await.unwrap();
    host.stop().await;
}

#[tokio::test]
async fn port_where_nobody_listens_is_refused_in_the_kernels_words() {
    let Some(host) = Host::start().await else {
        return;
    };
    // Free again as soon as this is dropped.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let refused = host.agent.dial(port).await.unwrap_err();
    assert!(
        matches!(refused, AgentError::Precondition { .. }),
        "{refused:?}"
    );
    let text = refused.to_string();
    let v4 = format!("connect to 127.0.0.1:{port}: Connection refused");
    assert!(text.starts_with(&v4), "{text}");
    assert!(
        text.contains(&format!("connect to [::1]:{port}: ")),
        "{text}"
    );
    let none = host.agent.dial(0).await.unwrap_err();
    assert!(matches!(none, AgentError::Invalid { .. }), "{none:?}");
    host.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_until_one_ends() {
    /// As the agent has it.
    const MOST: usize = 256;
    let Some(host) = Host::start().await else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let mut clients = Vec::new();
        loop {
            clients.push(listener.accept().await.unwrap().0);
        }
    });
    let mut streams = Vec::new();
    for _ in 0..MOST {
        streams.push(host.agent.dial(port).await.unwrap());
    }
    let refused = host.agent.dial(port).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "256 connections to ports of the pod are open already"
    );
    server.abort();
    // With the server's end and the client's, a connection is over.
    let mut over = streams.pop().unwrap();
    over.shutdown().await.unwrap();
    let mut nothing = Vec::new();
    over.read_to_end(&mut nothing).await.unwrap();
    let again = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = again.local_addr().unwrap().port();
    let reached = timeout(DEADLINE, async {
        while host.agent.dial(port).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    reached.await.expect("a place is free again");
    host.stop().await;
}

/// A process in a network namespace of its own; it ends with the test.
struct Elsewhere(Child);

impl Elsewhere {
    fn begin() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo; exec sleep 1000"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        // It speaks when it is there.
        let mut said = [0];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut said)
            .unwrap();
        Self(child)
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// Listens in its namespace.
    fn listen(&self) -> std::net::TcpListener {
        let namespace = File::open(self.namespace()).unwrap();
        let bind = move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).unwrap();
            std::net::TcpListener::bind("127.0.0.1:0").unwrap()
        };
        thread::spawn(bind).join().unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn port_is_in_the_network_namespace_that_the_pod_has_of_its_own() {
    let Some(first) = Host::start().await else {
        return;
    };
    first.stop().await;
    let elsewhere = Elsewhere::begin();
    let words = ["--network", &elsewhere.namespace()];
    let Some(host) = Host::start_with(&words).await else {
        return;
    };
    // The agent has brought the loopback up.
    let inside = elsewhere.listen();
    let port = inside.local_addr().unwrap().port();
    inside.set_nonblocking(true).unwrap();
    let inside = TcpListener::from_std(inside).unwrap();
    let server = tokio::spawn(async move {
        answer(inside.accept().await.unwrap().0).await;
    });
    let mut stream = host.agent.dial(port).await.unwrap();
    assert_eq!(exchange(&mut stream, b"abc").await, b"cba");
    server.await.unwrap();
    // This machine's loopback is another.
    let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = outside.local_addr().unwrap().port();
    let refused = host.agent.dial(port).await.unwrap_err();
    assert!(refused.to_string().contains("refused"), "{refused}");
    host.stop().await;
}
