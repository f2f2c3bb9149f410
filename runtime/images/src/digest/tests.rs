//! Tests of digests: what parses, what is refused, what the reader computes.

use std::io::Read;

use super::{Digest, HashingReader};

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn check(text: &str, expect: Result<(), &str>) {
    match (text.parse::<Digest>(), expect) {
        (Ok(digest), Ok(())) => assert_eq!(digest.to_string(), text),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (got, expect) => panic!("{text}: got {got:?}, expected {expect:?}"),
    }
}

#[test]
fn digest_parses_or_says_why() {
    check(EMPTY, Ok(()));
    check("sha512:00", Err("only sha256"));
    check("sha256:00", Err("64 lower-case"));
    check(
        &EMPTY.to_uppercase().replace("SHA256", "sha256"),
        Err("64 lower-case"),
    );
    check("", Err("only sha256"));
}

#[test]
fn hashing_reader_counts_and_hashes() {
    let mut reader = HashingReader::new(&b"abc"[..]);
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert_eq!(reader.finish(), (Digest::of(b"abc"), 3));
    assert_eq!(Digest::of(b"").to_string(), EMPTY);
}
