//! An agent that sends what it likes.

use super::*;

async fn check(sent: &[u8], expect: Result<&[u8], &str>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(sent).await.unwrap();
    drop(theirs);
    let mut stream = OutputStream::new(ours, 7);
    let mut all = Vec::new();
    let ended = loop {
        let mut buffer = [0; 3];
        match stream.read(&mut buffer).await {
            Ok(0) => break Ok(()),
            Ok(count) => all.extend(&buffer[..count]),
            Err(error) => break Err(error.to_string()),
        }
    };
    match expect {
        Ok(bytes) => assert_eq!((ended, all.as_slice()), (Ok(()), bytes)),
        Err(reason) => assert!(ended.unwrap_err().ends_with(reason), "{sent:?}"),
    }
    assert_eq!(stream.offset(), 7 + all.len() as u64);
}

#[tokio::test]
async fn chunks_are_joined_until_the_empty_one() {
    check(b"\x05\0\0\0hello\x01\0\0\0!\0\0\0\0", Ok(b"hello!")).await;
    check(b"\0\0\0\0", Ok(b"")).await;
}

#[tokio::test]
async fn end_of_the_connection_is_not_the_end_of_the_output() {
    check(b"", Err("the connection ended")).await;
    check(b"\x05\0\0\0he", Err("the connection ended")).await;
    check(b"\x05\0", Err("the connection ended")).await;
}

#[tokio::test]
async fn chunk_over_the_limit_breaks_the_protocol() {
    check(b"\x01\0\x01\0", Err("a chunk of 65537 bytes")).await;
    check(b"\xff\xff\xff\xff", Err("a chunk of 4294967295 bytes")).await;
}
