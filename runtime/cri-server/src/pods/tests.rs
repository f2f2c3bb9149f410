//! Tests of names and ids with values. What needs a pod is tested end to end.

use super::*;

fn name(attempt: u32) -> SandboxName {
    SandboxName {
        name: "web".to_owned(),
        uid: "u".to_owned(),
        namespace: "default".to_owned(),
        attempt,
    }
}

#[test]
fn sandbox_name_is_one_sandboxs_while_it_is_being_made() {
    let pods = Pods::default();
    let reserved = pods.reserve(name(0)).unwrap();
    let taken = pods.reserve(name(0)).unwrap_err();
    assert_eq!(
        taken.to_string(),
        "the name default/web (uid u, attempt 0) is in use by one that is being made"
    );
    let _other = pods.reserve(name(1)).unwrap();
    drop(reserved);
    pods.reserve(name(0)).unwrap();
}

#[test]
fn container_name_is_one_containers_in_its_pod() {
    let pods = Pods::default();
    let (one, two): (PodId, PodId) = ("one".parse().unwrap(), "two".parse().unwrap());
    let main = || ("main".to_owned(), 0);
    let reserved = pods.reserve_container(&one, main()).unwrap();
    pods.reserve_container(&one, main()).unwrap_err();
    pods.reserve_container(&one, ("main".to_owned(), 1))
        .unwrap();
    pods.reserve_container(&two, main()).unwrap();
    drop(reserved);
    pods.reserve_container(&one, main()).unwrap();
}

#[test]
fn forgotten_pod_frees_its_containers_names() {
    let pods = Pods::default();
    let id: PodId = "one".parse().unwrap();
    let reserved = pods.reserve_container(&id, ("main".to_owned(), 0)).unwrap();
    pods.forget(&id);
    pods.reserve_container(&id, ("main".to_owned(), 0)).unwrap();
    drop(reserved);
}

#[test]
fn ids_are_found_whole_and_by_a_unique_start() {
    let ids = ["ab12", "ab34", "cd", "cdef"];
    let check = |id: &str, expect: Result<&str, usize>| {
        let result = unique("sandbox", id, ids.into_iter());
        match (result, expect) {
            (Ok(whole), Ok(expected)) => assert_eq!(whole, expected, "{id}"),
            (Err(LookUp::None { .. }), Err(0)) => {}
            (Err(LookUp::Ambiguous { count, .. }), Err(expected)) => {
                assert_eq!(count, expected, "{id}");
            }
            (result, _) => panic!("{id}: {result:?}"),
        }
    };
    check("ab12", Ok("ab12"));
    check("ab1", Ok("ab12"));
    check("ab", Err(2));
    check("cd", Ok("cd"));
    check("c", Err(2));
    check("x", Err(0));
    check("ab123", Err(0));
    check("", Err(0));
}

#[test]
fn unknown_ids_are_named() {
    let pods = Pods::default();
    let error = pods.pod("nope").unwrap_err();
    assert_eq!(error.to_string(), "there is no sandbox \"nope\"");
    let error = pods.container("").unwrap_err();
    assert_eq!(error.to_string(), "there is no container \"\"");
}
