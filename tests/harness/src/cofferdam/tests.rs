//! A script in the place of the program.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn dist(script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.toml"), "kernel = \"/k\"\n").unwrap();
    let program = folder.path().join("cofferdam");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn run_gives_input_and_takes_output_and_status() {
    let dist = dist("shift 2; echo \"$@\" >&2; cat; exit 3");
    let cofferdam = Cofferdam::from_dist(dist.path()).unwrap();
    let input = vec![b'x'; 1 << 20];
    let output = cofferdam
        .run(["run", "--", "a b"])
        .stdin(input.clone())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout, input);
    assert_eq!(output.stderr, "run -- a b\n");
}

#[test]
fn configuration_is_the_one_of_dist_with_a_state_of_its_own() {
    let dist = dist("cat \"$2\"");
    let first = Cofferdam::from_dist(dist.path()).unwrap();
    let second = Cofferdam::from_dist(dist.path()).unwrap();
    assert_ne!(first.state(), second.state());
    let said = String::from_utf8(first.run(["config"]).output().unwrap().stdout).unwrap();
    assert!(said.starts_with("kernel = \"/k\"\n"), "{said}");
    let state = format!("state_dir = \"{}/state\"", first.state().display());
    assert!(said.contains(&state), "{said}");
}

#[test]
fn program_that_reads_nothing_ends() {
    let dist = dist("exit 0");
    let cofferdam = Cofferdam::from_dist(dist.path()).unwrap();
    let output = cofferdam
        .run(["x"])
        .stdin(vec![0; 1 << 20])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
}
