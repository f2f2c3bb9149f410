//! Tests of which credential is taken, whom it is for, and that none is printed.

use super::{AuthConfig, Credential};

fn basic(username: &str, password: &str) -> Credential {
    Credential::Basic {
        username: username.to_owned(),
        password: password.to_owned(),
    }
}

#[test]
fn auth_is_base64_of_user_and_password() {
    let check = |auth: &str, expect: Option<Credential>| {
        let config = AuthConfig {
            auth: auth.to_owned(),
            ..AuthConfig::default()
        };
        assert_eq!(config.credential().ok(), expect, "{auth}");
    };
    check("", Some(Credential::Nobody));
    check("bWU6c2VjcmV0", Some(basic("me", "secret")));
    check("bWU6YTpi\n", Some(basic("me", "a:b")));
    check("bWU6cw==", Some(basic("me", "s")));
    check("bWU6cw", Some(basic("me", "s")));
    check("bWU6cwAA", Some(basic("me", "s")));
    check("bWU=", None);
    check("no base64!", None);
}

#[test]
fn most_particular_form_is_taken() {
    let mut config = AuthConfig {
        username: "me".to_owned(),
        password: "p".to_owned(),
        auth: "eDp5".to_owned(),
        ..AuthConfig::default()
    };
    assert_eq!(config.credential().unwrap(), basic("me", "p"));
    config.identity_token = "i".to_owned();
    let identity = Credential::IdentityToken("i".to_owned());
    assert_eq!(config.credential().unwrap(), identity);
    config.registry_token = "r".to_owned();
    let registry = Credential::RegistryToken("r".to_owned());
    assert_eq!(config.credential().unwrap(), registry);
}

#[test]
fn credential_is_for_the_registry_that_it_names() {
    let check = |address: &str, registry: &str, host: &str, stands_in: bool, expect: bool| {
        let config = AuthConfig {
            server_address: address.to_owned(),
            ..AuthConfig::default()
        };
        let got = config.is_for(registry, host, stands_in);
        assert_eq!(got, expect, "{address} for {registry} at {host}");
    };
    check("", "a.example", "a.example", true, true);
    check("", "a.example", "mirror.example", false, false);
    check("a.example", "a.example", "a.example", true, true);
    check("a.example", "a.example", "mirror.example", false, false);
    check("a.example", "a.example", "mirror.example", true, true);
    check("mirror.example", "a.example", "mirror.example", false, true);
    check("b.example", "a.example", "a.example", true, false);
    check("a.example:5000", "a.example", "a.example", true, false);
    check(
        "https://a.example/v2/",
        "a.example",
        "a.example",
        true,
        true,
    );
    let hub = "registry-1.docker.io";
    check("https://index.docker.io/v1/", "docker.io", hub, true, true);
}

#[test]
fn secrets_are_not_printed() {
    let config = AuthConfig {
        username: "me".to_owned(),
        password: "hush".to_owned(),
        auth: "hush".to_owned(),
        identity_token: "hush".to_owned(),
        registry_token: "hush".to_owned(),
        server_address: "a.example".to_owned(),
    };
    let text = format!("{config:?} {:?}", config.credential());
    assert!(
        !text.contains("hush") && text.contains("a.example"),
        "{text}"
    );
}
