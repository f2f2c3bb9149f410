//! Streams against an agent that is a few lines of this test.

use std::path::Path;

use agent::stdio::OPEN_HEADER_BYTES;
use tokio::net::UnixListener;

use super::*;

fn id() -> StreamId {
    StreamId {
        container_id: "c".into(),
        exec_id: String::new(),
    }
}

fn address(dir: &Path) -> Address {
    Address::Host {
        rpc: dir.join("rpc"),
        stdio: dir.join("stdio"),
    }
}

/// Accepts one stream and answers its opening.
async fn accept(listener: &UnixListener, answer: Opened) -> (Open, UnixStream) {
    let (mut peer, _) = listener.accept().await.unwrap();
    let mut header = [0; OPEN_HEADER_BYTES];
    peer.read_exact(&mut header).await.unwrap();
    let header = Open::decode_header(&header).unwrap();
    let mut ids = vec![0; header.ids_bytes];
    peer.read_exact(&mut ids).await.unwrap();
    peer.write_all(&answer.encode()).await.unwrap();
    (Open::decode_ids(header, &ids).unwrap(), peer)
}

#[tokio::test]
async fn output_is_read_and_acknowledged_until_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let address = address(dir.path());
    let listener = UnixListener::bind(dir.path().join("stdio")).unwrap();
    let agent = tokio::spawn(async move {
        let (open, mut peer) = accept(&listener, Opened::Ready { offset: 7 }).await;
        assert_eq!((open.stream, open.offset), (Stream::Stdout, 7));
        peer.write_all(&vec![b'x'; 200_000]).await.unwrap();
        peer.shutdown().await.unwrap();
        let mut acknowledged = 0;
        while let Ok(offset) = peer.read_u64_le().await {
            assert!(offset > acknowledged);
            acknowledged = offset;
        }
        acknowledged
    });
    let mut stream = OutputStream::open(&address, &id(), Stream::Stdout, 7)
        .await
        .unwrap();
    let mut count = 0;
    loop {
        let bytes = stream.next().await.unwrap();
        if bytes.is_empty() {
            break;
        }
        count += bytes.len();
        stream.acknowledge().await.unwrap();
    }
    assert_eq!((count, stream.offset()), (200_000, 200_007));
    drop(stream);
    assert!(agent.await.unwrap() > 7 + 100_000);
}

#[tokio::test]
async fn stream_that_does_not_exist_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let address = address(dir.path());
    let listener = UnixListener::bind(dir.path().join("stdio")).unwrap();
    let refused = Opened::Refused {
        reason: "no such\ncontainer".into(),
    };
    let agent = tokio::spawn(async move { accept(&listener, refused).await });
    let error = StdinStream::open(&address, &id(), 0).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the agent refused the Stdin stream: no such\u{fffd}container"
    );
    agent.await.unwrap();
}

#[tokio::test]
async fn agent_at_another_offset_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let address = address(dir.path());
    let listener = UnixListener::bind(dir.path().join("stdio")).unwrap();
    let agent = tokio::spawn(async move { accept(&listener, Opened::Ready { offset: 3 }).await });
    let error = OutputStream::open(&address, &id(), Stream::Stderr, 4)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        StdioError::Offset {
            ours: 4,
            theirs: 3,
            ..
        }
    ));
    agent.await.unwrap();
}

#[tokio::test]
async fn stdin_waits_for_the_process_and_ends_explicitly() {
    let dir = tempfile::tempdir().unwrap();
    let address = address(dir.path());
    let listener = UnixListener::bind(dir.path().join("stdio")).unwrap();
    let agent = tokio::spawn(async move {
        let (_, mut peer) = accept(&listener, Opened::Ready { offset: 0 }).await;
        let mut total = 0;
        let mut length = peer.read_u32_le().await.unwrap();
        while length != 0 {
            let mut chunk = vec![0; usize::try_from(length).unwrap()];
            peer.read_exact(&mut chunk).await.unwrap();
            total += u64::from(length);
            peer.write_all(&total.to_le_bytes()).await.unwrap();
            length = peer.read_u32_le().await.unwrap();
        }
        total
    });
    let mut stdin = StdinStream::open(&address, &id(), 0).await.unwrap();
    stdin.write(&vec![1; 1_000_000]).await.unwrap();
    stdin.close().await.unwrap();
    assert_eq!(agent.await.unwrap(), 1_000_000);
}
