//! Leaves out of leaves that KVM might support.

use kvm_bindings::kvm_cpuid_entry2;

use super::ProcessorModel;

const INTEL: [u32; 3] = [0x756e_6547, 0x6c65_746e, 0x4965_6e69];
const AMD: [u32; 3] = [0x6874_7541, 0x444d_4163, 0x6974_6e65];

fn leaf(function: u32, index: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> kvm_cpuid_entry2 {
    kvm_cpuid_entry2 {
        function,
        index,
        eax,
        ebx,
        ecx,
        edx,
        ..Default::default()
    }
}

fn supported([ebx, ecx, edx]: [u32; 3]) -> Vec<kvm_cpuid_entry2> {
    const OTHERS: [u32; 4] = [0x1111_1111; 4];
    vec![
        leaf(0, 0, [0x1f, ebx, ecx, edx]),
        leaf(1, 0, [0x806ea, 0x0711_2233, 1 << 21, 1 << 28]),
        leaf(4, 0, [0xffff_c021, 0, 0, 0]),
        leaf(4, 3, [0xffff_c063, 0, 0, 0]),
        leaf(0xa, 0, OTHERS),
        leaf(0xb, 0, OTHERS),
        leaf(0xb, 1, OTHERS),
        leaf(0x1f, 0, OTHERS),
        leaf(0x4000_0001, 0, OTHERS),
        leaf(0x8000_0001, 0, [0, 0, 1 << 22 | 1 << 23 | 1, 0]),
        leaf(0x8000_0008, 0, [0x3028, 0, 0x7007, 0]),
        leaf(0x8000_001e, 0, OTHERS),
    ]
}

/// What the processor `id` of `count` says in a leaf.
fn check(
    vendor: [u32; 3],
    (id, count): (u32, u32),
    (function, index): (u32, u32),
    expect: [u32; 4],
) {
    let model = ProcessorModel::from_supported(&supported(vendor), count, true);
    let leaves = model.leaves(id).unwrap();
    let found: Vec<_> = leaves
        .as_slice()
        .iter()
        .filter(|entry| (entry.function, entry.index) == (function, index))
        .map(|entry| [entry.eax, entry.ebx, entry.ecx, entry.edx])
        .collect();
    assert_eq!(
        found,
        [expect],
        "leaf {function:#x}.{index} of {id}/{count}"
    );
}

#[test]
fn features_name_id_and_count() {
    let common = 1 << 31 | 1 << 24 | 1 << 21;
    check(
        INTEL,
        (3, 4),
        (1, 0),
        [0x806ea, 0x0304_2233, common, 1 << 28],
    );
    check(AMD, (0, 1), (1, 0), [0x806ea, 0x0001_2233, common, 0]);
}

#[test]
fn topology_is_one_socket_of_cores_with_one_thread() {
    check(INTEL, (5, 6), (0xb, 0), [0, 1, 0x100, 5]);
    check(INTEL, (5, 6), (0xb, 1), [3, 6, 0x201, 5]);
    check(INTEL, (5, 6), (0xb, 2), [0, 0, 2, 5]);
    check(INTEL, (0, 1), (0xb, 1), [0, 1, 0x201, 0]);
    check(AMD, (5, 6), (0x8000_0008, 0), [0x3028, 0, 0x3005, 0]);
    check(INTEL, (5, 6), (0x8000_0008, 0), [0x3028, 0, 0x7007, 0]);
    check(AMD, (5, 6), (0x8000_001e, 0), [5, 5, 0, 0x1111_1111]);
}

#[test]
fn caches_are_shared_by_all_at_the_third_level_only() {
    check(INTEL, (0, 4), (4, 0), [3 << 26 | 0x21, 0, 0, 0]);
    check(INTEL, (0, 4), (4, 3), [3 << 26 | 3 << 14 | 0x63, 0, 0, 0]);
}

#[test]
fn counters_are_hidden_and_the_rest_stays() {
    check(INTEL, (0, 2), (0xa, 0), [0; 4]);
    check(AMD, (0, 2), (0x8000_0001, 0), [0, 0, 1 << 22 | 3, 0]);
    check(INTEL, (0, 2), (0x8000_0001, 0), [0, 0, 1 << 22 | 1, 0]);
    check(INTEL, (0, 2), (0x4000_0001, 0), [0x1111_1111; 4]);
}

#[test]
fn leaves_of_the_newer_topology_are_left_out() {
    let model = ProcessorModel::from_supported(&supported(INTEL), 2, false);
    let leaves = model.leaves(0).unwrap();
    let functions: Vec<_> = leaves
        .as_slice()
        .iter()
        .map(|entry| entry.function)
        .collect();
    assert!(!functions.contains(&0x1f));
    assert_eq!(
        functions
            .iter()
            .filter(|function| **function == 0xb)
            .count(),
        3
    );
}
