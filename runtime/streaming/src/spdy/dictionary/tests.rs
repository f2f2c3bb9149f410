//! The dictionary is the published one.

use sha2::{Digest, Sha256};

#[test]
fn dictionary_is_the_published_one() {
    let bytes = super::spdy_3();
    let hash = Sha256::digest(bytes);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(bytes.len(), 1423);
    assert_eq!(
        hash,
        "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02"
    );
}
