//! Limits as kubelet writes them, and those that can't be.

use super::*;

const MIB: u64 = 1 << 20;

fn limit(page_size: &str, limit: u64) -> HugepageLimit {
    HugepageLimit {
        page_size: page_size.to_owned(),
        limit,
    }
}

fn pool(page_bytes: u64, bytes: u64) -> HugePages {
    HugePages { page_bytes, bytes }
}

#[test]
fn limits_are_whole_pages_and_zero_is_none() {
    let check = |limits: &[HugepageLimit], expect: &[HugePages]| {
        assert_eq!(huge_pages(limits).unwrap(), expect);
    };
    check(&[], &[]);
    check(&[limit("2MB", 0), limit("64KB", 0)], &[]);
    check(&[limit("2MB", 8 * MIB)], &[pool(2 * MIB, 8 * MIB)]);
    check(&[limit("2MB", 8 * MIB + 1)], &[pool(2 * MIB, 10 * MIB)]);
    let both = [limit("2MB", 1), limit("1GB", 2 << 30)];
    check(&both, &[pool(2 * MIB, 2 * MIB), pool(1 << 30, 2 << 30)]);
}

#[test]
fn pages_that_no_vm_can_have_are_refused_by_their_size() {
    let check = |limits: &[HugepageLimit], words: &str| {
        let refusal = huge_pages(limits).unwrap_err();
        assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
        assert!(refusal.to_string().contains(words), "{refusal}");
    };
    check(&[limit("3MB", 1)], "\"3MB\": there are 2MB and 1GB");
    check(&[limit("", 1)], "\"\"");
    check(&[limit("2MB", 1), limit("2MB", 2)], "two limits");
    check(&[limit("2MB", u64::MAX)], "can't have more than");
    check(
        &[limit("2MB", MOST_BYTES), limit("1GB", 1)],
        "can't have more than",
    );
}

#[test]
fn container_has_no_more_than_its_vm_has() {
    let check = |limits: &[HugepageLimit], expect: Result<(), &str>| {
        let resources = LinuxContainerResources {
            hugepage_limits: limits.to_vec(),
            ..LinuxContainerResources::default()
        };
        let checked = check_container(Some(&resources), &[pool(2 * MIB, 8 * MIB)]);
        match (checked, expect) {
            (Ok(()), Ok(())) => {}
            (Err(refusal), Err(words)) => {
                assert!(refusal.to_string().contains(words), "{refusal}");
            }
            other => panic!("{other:?}"),
        }
    };
    check(&[], Ok(()));
    check(&[limit("2MB", 8 * MIB), limit("1GB", 0)], Ok(()));
    check(
        &[limit("2MB", 8 * MIB + 1)],
        Err("its pod's VM has 8388608"),
    );
    check(
        &[limit("1GB", 1 << 30)],
        Err("of 1GB, and its pod's VM has 0"),
    );
    check(&[limit("16GB", 1)], Err("no guest has"));
    check_container(None, &[]).unwrap();
}
