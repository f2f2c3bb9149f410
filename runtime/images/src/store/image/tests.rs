//! Tests of an image's user, in every form that a configuration may have.

use super::{ImageUser, parse_user};

#[test]
fn user_is_a_number_or_a_name_without_its_group() {
    let check = |text: &str, expect: ImageUser| assert_eq!(parse_user(text), expect, "{text}");
    let name = |name: &str| ImageUser::Name(name.to_owned());
    check("", ImageUser::Uid(0));
    check(":5", ImageUser::Uid(0));
    check("0", ImageUser::Uid(0));
    check("1002", ImageUser::Uid(1002));
    check("1003:1004", ImageUser::Uid(1003));
    check("4294967295", ImageUser::Uid(u32::MAX));
    check("www-data", name("www-data"));
    check("www-data:1004", name("www-data"));
    check("+5", name("+5"));
    check("4294967296", name("4294967296"));
}
