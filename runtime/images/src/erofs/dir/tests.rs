//! Tests of directory data: what is written is read, and damage is refused.

use super::{Entry, decode, encode, size};

fn check(names: &[&[u8]]) {
    let mut entries: Vec<_> = names
        .iter()
        .map(|name| Entry {
            name,
            nid: 7,
            file_type: 1,
        })
        .collect();
    entries.sort_unstable_by_key(|entry| entry.name);
    let data = encode(&entries).unwrap();
    assert_eq!(data.len(), size(&entries));
    assert_eq!(decode(&data, 1).unwrap(), entries);
    let mut padded = data.clone();
    padded.resize(data.len().next_multiple_of(4096), 0);
    assert_eq!(
        decode(&padded, 1).unwrap(),
        entries,
        "names end at the padding"
    );
}

#[test]
fn directory_comes_back_whatever_its_size() {
    check(&[b".", b".."]);
    let long = [b'x'; 255];
    check(&[b".", b"..", &long, b"\xff\xfe", b"a"]);
    let names: Vec<_> = (0..5000)
        .map(|number| format!("file-{number}").into_bytes())
        .collect();
    let mut names: Vec<_> = names.iter().map(Vec::as_slice).collect();
    names.extend([&b"."[..], b".."]);
    check(&names);
}

#[test]
fn directory_that_is_damaged_is_refused() {
    let good = encode(&[Entry {
        name: b"abc",
        nid: 7,
        file_type: 1,
    }])
    .unwrap();
    for (place, byte) in [(8, 0), (8, 13), (9, 0xff)] {
        let mut bad = good.clone();
        bad[place] = byte;
        assert!(decode(&bad, 1).is_err(), "byte {place} = {byte}");
    }
    assert!(decode(&good[..11], 1).is_err());
    assert!(decode(&[0; 4096], 1).is_err());
}
