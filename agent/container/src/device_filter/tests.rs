//! The program, run by a tiny interpreter of the eight operations that it uses, and given to the kernel's verifier.

use super::*;

const DEFAULT: &str = r#"{"allow":false,"access":"rwm"}"#;

/// Rules as JSON; a device as "c 1:3 rw"; whether it may be used.
fn check(rules: &[&str], device: &str, expect: bool) {
    let rules: Vec<LinuxDeviceCgroup> = rules
        .iter()
        .map(|rule| serde_json::from_str(rule).unwrap())
        .collect();
    let words: Vec<&str> = device.split([' ', ':']).collect();
    let kind = if words[0] == "b" { BLOCK } else { CHARACTER };
    let access = words[3].chars().map(|c| match c {
        'r' => READ,
        'w' => WRITE,
        _ => MKNOD,
    });
    let first = (access.sum::<u32>() << 16) | kind;
    let context = [first, words[1].parse().unwrap(), words[2].parse().unwrap()];
    assert_eq!(
        run(&program(&rules).unwrap(), context) == 1,
        expect,
        "{rules:?} {device}"
    );
}

fn run(program: &[u64], context: [u32; 3]) -> u32 {
    let mut registers = [0u32; 11];
    let mut at = 0;
    loop {
        let [opcode, pair, o0, o1, i0, i1, i2, i3] = program[at].to_ne_bytes();
        let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
        let offset = usize::from(u16::from_le_bytes([o0, o1]));
        let immediate = u32::from_le_bytes([i0, i1, i2, i3]);
        at += 1;
        match opcode {
            LOAD_WORD => registers[to] = context[offset / 4],
            MOVE => registers[to] = immediate,
            MOVE_REGISTER => registers[to] = registers[from],
            AND => registers[to] &= immediate,
            SHIFT_RIGHT => registers[to] >>= immediate,
            JUMP_IF_EQUAL if registers[to] == immediate => at += offset,
            JUMP_UNLESS_EQUAL if registers[to] != immediate => at += offset,
            JUMP_IF_EQUAL | JUMP_UNLESS_EQUAL => {}
            EXIT => return registers[0],
            _ => panic!("operation {opcode:#x}"),
        }
    }
}

#[test]
fn device_nobody_named_is_denied() {
    check(&[DEFAULT], "b 254:0 r", false);
    check(&[DEFAULT], "c 1:1 r", false);
    check(&[DEFAULT], "c 5:1 rw", false);
}

#[test]
fn node_may_be_made_but_not_opened() {
    check(&[DEFAULT], "b 254:0 m", true);
    check(&[DEFAULT], "b 254:0 mr", false);
}

#[test]
fn basic_devices_are_allowed_after_a_general_denial() {
    for device in ["c 1:3 rw", "c 1:9 r", "c 5:2 rw", "c 136:17 rw"] {
        check(&[DEFAULT], device, true);
    }
}

#[test]
fn last_rule_that_matches_decides() {
    let allow = r#"{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}"#;
    let deny = r#"{"allow":false,"type":"c","major":10,"access":"w"}"#;
    check(&[DEFAULT, allow], "c 10:229 rw", true);
    check(&[DEFAULT, allow], "b 10:229 rw", false);
    check(&[DEFAULT, allow, deny], "c 10:229 rw", false);
    check(&[DEFAULT, allow, deny], "c 10:229 r", true);
    check(&[r#"{"allow":true}"#], "b 254:0 rw", true);
}

#[test]
fn kernel_takes_the_program() {
    let rules: [LinuxDeviceCgroup; 1] = [serde_json::from_str(DEFAULT).unwrap()];
    let most = vec![rules[0].clone(); MAX_RULES];
    for rules in [&rules[..], &most] {
        match sys::load_device_program(&program(rules).unwrap()) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                println!("SKIPPED: needs CAP_BPF to give the program to the kernel");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn rule_out_of_range_is_refused() {
    let check = |rule: &str, expect: &str| {
        let error = program(&[serde_json::from_str(rule).unwrap()]).unwrap_err();
        assert_eq!(error.to_string(), expect);
    };
    check(
        r#"{"access":"x"}"#,
        "device rule 0 has the access \"x\"; r, w and m are known",
    );
    check(
        r#"{"major":-2}"#,
        "device rule 0 has the number -2, which no device can have",
    );
}
