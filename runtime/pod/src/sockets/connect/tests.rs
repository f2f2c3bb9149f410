//! Real sockets: what they are, who their servers see, and paths that lead elsewhere.

use std::os::unix::{
    fs::{PermissionsExt, symlink},
    net::{UnixDatagram, UnixListener},
};

use rustix::net::{bind, listen, sockopt::socket_peercred};

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

fn us() -> Caller {
    Caller {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
    }
}

#[test]
fn kinds_are_told_apart_and_servers_of_streams_do_not_notice() {
    let (_folder, path) = folder();
    let stream = UnixListener::bind(path.join("stream")).unwrap();
    let _datagram = UnixDatagram::bind(path.join("datagram")).unwrap();
    let packets = super::socket(SocketType::SEQPACKET).unwrap();
    let name = SocketAddrUnix::new(path.join("packets")).unwrap();
    bind(&packets, &name).unwrap();
    listen(&packets, 4).unwrap();
    drop(UnixListener::bind(path.join("stale")).unwrap());
    for (name, expect) in [
        ("stream", SocketKind::Stream),
        ("datagram", SocketKind::Datagram),
        ("packets", SocketKind::SeqPacket),
        ("stale", SocketKind::Stream),
    ] {
        assert_eq!(socket_kind(&path.join(name)).unwrap(), expect, "{name}");
    }
    stream.set_nonblocking(true).unwrap();
    let nobody = stream.accept().unwrap_err();
    assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn connection_is_made_to_what_is_at_the_path_now() {
    let (_folder, path) = folder();
    let socket = path.join("s");
    for _server in 0..2 {
        let server = UnixListener::bind(&socket).unwrap();
        connect(&socket, us(), SOON).await.unwrap();
        server.accept().unwrap();
        std::fs::remove_file(&socket).unwrap();
    }
    let check = async |path: &Path, words: &str| {
        let error = connect(path, us(), SOON).await.unwrap_err();
        let text = model::chain(&error);
        assert!(text.contains(words), "{text}");
    };
    check(&socket, "No such file").await;
    drop(UnixListener::bind(&socket).unwrap());
    check(&socket, "refused").await;
    symlink(&socket, path.join("link")).unwrap();
    check(&path.join("link"), "symbolic links").await;
    symlink(&path, path.join("folder")).unwrap();
    check(&path.join("folder/s"), "symbolic links").await;
    std::fs::write(path.join("file"), "").unwrap();
    check(&path.join("file"), "it is no socket").await;
}

#[tokio::test]
async fn server_sees_the_ids_of_the_caller() {
    if !geteuid().is_root() {
        println!("SKIPPED: other ids need root");
        return;
    }
    let (_folder, path) = folder();
    let socket = path.join("s");
    let server = UnixListener::bind(&socket).unwrap();
    // The guest has looked at it: here the caller would be nobody.
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&socket, private.clone()).unwrap();
    std::fs::set_permissions(&path, private).unwrap();
    let caller = Caller {
        uid: 1000,
        gid: 2000,
    };
    let _client = connect(&socket, caller, SOON).await.unwrap();
    let (accepted, _) = server.accept().unwrap();
    let seen = socket_peercred(&accepted).unwrap();
    assert_eq!((seen.uid.as_raw(), seen.gid.as_raw()), (1000, 2000));
    assert!(geteuid().is_root(), "other threads are as they were");
}

#[tokio::test]
async fn server_whose_queue_is_full_is_given_up() {
    let (_folder, path) = folder();
    let path = path.join("s");
    let server = super::socket(SocketType::STREAM).unwrap();
    bind(&server, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&server, 0).unwrap();
    let short = Duration::from_millis(50);
    let mut held = Vec::new();
    let error = loop {
        match connect(&path, us(), short).await {
            Ok(connected) => held.push(connected),
            Err(error) => break error,
        }
        assert!(held.len() < 8, "the queue has no end");
    };
    assert!(matches!(
        error,
        SocketError::Io {
            attempt: "connect to it",
            ..
        }
    ));
}
