//! Tests of challenges as registries send them, and as nobody should.

use super::{Bearer, Challenge, choose};

fn check(headers: &[&str], expect: impl Into<Option<Challenge>>) {
    let expect = expect.into();
    assert_eq!(choose(headers.iter().copied()), expect, "{headers:?}");
}

fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
    Some(Challenge::Bearer(Bearer {
        realm: realm.to_owned(),
        service: service.map(str::to_owned),
        scope: scope.map(str::to_owned),
    }))
}

#[test]
fn challenge_as_registries_send_it() {
    check(
        &[
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
        ],
        bearer(
            "https://auth.example/token",
            Some("registry.example"),
            Some("repository:a/b:pull,push"),
        ),
    );
    check(
        &[r#"bearer Service = "x y" , Realm="https://a""#],
        bearer("https://a", Some("x y"), None),
    );
    check(&["Bearer realm=token"], bearer("token", None, None));
    check(
        &[r#"Bearer realm="a\"b\\c,d",service=s"#],
        bearer(r#"a"b\c,d"#, Some("s"), None),
    );
    check(&[r#"Basic realm="Registry""#], Some(Challenge::Basic));
    check(&["basic"], Some(Challenge::Basic));
}

#[test]
fn bearer_is_preferred_wherever_it_stands() {
    let one = r#"Basic realm="r, x", Bearer realm="https://a",service="s""#;
    check(&[one], bearer("https://a", Some("s"), None));
    check(
        &["Basic realm=r", "Bearer realm=https://a"],
        bearer("https://a", None, None),
    );
}

#[test]
fn other_challenges_are_none() {
    check(&[], None);
    check(&["", ",,,", "Negotiate", "Digest realm=a, nonce=b"], None);
    check(&["Bearer service=s"], None);
    check(&["realm=https://a"], None);
    check(&[&format!("Basic realm={}", "x".repeat(9000))], None);
    check(
        &["Bearer realm=\"unclosed, service=s"],
        bearer("\"unclosed, service=s", None, None),
    );
}
