//! Which devices a container may open: cgroup version 2 has no devices controller, but a BPF program on the cgroup that is asked
//! at every mknod and open (Documentation/admin-guide/cgroup-v2.rst, "Device controller"). [`program`] writes it from the rules
//! of the specification, [`attach`] puts it on a cgroup. Without it a container that may mknod could read every disk of the pod.

use std::{fs::File, io, path::Path};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use thiserror::Error;

use crate::sys;

/// Why a cgroup has no device filter.
#[derive(Debug, Error)]
pub enum DeviceFilterError {
    #[error("device rule {rule} has the access {access:?}; r, w and m are known")]
    UnknownAccess { rule: usize, access: String },
    #[error("device rule {rule} has the number {number}, which no device can have")]
    BadNumber { rule: usize, number: i64 },
    #[error("{count} device rules are over the limit of {MAX_RULES}")]
    TooMany { count: usize },
    #[error("load the device filter")]
    Load(#[source] io::Error),
    #[error("put the device filter on the cgroup")]
    Attach(#[source] io::Error),
}

/// A rule takes at most 9 instructions, and the kernel takes 4096 from those without CAP_BPF.
const MAX_RULES: usize = 256;

/// `struct bpf_cgroup_dev_ctx`: access in the upper and type in the lower half of the first word, then major and minor.
const BLOCK: u32 = 1;
const CHARACTER: u32 = 2;
const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ALL: u32 = MKNOD | READ | WRITE;

/// A rule with its wildcards as `None`.
#[derive(Debug, Clone, Copy)]
struct Rule {
    allow: bool,
    kind: Option<u32>,
    major: Option<u32>,
    minor: Option<u32>,
    access: u32,
}

/// What every container may do, as all OCI runtimes allow it: make any node (opening it is another matter), and use null, zero,
/// full, random, urandom, tty, console, ptmx and its terminals.
const ALWAYS: [Rule; 10] = [
    Rule {
        allow: true,
        kind: Some(CHARACTER),
        major: None,
        minor: None,
        access: MKNOD,
    },
    Rule {
        allow: true,
        kind: Some(BLOCK),
        major: None,
        minor: None,
        access: MKNOD,
    },
    character(1, Some(3)),
    character(1, Some(5)),
    character(1, Some(7)),
    character(1, Some(8)),
    character(1, Some(9)),
    character(5, Some(0)),
    character(5, Some(2)),
    character(136, None),
];

const fn character(major: u32, minor: Option<u32>) -> Rule {
    Rule {
        allow: true,
        kind: Some(CHARACTER),
        major: Some(major),
        minor,
        access: ALL,
    }
}

/// Puts the rules in force for every process in the cgroup, now and later.
pub(crate) fn attach(cgroup: &Path, rules: &[LinuxDeviceCgroup]) -> Result<(), DeviceFilterError> {
    let instructions = program(rules)?;
    let program = sys::load_device_program(&instructions).map_err(DeviceFilterError::Load)?;
    let folder = File::open(cgroup).map_err(DeviceFilterError::Attach)?;
    sys::attach_device_program(folder, program).map_err(DeviceFilterError::Attach)
}

/// The program: the last rule that matches decides, as in version 1; what no rule names is denied.
fn program(rules: &[LinuxDeviceCgroup]) -> Result<Vec<u64>, DeviceFilterError> {
    if rules.len() > MAX_RULES {
        return Err(DeviceFilterError::TooMany { count: rules.len() });
    }
    let rules = rules
        .iter()
        .enumerate()
        .map(|(index, rule)| parse(index, rule));
    let mut all: Vec<Rule> = rules.collect::<Result<_, _>>()?;
    all.extend(ALWAYS);
    // r2 = type, r3 = access, r4 = major, r5 = minor; r1, the context, is free after that.
    let mut instructions = vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(AND, 2, 0, 0, 0xffff),
        instruction(LOAD_WORD, 3, 1, 0, 0),
        instruction(SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in all.iter().rev() {
        instructions.extend(instructions_of(rule));
    }
    instructions.push(instruction(MOVE, 0, 0, 0, 0));
    instructions.push(instruction(EXIT, 0, 0, 0, 0));
    Ok(instructions)
}

fn parse(index: usize, rule: &LinuxDeviceCgroup) -> Result<Rule, DeviceFilterError> {
    let number =
        |number: Option<i64>| match number {
            // -1 is the wildcard of the specification.
            None | Some(-1) => Ok(None),
            Some(number) => u32::try_from(number).map(Some).map_err(|_out_of_range| {
                DeviceFilterError::BadNumber {
                    rule: index,
                    number,
                }
            }),
        };
    let mut access = 0;
    let letters = rule.access().as_deref().unwrap_or_default();
    for letter in letters.chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => {
                let access = letters.to_owned();
                return Err(DeviceFilterError::UnknownAccess {
                    rule: index,
                    access,
                });
            }
        };
    }
    Ok(Rule {
        allow: rule.allow(),
        kind: match rule.typ() {
            Some(LinuxDeviceType::B) => Some(BLOCK),
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(CHARACTER),
            _ => None,
        },
        major: number(rule.major())?,
        minor: number(rule.minor())?,
        access: if access == 0 { ALL } else { access },
    })
}

/// Tests that fall through to "return allow", each of which jumps behind it when the rule does not match.
fn instructions_of(rule: &Rule) -> Vec<u64> {
    // (opcode, register, immediate) with the jump's distance still open.
    let mut tests: Vec<(u8, u8, u32)> = Vec::new();
    if let Some(kind) = rule.kind {
        tests.push((JUMP_UNLESS_EQUAL, 2, kind));
    }
    if let Some(major) = rule.major {
        tests.push((JUMP_UNLESS_EQUAL, 4, major));
    }
    if let Some(minor) = rule.minor {
        tests.push((JUMP_UNLESS_EQUAL, 5, minor));
    }
    let mut body = Vec::new();
    // An allowing rule must cover all that is asked for; a denying one any of it.
    let (mask, jump) = if rule.allow {
        (!rule.access & ALL, JUMP_UNLESS_EQUAL)
    } else {
        (rule.access, JUMP_IF_EQUAL)
    };
    body.push(instruction(MOVE_REGISTER, 1, 3, 0, 0));
    body.push(instruction(AND, 1, 0, 0, mask));
    body.push(instruction(jump, 1, 0, 2, 0));
    body.push(instruction(MOVE, 0, 0, 0, u32::from(rule.allow)));
    body.push(instruction(EXIT, 0, 0, 0, 0));
    let mut result = Vec::new();
    let count = tests.len();
    for (index, (opcode, register, immediate)) in tests.into_iter().enumerate() {
        let behind = u16::try_from(count - index - 1 + body.len()).unwrap_or(0);
        result.push(instruction(opcode, register, 0, behind, immediate));
    }
    result.extend(body);
    result
}

/// Operations on 32-bit values (Documentation/bpf/standardization/instruction-set.rst).
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
const EXIT: u8 = 0x95;

/// One instruction: opcode, registers, offset, immediate, from the lowest byte up.
const fn instruction(opcode: u8, to: u8, from: u8, offset: u16, immediate: u32) -> u64 {
    let [i0, i1, i2, i3] = immediate.to_le_bytes();
    let [o0, o1] = offset.to_le_bytes();
    u64::from_ne_bytes([opcode, to | (from << 4), o0, o1, i0, i1, i2, i3])
}

#[cfg(test)]
mod tests;
