//! What is agreed on with guests of several versions.

use super::*;

fn request(major: u32, minor: u32, flags: u32) -> Vec<u8> {
    with_more(major, minor, flags, 0)
}

fn with_more(major: u32, minor: u32, flags: u32, more: u32) -> Vec<u8> {
    let mut request = vec![0; BODY];
    for value in [major, minor, 0x2_0000, flags, more] {
        request.extend(value.to_le_bytes());
    }
    request
}

fn agreed(request: &[u8]) -> io::Result<(Vec<u8>, FsOptions)> {
    let mut told = FsOptions::empty();
    let body = answer(request, |agreed| {
        told = agreed;
        Ok(agreed)
    })?;
    Ok((body, told))
}

#[test]
fn guest_that_offers_everything_gets_what_we_want() {
    let (body, told) = agreed(&request(7, 45, u32::MAX)).unwrap();
    assert_eq!(told, wanted());
    assert_eq!(body.len(), 64);
    let field = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
    assert_eq!((field(0), field(4), field(8)), (7, 33, 0x1_0000));
    assert_eq!(u64::from(field(12)), wanted().bits());
    assert_eq!(field(32), 0);
    assert_eq!(field(20), 0x1_0000);
    assert_eq!(field(28), 16);
}

#[test]
fn owners_are_mapped_for_a_guest_that_can() {
    let check = |flags: u32, more: u32, expect: (u32, u32)| {
        let (body, told) = agreed(&with_more(7, 41, flags, more)).unwrap();
        assert_eq!((body.len(), told), (64, FsOptions::ASYNC_READ));
        let field = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
        // struct fuse_init_out: flags, flags2.
        assert_eq!((field(12), field(32)), expect);
    };
    check(MORE_FLAGS | 1, u32::MAX, (MORE_FLAGS | 1, ALLOW_IDMAP));
    check(MORE_FLAGS | 1, !ALLOW_IDMAP, (1, 0));
    check(1, u32::MAX, (1, 0));
}

#[test]
fn guest_that_offers_little_gets_no_more() {
    let (_, told) = agreed(&request(7, 28, 1)).unwrap();
    assert_eq!(told, FsOptions::ASYNC_READ);
}

#[test]
fn guest_of_another_version_is_told_ours_or_refused() {
    let (body, told) = agreed(&request(8, 0, u32::MAX)).unwrap();
    assert_eq!((body[0], told), (7, FsOptions::empty()));
    for (major, minor) in [(6, 99), (7, 27)] {
        let error = agreed(&request(major, minor, 1)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPROTO));
    }
    assert!(agreed(&request(7, 33, 1)[..50]).is_err());
    assert!(agreed(&[]).is_err());
}
