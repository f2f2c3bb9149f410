//! Every figure is of something that was done, and nothing is left.

use std::fs;

use super::*;

fn names(figures: &[Figure]) -> Vec<&str> {
    figures.iter().map(|figure| figure.name.as_str()).collect()
}

#[test]
fn folder_is_measured_and_left_empty() {
    let place = tempfile::tempdir().unwrap();
    for cache in [Cache::Cold, Cache::Warm] {
        let figures = folder(place.path(), cache).unwrap();
        assert_eq!(figures.len(), 8, "{figures:?}");
        for figure in &figures {
            assert!(
                figure.nanoseconds > 0 && figure.operations > 0,
                "{figure:?}"
            );
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
    fs::create_dir(place.path().join("small")).unwrap();
    let error = folder(place.path(), Cache::Warm).unwrap_err();
    assert!(format!("{error:#}").contains("small"), "{error:#}");
}

#[test]
fn tree_is_read_whole_or_not_measured() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("small")).unwrap();
    for (path, content) in make_tree() {
        fs::write(place.path().join(path), content).unwrap();
    }
    let large = fs::metadata(place.path().join("large")).unwrap().len();
    assert_eq!(large, LARGE_BYTES);
    let figures = tree(place.path(), Cache::Cold).unwrap();
    let wanted = [
        "look at all small files, the first time",
        "look at all small files again",
        "read 128 KiB after 128 KiB",
        "read 4 KiB anywhere",
    ];
    assert_eq!(names(&figures), wanted);
    fs::remove_file(place.path().join("small").join(name(7))).unwrap();
    let error = tree(place.path(), Cache::Cold).unwrap_err();
    assert!(format!("{error:#}").contains("255 files"), "{error:#}");
}

#[test]
fn figures_are_medians_and_come_back_from_their_text() {
    let figure = |nanoseconds| Figure {
        name: "read".to_owned(),
        operations: 2,
        nanoseconds,
    };
    let rounds = [9, 1, 5].map(|nanoseconds| vec![figure(nanoseconds)]);
    assert_eq!(medians(&rounds), [figure(5)]);
    let text = serde_json::to_string(&rounds[0]).unwrap();
    assert_eq!(parse(text.as_bytes()).unwrap(), rounds[0]);
    let error = parse(&b"error: no space"[..]).unwrap_err();
    assert!(format!("{error:#}").contains("no space"), "{error:#}");
}
