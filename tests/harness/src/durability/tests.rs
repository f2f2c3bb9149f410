//! That a file which lost something is found out.

use std::fs;

use super::*;

const BATCHES: u64 = 40;

/// Changes what some batches wrote, and looks at it. The change is told how many blocks were synced.
fn check(change: impl FnOnce(&File, u64), expect: Result<(), &str>) {
    let folder = tempfile::tempdir().unwrap();
    let (target, progress_file) = (folder.path().join("target"), folder.path().join("progress"));
    write(&target, &progress_file, BATCHES).unwrap();
    let synced = progress(&progress_file).unwrap();
    assert_eq!(synced, BATCHES * BATCH);
    let file = OpenOptions::new().write(true).open(&target).unwrap();
    change(&file, synced);
    let said = verify(&target, synced).map_err(|error| error.to_string());
    match expect {
        Ok(()) => assert_eq!(said, Ok(synced)),
        Err(words) => assert!(
            said.as_ref().is_err_and(|said| said.contains(words)),
            "{said:?}"
        ),
    }
}

fn put(file: &File, number: u64, place: u64) {
    let at = place * BLOCK as u64;
    file.write_all_at(&block(number, place), at).unwrap();
}

#[test]
fn everything_is_there() {
    check(|_file, _synced| {}, Ok(()));
}

#[test]
fn what_was_under_way_may_be_there_or_torn() {
    check(
        |file, synced| put(file, synced + 3, place_of(synced + 3)),
        Ok(()),
    );
    let torn = |file: &File, synced: u64| {
        let place = place_of(synced + 1);
        file.write_all_at(&[0xff; 100], place * BLOCK as u64)
            .unwrap();
    };
    check(torn, Ok(()));
}

#[test]
fn older_block_is_found() {
    let older = |file: &File, synced: u64| {
        let earlier = |number: &u64| (1..*number).find(|one| place_of(*one) == place_of(*number));
        let again = (1..=synced).rev().find(|number| earlier(number).is_some());
        let again = again.expect("some block is written twice");
        put(file, earlier(&again).unwrap(), place_of(again));
    };
    check(older, Err("was synced"));
}

#[test]
fn lost_block_and_torn_block_are_found() {
    let lost = |file: &File, synced: u64| {
        let at = place_of(synced) * BLOCK as u64;
        file.write_all_at(&[0; BLOCK], at).unwrap();
    };
    check(lost, Err("was synced"));
    let torn = |file: &File, synced: u64| {
        let at = place_of(synced) * BLOCK as u64;
        file.write_all_at(&[0xff; 512], at + 512).unwrap();
    };
    check(torn, Err("of no one write"));
}

#[test]
fn shorter_file_and_block_from_later_are_found() {
    check(
        |file, _synced| file.set_len(BLOCK as u64).unwrap(),
        Err("was synced"),
    );
    let later = |file: &File, synced: u64| put(file, synced + 100, place_of(synced + 100));
    check(later, Err("which comes after"));
}

#[test]
fn no_progress_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("progress");
    assert_eq!(progress(&path).unwrap(), 0);
    fs::write(&path, [1, 2]).unwrap();
    assert_eq!(progress(&path).unwrap(), 0);
}
