//! Names of sysctls, and what a host's agent refuses.

use super::*;
use crate::arguments::Address;
use crate::fault::FaultKind;

#[test]
fn sysctl_name_becomes_a_path_below_proc_sys() {
    let check = |name: &str, expect: Option<&str>| {
        assert_eq!(sysctl_path(name).ok().as_deref(), expect, "{name:?}");
    };
    check("net.ipv4.ip_forward", Some("net/ipv4/ip_forward"));
    check(
        "net.ipv4.conf.eth0/1.forwarding",
        Some("net/ipv4/conf/eth0.1/forwarding"),
    );
    for bad in ["", "..", "../x", "a..b", "a b", ".a", "a/"] {
        check(bad, None);
    }
}

fn setting(own: Own) -> Setting {
    Setting {
        guest: false,
        rpc: Address::Vsock { port: 1 },
        stdio: Address::Vsock { port: 2 },
        state: "/s".into(),
        cgroup: "/c".into(),
        own,
        waits: false,
    }
}

#[test]
fn host_is_not_changed() {
    let check = |change: fn(&mut StartPodRequest), words: &str| {
        let mut request = StartPodRequest {
            pod_id: "p".into(),
            ..Default::default()
        };
        assert_eq!(apply(&request, &setting(Own::default())), Ok(()));
        change(&mut request);
        let fault = apply(&request, &setting(Own::default())).unwrap_err();
        assert_eq!(fault.kind, FaultKind::FailedPrecondition);
        assert!(fault.message.contains(words), "{}", fault.message);
    };
    check(|request| request.hostname = "other".into(), "hostname");
    check(|request| request.processors = 1, "processors");
    check(|request| request.wall_clock_ns = 1, "wall_clock_ns");
    let forward = |request: &mut StartPodRequest| {
        let name = "net.ipv4.ip_forward".to_owned();
        request.sysctls.insert(name, "1".into());
    };
    check(forward, "net.ipv4.ip_forward, which is the host's");
}

#[test]
fn sysctl_on_a_host_has_to_be_in_a_namespace_of_the_pods() {
    let ipc = Own {
        ipc: true,
        ..Own::default()
    };
    let network = Own {
        network: Some("/run/netns/a".into()),
        ..Own::default()
    };
    let check = |name: &str, of_ipc: bool, of_network: bool| {
        let found = (is_own(name, &ipc), is_own(name, &network));
        assert_eq!(found, (of_ipc, of_network), "{name}");
        assert!(!is_own(name, &Own::default()), "{name}");
    };
    check("kernel.shm_rmid_forced", true, false);
    check("kernel/msgmax", true, false);
    check("fs.mqueue.msg_max", true, false);
    check("net.ipv4.conf.eth0/1.forwarding", false, true);
    check("net/core/somaxconn", false, true);
    for hosts in [
        "vm.swappiness",
        "kernel.hostname",
        "kernel.shmmaxx",
        "network.x",
        "fs.file-max",
        "fs.mqueue",
        "",
        "/",
    ] {
        check(hosts, false, false);
    }
}
