//! Names of sysctls, and what a host's agent refuses.

use super::*;

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

#[test]
fn host_is_not_changed() {
    let mut request = StartPodRequest {
        pod_id: "p".into(),
        ..Default::default()
    };
    assert_eq!(apply(&request, false), Ok(()));
    request.hostname = "other".into();
    assert_eq!(
        apply(&request, false).unwrap_err().kind,
        FaultKind::FailedPrecondition
    );
}
