//! Results of all versions, and answers that are none.

use serde_json::json;

use super::*;

fn ips_of(result: &Value, version: CniVersion) -> Vec<String> {
    let parsed = parse(result.to_string().as_bytes(), version).unwrap();
    let ips = ips(&parsed, "eth0").unwrap();
    ips.iter().map(ToString::to_string).collect()
}

#[test]
fn addresses_of_the_pods_interface_keep_their_order() {
    let result = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "cni0"}, {"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/p"},
            {"name": "eth1", "sandbox": "/run/netns/p"}],
        "ips": [
            {"address": "fd00::5/64", "interface": 2},
            {"address": "10.0.0.5/24", "interface": 2, "gateway": "10.0.0.1"},
            {"address": "10.0.0.1/24", "interface": 0},
            {"address": "10.9.0.5/24", "interface": 3},
            {"address": "10.8.0.5/24", "interface": -1},
            {"address": "10.7.0.5/24"}],
    });
    let expect = ["fd00::5", "10.0.0.5", "10.8.0.5", "10.7.0.5"];
    assert_eq!(ips_of(&result, CniVersion::V1_0_0), expect);
}

#[test]
fn result_without_interfaces_or_addresses_is_fine() {
    assert!(ips_of(&json!({}), CniVersion::V1_1_0).is_empty());
    assert!(
        ips_of(
            &json!({"ips": null, "interfaces": null}),
            CniVersion::V1_1_0
        )
        .is_empty()
    );
}

#[test]
fn result_takes_the_form_of_the_version_that_was_agreed_on() {
    let check = |said: Value, version, expect: Value| {
        let parsed = parse(said.to_string().as_bytes(), version).unwrap();
        assert_eq!(parsed, expect);
    };
    check(
        json!({"ips": [{"address": "10.0.0.5/24"}, {"address": "fd00::5/64"}]}),
        CniVersion::V0_4_0,
        json!({"cniVersion": "0.4.0", "ips": [
            {"address": "10.0.0.5/24", "version": "4"}, {"address": "fd00::5/64", "version": "6"}]}),
    );
    check(
        json!({"cniVersion": "0.4.0", "ips": [{"address": "10.0.0.5/24", "version": "4"}], "x": 1}),
        CniVersion::V1_1_0,
        json!({"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.5/24"}], "x": 1}),
    );
}

#[test]
fn answer_that_is_no_result_is_refused() {
    let check = |bytes: &[u8], reason: &str| {
        let error = parse(bytes, CniVersion::V1_0_0).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    };
    check(b"", "as JSON");
    check(b"ok", "as JSON");
    check(b"[]", "as JSON");
    check(br#"{"cniVersion": "7.0.0"}"#, "read the answer");
    check(br#"{"ips": 3}"#, "as a CNI result");
    check(br#"{"interfaces": [{}]}"#, "as a CNI result");
    for address in ["10.0.0.5", "10.0.0.5/33", "fd00::/129", "\u{1b}[2J/24"] {
        let answer = json!({"ips": [{"address": address}]}).to_string();
        check(answer.as_bytes(), "is no IP address");
    }
    let many = json!({"ips": vec![json!({"address": "10.0.0.5/24"}); 65]}).to_string();
    check(many.as_bytes(), "more than 64");
    check("[".repeat(100_000).as_bytes(), "as JSON");
}
