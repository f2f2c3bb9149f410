//! Ratios as people read them.

use super::ratio;

#[test]
fn ratio_has_two_decimals_or_a_dash() {
    let check = |ours, theirs, expect: &str| assert_eq!(ratio(ours, theirs), expect);
    check(Some(1), Some(3), "0.33");
    check(Some(5), Some(4), "1.25");
    check(None, Some(4), "-");
    check(Some(4), Some(0), "-");
}
