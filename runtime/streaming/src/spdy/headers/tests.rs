//! Header blocks: those of Go's clients, hostile ones, and our replies.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::{HeaderError, Inflater, ReplyBlocks};
use crate::{limits, spdy::dictionary};

/// A client's compression.
struct Deflater(Compress);

impl Deflater {
    fn new() -> Self {
        let mut compress = Compress::new(Compression::best(), true);
        let adler = compress.set_dictionary(dictionary::spdy_3()).unwrap();
        assert_eq!(adler, dictionary::ADLER_32);
        Self(compress)
    }

    fn block(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut block = Vec::with_capacity(plain.len() + 1024);
        let flush = FlushCompress::Sync;
        self.0.compress_vec(plain, &mut block, flush).unwrap();
        block
    }
}

fn plain(headers: &[(&str, &str)]) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    let mut plain = word(headers.len()).to_vec();
    for (name, value) in headers {
        for text in [name, value] {
            plain.extend(word(text.len()));
            plain.extend(text.as_bytes());
        }
    }
    plain
}

fn check_malformed(plain: &[u8]) {
    let mut deflater = Deflater::new();
    let mut inflater = Inflater::default();
    let error = inflater.headers(&deflater.block(plain)).unwrap_err();
    assert!(error.is_of_one_stream(), "{plain:?}: {error}");
    // The compression goes on behind it.
    let next = deflater.block(&self::plain(&[("streamtype", "error")]));
    let headers = inflater.headers(&next).unwrap();
    assert_eq!(headers.get("streamtype"), Some("error"));
}

#[test]
fn headers_come_through_one_compression() {
    let mut deflater = Deflater::new();
    let mut inflater = Inflater::default();
    for number in 0..200 {
        let id = number.to_string();
        let headers = [("streamtype", "data"), ("port", "80"), ("requestid", &id)];
        let block = deflater.block(&plain(&headers));
        let read = inflater.headers(&block).unwrap();
        for (name, value) in headers {
            assert_eq!(read.get(name), Some(value));
        }
        assert_eq!(read.get("other"), None);
    }
    let none = inflater.headers(&deflater.block(&plain(&[]))).unwrap();
    assert_eq!(none.get("streamtype"), None);
}

#[test]
fn header_with_several_values_has_its_first() {
    let mut inflater = Inflater::default();
    let block = Deflater::new().block(&plain(&[("port", "80\081")]));
    assert_eq!(inflater.headers(&block).unwrap().get("port"), Some("80"));
}

#[test]
fn malformed_block_costs_its_stream_only() {
    check_malformed(&plain(&[("streamType", "data")]));
    check_malformed(&plain(&[("port", "1"), ("port", "1")]));
    check_malformed(&plain(&[("", "1")]));
    check_malformed(&[]);
    check_malformed(&[0, 0, 0, 1]);
    check_malformed(&[0xff; 4]);
    check_malformed(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, b'a']);
    check_malformed(&[0, 0, 0, 0, 0]);
    check_malformed(&[0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0, 0, 0, 0]);
    let many: Vec<String> = (0..=limits::HEADERS)
        .map(|number| number.to_string())
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
    check_malformed(&plain(&many));
}

#[test]
fn block_that_inflates_to_more_than_allowed_ends_the_connection() {
    let bomb = vec![0; 1 << 20];
    let block = Deflater::new().block(&bomb);
    assert!(block.len() < limits::CONTROL_FRAME_BYTES, "{}", block.len());
    let error = Inflater::default().headers(&block).unwrap_err();
    assert!(matches!(error, HeaderError::TooLong), "{error}");
    assert!(!error.is_of_one_stream());
}

#[test]
fn bytes_that_are_no_zlib_end_the_connection() {
    for bytes in [
        &b"hello, this is text"[..],
        &[0xff; 40],
        &[0x78, 0xbb, 1, 2, 3, 4, 5, 6],
    ] {
        let error = Inflater::default().headers(bytes).unwrap_err();
        assert!(!error.is_of_one_stream(), "{bytes:?}: {error}");
    }
}

#[test]
fn replies_are_what_go_reads_at_once() {
    let mut blocks = ReplyBlocks::default();
    let mut inflate = Decompress::new(true);
    for number in 0..3 {
        let block = blocks.next();
        let mut block = block.as_slice();
        let mut plain = Vec::with_capacity(16);
        if number == 0 {
            assert_eq!(block[..6], [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2]);
            let asked = inflate.decompress_vec(block, &mut plain, FlushDecompress::Sync);
            assert_eq!(asked.unwrap_err().needs_dictionary(), Some(0xe3c6_a7c2));
            inflate.set_dictionary(dictionary::spdy_3()).unwrap();
            block = &block[6..];
        }
        assert_eq!(
            block,
            [0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
        );
        inflate
            .decompress_vec(block, &mut plain, FlushDecompress::Sync)
            .unwrap();
        assert_eq!(plain, [0; 4], "no headers");
    }
}
