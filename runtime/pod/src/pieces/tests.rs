//! What is sent is read, in any cut, until its end.

use tokio::io::AsyncReadExt;

use super::*;

#[tokio::test]
async fn pieces_are_read_in_any_cut_until_the_senders_are_gone() {
    let (to, mut from) = pieces(4);
    for piece in ["one", "", "two", "three"] {
        to.send(Bytes::from_static(piece.as_bytes())).await.unwrap();
    }
    let mut part = [0; 2];
    assert_eq!(from.read(&mut part).await.unwrap(), 2);
    assert_eq!(&part, b"on");
    drop(to);
    let mut rest = String::new();
    from.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "etwothree");
}

#[tokio::test]
async fn sender_learns_that_nobody_reads() {
    let (to, from) = pieces(1);
    drop(from);
    assert!(to.send(Bytes::from_static(b"x")).await.is_err());
}
