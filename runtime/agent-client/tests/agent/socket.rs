//! Sockets of the host in the guest: who connects, in which order, and what becomes of those that nobody answers.

use agent_client::{AgentError, Caller, HostSocket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use crate::{
    host::{DEADLINE, Host, exchange},
    volume::{id, mount, with},
};

const SOCKET: HostSocket = HostSocket {
    mode: 0o640,
    uid: 1000,
    gid: 2000,
};

impl Host {
    async fn listen(&self) {
        let volume = id("s");
        let made = self.agent.make_socket(&volume, SOCKET, DEADLINE);
        made.await.unwrap();
    }

    /// As a process of the pod does it.
    async fn connect(&self) -> UnixStream {
        let path = self.volume("s").join("content");
        UnixStream::connect(path).await.unwrap()
    }
}

#[tokio::test]
async fn process_is_joined_to_the_connection_that_waits_and_each_direction_ends_by_itself() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.listen().await;
    // One that has gone takes no process with it.
    drop(host.agent.wait_at(&id("s")).await.unwrap());
    for _process in 0..2 {
        // Whoever comes first waits for the other.
        let mut process = host.connect().await;
        let waiting = host.agent.wait_at(&id("s")).await.unwrap();
        let answer = async {
            let (caller, mut stream) = timeout(DEADLINE, waiting.caller()).await.unwrap().unwrap();
            assert_eq!(caller, Caller { uid: 0, gid: 0 });
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await.unwrap();
            heard.reverse();
            stream.write_all(&heard).await.unwrap();
        };
        let (said, ()) = tokio::join!(exchange(&mut process, b"abc"), answer);
        assert_eq!(said, b"cba");
    }
    host.stop().await;
}

#[tokio::test]
async fn container_has_the_socket_with_its_mode_and_owner_until_it_is_removed() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.listen().await;
    // Where it is there already, it stays.
    let other = HostSocket {
        mode: 0o777,
        uid: 1,
        gid: 1,
    };
    let volume = id("s");
    let again = host.agent.make_socket(&volume, other, DEADLINE);
    again.await.unwrap();
    let script =
        "stat -c '%F %a %u %g' /run/node.sock; echo x >/run/node.sock 2>/dev/null || echo no file";
    let mounts = vec![mount("s", "", "/run/node.sock")];
    let finished = host.run(with(script, mounts)).await;
    let expect = "socket 640 1000 2000\nno file\n";
    assert_eq!(finished.stdout, expect, "{finished:?}");
    host.agent.remove_volume(&volume, DEADLINE).await.unwrap();
    assert!(!host.volume("s").exists());
    let error = host.agent.wait_at(&volume).await.unwrap_err();
    assert!(matches!(error, AgentError::NotFound { .. }), "{error}");
    host.stop().await;
}

#[tokio::test]
async fn what_is_no_socket_is_refused_and_leaves_nothing() {
    let Some(host) = Host::start().await else {
        return;
    };
    let wrong = HostSocket {
        mode: 0o14_0777,
        ..SOCKET
    };
    let made = host.agent.make_socket(&id("s"), wrong, DEADLINE).await;
    let error = made.unwrap_err();
    assert!(matches!(error, AgentError::Invalid { .. }), "{error}");
    assert!(!host.volume("s").exists());
    let volume = id("v");
    let written = host.agent.write_volume(&volume, Vec::new(), 0, DEADLINE);
    written.await.unwrap();
    let error = host.agent.wait_at(&volume).await.unwrap_err();
    assert!(error.to_string().contains("is no socket"), "{error}");
    host.stop().await;
}
