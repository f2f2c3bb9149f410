//! New ids: 32 lower-case hexadecimal digits, all of them random. Main function: [`fresh`].

use rustix::rand::{GetRandomFlags, getrandom};
use tonic::Status;

/// Length of an id, in bytes of text.
pub(crate) const LENGTH: usize = 32;

/// An id that no pod and no container has.
pub(crate) fn fresh<T: std::str::FromStr<Err = model::BadId>>() -> Result<T, Status> {
    let mut random = [0_u8; LENGTH / 2];
    getrandom(&mut random, GetRandomFlags::empty())
        .map_err(|errno| Status::internal(format!("get random bytes for an id: {errno}")))?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    text.parse()
        .map_err(|error: model::BadId| Status::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use model::PodId;

    use super::*;

    #[test]
    fn fresh_ids_are_hexadecimal_and_differ() {
        let (one, two): (PodId, PodId) = (fresh().unwrap(), fresh().unwrap());
        assert_eq!(one.as_str().len(), LENGTH);
        assert!(
            one.as_str()
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        );
        assert_ne!(one, two);
    }
}
