//! The dictionary of SPDY/3's compression, from its published words. Main function: [`bytes`].

/// Words with a length before them, then plain text behind the bar.
const LISTED: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
    accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
    content-length content-location content-md5 content-range content-type date etag expect expires from host if-match \
    if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie \
    keep-alive origin";
const CODES: &str = "100 101 201 202 205 206 300 302 303 304 305 306 307 402 405 406 407 408 409 410 411 412 413 414 415 \
    416 417 502 504 505";
const REASONS: &str = "203 Non-Authoritative Information|204 No Content|301 Moved Permanently|400 Bad Request|\
    401 Unauthorized|403 Forbidden|404 Not Found|500 Internal Server Error|501 Not Implemented|503 Service Unavailable";
const REST: &str = "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT|\
    chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,|\
    public|private|max-age=|gzip,deflate,sdch|charset=utf-8|charset=iso-8859-1,utf-,*,enq=0.";

pub(super) fn bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in LISTED.split_whitespace() {
        let word = word.replace('_', " ");
        bytes.extend([0, 0, 0]);
        bytes.extend(u8::try_from(word.len()).ok());
        bytes.extend(word.as_bytes());
    }
    bytes.extend(CODES.replace(' ', "").as_bytes());
    bytes.extend(REASONS.replace('|', "").as_bytes());
    bytes.extend(REST.replace('|', "").as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    #[test]
    fn dictionary_is_the_published_one() {
        let bytes = super::bytes();
        let hash = Sha256::digest(&bytes);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes.len(), 1423);
        assert_eq!(
            hash,
            "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02"
        );
    }
}
