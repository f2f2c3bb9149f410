//! No secret in a message's `Debug`, however deep it lies.

use crate::v1::{AuthConfig, ContainerConfig, KeyValue, PullImageRequest};

fn check(shown: &str, hidden: &[&str], kept: &[&str]) {
    for secret in hidden {
        assert!(!shown.contains(secret), "{secret} shows in {shown}");
    }
    for text in kept {
        assert!(shown.contains(text), "{text} is missing in {shown}");
    }
}

#[test]
fn credentials_in_a_request_are_hidden() {
    let request = PullImageRequest {
        auth: Some(AuthConfig {
            username: "ann".to_owned(),
            password: "first-secret".to_owned(),
            auth: "second-secret".to_owned(),
            server_address: "registry.example".to_owned(),
            identity_token: "third-secret".to_owned(),
            registry_token: "fourth-secret".to_owned(),
        }),
        ..PullImageRequest::default()
    };
    check(
        &format!("{request:?}"),
        &["secret"],
        &["ann", "registry.example", "password: <12 bytes>"],
    );
}

#[test]
fn environment_in_a_request_is_hidden() {
    let config = ContainerConfig {
        envs: vec![KeyValue {
            key: "TOKEN".to_owned(),
            value: b"AAAA".to_vec(),
        }],
        ..ContainerConfig::default()
    };
    // 65 is the letter A, as a list of bytes would show it.
    check(
        &format!("{config:#?}"),
        &["AAAA", "65"],
        &["TOKEN", "<4 bytes>"],
    );
}
