//! Lists as people write them.

use super::*;

const MIB: u64 = 1 << 20;

fn said(key: &str, text: &str) -> Annotations {
    [(key.to_owned(), text.to_owned())].into()
}

#[test]
fn names_and_sizes_are_read() {
    let check = |text: &str, volume: &str, expect: Option<Option<u64>>| {
        let annotations = said(EMPTY_DIR_DISKS, text);
        check_storage(&annotations).unwrap();
        let disk = empty_dir_disk(&annotations, volume).unwrap();
        assert_eq!(disk.map(|disk| disk.limit_bytes), expect, "{text:?}");
    };
    check("", "cache", None);
    check("db", "cache", None);
    check("db, cache", "cache", Some(None));
    check("*", "cache", Some(None));
    check("cache=512Mi,*=1Gi,", "cache", Some(Some(512 * MIB)));
    check("cache=512Mi,*=1Gi", "db", Some(Some(1024 * MIB)));
    check("cache=2000000", "cache", Some(Some(2_000_000)));
    check("cache=2M", "cache", Some(Some(2_000_000)));
    assert_eq!(empty_dir_disk(&Annotations::new(), "cache"), Ok(None));
}

#[test]
fn writable_layers_need_a_size() {
    let annotations = said(WRITABLE_LAYERS, "main=2Gi,*=64Mi");
    check_storage(&annotations).unwrap();
    let bytes = |container: &str| writable_bytes(&annotations, container).unwrap();
    assert_eq!(
        (bytes("main"), bytes("other")),
        (Some(2 << 30), Some(64 * MIB))
    );
    assert_eq!(writable_bytes(&Annotations::new(), "main"), Ok(None));
    let refusal = check_storage(&said(WRITABLE_LAYERS, "main")).unwrap_err();
    assert!(refusal.to_string().contains("say main=1Gi"), "{refusal}");
}

#[test]
fn what_is_no_list_is_refused_with_the_annotation() {
    let check = |text: &str, words: &str| {
        for key in [EMPTY_DIR_DISKS, WRITABLE_LAYERS] {
            let refusal = check_storage(&said(key, text)).unwrap_err().to_string();
            assert!(refusal.contains(words), "{refusal}");
            assert!(refusal.contains(key), "{refusal}");
        }
    };
    check("a=1Gi,a=2Gi", "is there twice");
    check("=1Gi", "names nothing");
    for size in [
        "",
        "many",
        "1Pi",
        "-1Gi",
        "1.5Gi",
        "1",
        "0Gi",
        "99999999999Ti",
    ] {
        check(&format!("a={size}"), "is no size");
    }
}
