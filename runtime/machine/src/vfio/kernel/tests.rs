//! What is read out of the kernel's answers.

use super::sparse_areas;

fn capability(id: u16, next: u32, body: &[u64]) -> Vec<u8> {
    let mut bytes = id.to_ne_bytes().to_vec();
    bytes.extend(1_u16.to_ne_bytes());
    bytes.extend(next.to_ne_bytes());
    bytes.extend(body.iter().flat_map(|word| word.to_ne_bytes()));
    bytes
}

#[test]
fn sparse_areas_are_found_behind_another_capability() {
    let mut answer = vec![0; 32];
    answer.extend(capability(3, 40, &[]));
    answer.extend(capability(1, 0, &[2, 0, 0x1000, 0x4000, 0x2000]));
    assert_eq!(
        sparse_areas(&answer, 32),
        Some(vec![0..0x1000, 0x4000..0x6000])
    );
}

#[test]
fn chain_that_goes_round_or_past_the_end_has_no_areas() {
    let mut answer = vec![0; 32];
    answer.extend(capability(3, 32, &[]));
    assert_eq!(sparse_areas(&answer, 32), None);
    answer.truncate(32);
    answer.extend(capability(3, 4000, &[]));
    assert_eq!(sparse_areas(&answer, 32), None);
    assert_eq!(sparse_areas(&answer, u32::MAX), None);
}
