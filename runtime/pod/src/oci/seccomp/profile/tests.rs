//! Profiles as nodes have them.

use oci_spec::runtime::Capability;
use serde_json::{Value, json};

use super::*;

fn translated(profile: &Value, held: &[Capability]) -> Result<Value, ProfileError> {
    let held = held.iter().copied().collect();
    let seccomp = read(&profile.to_string(), &held)?;
    Ok(serde_json::to_value(seccomp).unwrap())
}

/// In the form of docker's default.json, a small one.
fn docker() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}
        ],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": {"minKernel": "4.8"}},
            {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "7.0"}},
            {"names": ["arm_call"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm", "arm64"]}},
            {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
             "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "s390x"]}},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}}
        ]
    })
}

#[test]
fn dockers_form_is_decided_for_the_container() {
    let plain = translated(&docker(), &[]).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&plain).unwrap());
    let names = |held: &[Capability]| {
        let profile = translated(&docker(), held).unwrap();
        let rules = profile["syscalls"].as_array().unwrap().clone();
        let names: Vec<_> = rules.iter().map(|rule| rule["names"][0].clone()).collect();
        Value::from(names)
    };
    assert_eq!(
        names(&[Capability::SysAdmin]),
        json!(["read", "ptrace", "arch_prctl", "mount"])
    );
}

#[test]
fn form_of_the_specification_stays_as_it_is() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97,
             "args": [{"index": 0, "value": 38, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]}
        ]
    });
    assert_eq!(translated(&profile, &[]).unwrap(), profile);
    let least = json!({"defaultAction": "SCMP_ACT_LOG"});
    let expect = json!({"defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": []});
    assert_eq!(translated(&least, &[]).unwrap(), expect);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let check = |place: &str, value: Value, expect: &str| {
        let mut profile = docker();
        *profile.pointer_mut(place).unwrap() = value;
        let error = translated(&profile, &[]).unwrap_err();
        let cause = std::error::Error::source(&error).map_or(String::new(), ToString::to_string);
        assert!(
            format!("{error}: {cause}").contains(expect),
            "{error}: {cause}"
        );
    };
    check(
        "/defaultAction",
        json!("ALLOW"),
        "defaultAction is \"ALLOW\", which is not one of the actions",
    );
    check(
        "/syscalls/1/action",
        json!("x"),
        "syscalls[1].action is \"x\"",
    );
    check(
        "/syscalls/1/action",
        json!("SCMP_ACT_NOTIFY"),
        "syscalls[1].action: no program listens",
    );
    check(
        "/syscalls/1/names",
        json!([]),
        "syscalls[1].names: it names no system call",
    );
    check(
        "/syscalls/6/args/0/op",
        json!("<"),
        "syscalls[6].args[0].op is \"<\"",
    );
    check(
        "/syscalls/6/args/0/index",
        json!(6),
        "syscalls[6].args[0].index is \"6\"",
    );
    check(
        "/syscalls/5/includes/caps",
        json!(["FLY"]),
        "syscalls[5].includes.caps[0] is \"FLY\"",
    );
    check(
        "/syscalls/1/includes/minKernel",
        json!("four"),
        "syscalls[1].includes.minKernel is \"four\"",
    );
    check(
        "/archMap/0/subArchitectures",
        json!(["Z80"]),
        "archMap[0] is \"Z80\"",
    );
    check("/syscalls", json!("none"), "invalid type: string \"none\"");
    check("/syscalls/0", json!({}), "missing field `action`");
}

#[test]
fn text_that_is_no_profile_is_refused() {
    let check = |text: &str, expect: &str| {
        let error = read(text, &Capabilities::new()).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    check("", "not the JSON of a profile");
    check("[]", "not the JSON of a profile");
    check(&" ".repeat(MAX_BYTES + 1), "the limit is 524288");
    check(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"}"#,
        "listenerPath: no program listens",
    );
}
