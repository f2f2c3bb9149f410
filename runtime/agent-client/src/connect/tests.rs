//! The monitor's side of the line, played by a task.

use tokio::net::UnixListener;

use super::*;

async fn check(answer: &'static [u8], expect: Result<&[u8], io::ErrorKind>) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("vsock");
    let listener = UnixListener::bind(&socket).unwrap();
    let monitor = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut line = [0; 13];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"CONNECT 1025\n");
        stream.write_all(answer).await.unwrap();
    });
    let connected = Connector::Vsock { socket }.stdio().await;
    match (connected, expect) {
        (Ok(mut stream), Ok(expect)) => {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, expect);
        }
        (Err(error), Err(expect)) => assert_eq!(error.kind(), expect, "{error}"),
        (connected, _) => panic!("{connected:?}"),
    }
    monitor.await.unwrap();
}

#[tokio::test]
async fn connect_answered_with_ok_gives_the_stream_behind_it() {
    check(b"OK 1073741824\nfirst bytes", Ok(b"first bytes")).await;
}

#[tokio::test]
async fn connect_answered_with_anything_else_fails() {
    check(b"NO\n", Err(io::ErrorKind::InvalidData)).await;
    check(
        b"OK 11111111111111111111111111111111111111111",
        Err(io::ErrorKind::InvalidData),
    )
    .await;
    check(b"", Err(io::ErrorKind::UnexpectedEof)).await;
}
