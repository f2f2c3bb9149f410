//! The files in `node/`, which an operator installs beside the program: what they name is what the program has.

use std::{fs, process::Command as Process};

use clap::Parser;

use super::*;
use crate::args::{Arguments, Command};

const UNIT: &str = include_str!("../../../node/cofferdam.service");
const KUBELET: &str = include_str!("../../../node/10-cofferdam-kubelet.conf");
const CRICTL: &str = include_str!("../../../node/crictl.yaml");
const CLASS: &str = include_str!("../../../node/runtimeclass.yaml");
const NETWORK: &str = include_str!("../../../node/10-cofferdam.conflist");

/// The one value of a key, in a unit's `Key=value` or YAML's `key: value`, whatever its depth.
#[track_caller]
fn value<'a>(text: &'a str, separator: char, key: &str) -> &'a str {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once(separator));
    let values: Vec<&str> = pairs
        .filter(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
        .collect();
    assert_eq!(values.len(), 1, "{key} is there once");
    values[0]
}

#[test]
fn clients_find_the_socket_of_the_defaults() {
    let socket = parse("").unwrap().cri_socket();
    let socket = format!("unix://{}", socket.display());
    let check = |text, key| assert_eq!(value(text, ':', key), socket, "{key}");
    check(KUBELET, "containerRuntimeEndpoint");
    check(CRICTL, "runtime-endpoint");
    check(CRICTL, "image-endpoint");
}

#[test]
fn unit_starts_the_daemon_and_spares_the_pods() {
    let mut line = value(UNIT, '=', "ExecStart").split(' ');
    assert_eq!(line.next(), Some("/usr/bin/cofferdam"));
    let arguments = Arguments::try_parse_from(std::iter::once("cofferdam").chain(line)).unwrap();
    assert!(matches!(arguments.command, Command::Serve(_)));
    let check = |key, expect| assert_eq!(value(UNIT, '=', key), expect, "{key}");
    check("Type", "notify");
    check("KillMode", "process");
    check("Delegate", "yes");
    check("Restart", "always");
    check("OOMPolicy", "continue");
    // With a mount namespace of its own the daemon's network namespaces are lost to others.
    let forbidden = [
        "Private",
        "Protect",
        "ReadWritePaths",
        "ReadOnlyPaths",
        "InaccessiblePaths",
        "RootDirectory",
        "MountFlags",
        "TemporaryFileSystem",
        "BindPaths",
        // systemd removes it with the unit: the pods' folders are in it.
        "RuntimeDirectory",
    ];
    for line in UNIT.lines() {
        let bad = forbidden.iter().find(|key| line.starts_with(**key));
        assert_eq!(bad, None, "{line}");
    }
}

#[test]
fn unit_is_one_that_systemd_reads_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cofferdam.service");
    // It also looks whether the program is there.
    let program = std::env::current_exe().unwrap();
    let unit = UNIT.replace("/usr/bin/cofferdam", &program.display().to_string());
    fs::write(&path, unit).unwrap();
    let verify = Process::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path)
        .output();
    let output = match verify {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: systemd-analyze can't be started: {error}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let about = said.lines().filter(|line| line.contains("cofferdam"));
    assert_eq!(about.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn class_has_a_handler_of_the_defaults_and_room_for_what_they_add() {
    let config = parse("").unwrap();
    let handler = value(CLASS, ':', "handler").to_owned();
    let handlers = config.cri.runtime_handlers.laid_over(&config.guest());
    assert!(handlers.contains_key(&handler));
    let memory = value(CLASS, ':', "memory");
    let mib: u32 = memory.strip_suffix("Mi").unwrap().parse().unwrap();
    let least = config.vm.overhead_mib + config.memory_layer_mib();
    assert!(mib > least, "{mib} MiB, and a guest alone takes {least}");
    let (key, number) = ("vm.overhead_mib", config.vm.overhead_mib);
    let line = CLASS.lines().find(|line| line.contains(key)).unwrap();
    assert!(line.contains(&format!(" {number} MiB ")), "{line}");
}

#[test]
fn network_is_made_of_plugins_that_every_distribution_has() {
    let list: serde_json::Value = serde_json::from_str(NETWORK).unwrap();
    let plugins = list["plugins"].as_array().unwrap();
    let programs: Vec<_> = plugins.iter().map(|plugin| &plugin["type"]).collect();
    assert_eq!(programs, ["bridge", "portmap"]);
    assert_eq!(plugins[0]["ipam"]["type"], "host-local");
    // kubelet's host ports reach the plugin only through its capability.
    assert_eq!(plugins[1]["capabilities"]["portMappings"], true);
}
