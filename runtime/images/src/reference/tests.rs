//! Tests of image names against the forms that containerd and crictl accept.

use super::Reference;

fn check(name: &str, expect: Result<&str, &str>) {
    match (name.parse::<Reference>(), expect) {
        (Ok(got), Ok(expect)) => {
            assert_eq!(got.to_string(), expect, "{name}");
            assert_eq!(
                expect.parse::<Reference>().unwrap(),
                got,
                "{name} once more"
            );
        }
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{name}: {error}"),
        (got, expect) => panic!("{name}: got {got:?}, expected {expect:?}"),
    }
}

#[test]
fn reference_short_name_becomes_whole() {
    check("busybox", Ok("docker.io/library/busybox:latest"));
    check("busybox:1.36", Ok("docker.io/library/busybox:1.36"));
    check("someone/app", Ok("docker.io/someone/app:latest"));
    check("docker.io/busybox", Ok("docker.io/library/busybox:latest"));
    check(
        "index.docker.io/busybox",
        Ok("docker.io/library/busybox:latest"),
    );
    check("localhost/app", Ok("localhost/app:latest"));
    check("localhost:5000/app", Ok("localhost:5000/app:latest"));
    check(
        "registry.example:443/a/b_c/d__e/f--g:V1",
        Ok("registry.example:443/a/b_c/d__e/f--g:V1"),
    );
    check("Upper/app", Ok("Upper/app:latest"));
    let digest = format!("sha256:{}", "ab".repeat(32));
    check(
        &format!("app@{digest}"),
        Ok(&format!("docker.io/library/app@{digest}")),
    );
    check(
        &format!("app:1@{digest}"),
        Ok(&format!("docker.io/library/app:1@{digest}")),
    );
}

#[test]
fn reference_bad_name_says_why() {
    check("", Err("empty"));
    check("App", Err("bad part `App`"));
    check("a//b", Err("bad part ``"));
    check("a/../b", Err("bad part `..`"));
    check("-a", Err("bad part"));
    check("a_-b", Err("bad part"));
    check("a___b", Err("bad part"));
    check("a:", Err("bad tag"));
    check("a:.x", Err("bad tag"));
    check("a b", Err("bad part"));
    check("é", Err("bad part"));
    check("host.:99999/a", Err("bad host"));
    check("exa_mple.org/a", Err("bad host"));
    check("app@sha512:00", Err("bad digest"));
    check(&"a/".repeat(200), Err("bad part"));
    check(&format!("{}b", "a/".repeat(200)), Err("longer than"));
}
