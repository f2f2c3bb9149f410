//! Which thing a word means.

use cri::v1::{ContainerMetadata, PodSandboxMetadata};

use super::*;

fn everything() -> Everything {
    let pod = |id: &str, name: &str| PodSandbox {
        id: id.to_owned(),
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            ..PodSandboxMetadata::default()
        }),
        ..PodSandbox::default()
    };
    Everything {
        pods: vec![pod("ab12", "web"), pod("cd34", "db"), pod("ef56", "main")],
        containers: vec![Container {
            id: "ab99".to_owned(),
            metadata: Some(ContainerMetadata {
                name: "main".to_owned(),
                attempt: 0,
            }),
            ..Container::default()
        }],
        images: vec![Image {
            id: "sha256:77aa".to_owned(),
            repo_tags: vec!["docker.io/library/busybox:latest".to_owned()],
            ..Image::default()
        }],
    }
}

#[test]
fn word_is_a_start_of_an_id_or_a_whole_name() {
    let everything = everything();
    let check = |what: &str, expect: &str| {
        let found = find(&everything, what).unwrap();
        assert_eq!(found.described(), expect, "{what}");
    };
    check("ab1", "pod ab12");
    check("ab9", "container ab99");
    check("77", "image sha256:77aa");
    check("sha256:7", "image sha256:77aa");
    check("db", "pod cd34");
    check("docker.io/library/busybox:latest", "image sha256:77aa");
}

#[test]
fn word_that_means_none_or_several_is_refused_with_what_to_do() {
    let everything = everything();
    let check = |what: &str, expect: &str| {
        let error = find(&everything, what).unwrap_err().to_string();
        assert!(error.contains(expect), "{what:?} gave {error}");
    };
    check(
        "zz",
        "there is no pod, container or image \"zz\": see `cofferdam pods -a`",
    );
    check("", "there is no pod");
    check("ab", "\"ab\" can mean pod ab12, container ab99: say more");
    check("main", "\"main\" can mean pod ef56, container ab99");
}
