//! Who gets a credential, in which form, and who must not.

use std::sync::Arc;

use registry::{AuthConfig, Kind};

use crate::bench::{Bench, Content, NAME, hosts, pull, pull_as, refused};
use crate::server::{Reply, Request, Server};

/// Base64 of `me:secret`.
const BASIC: &str = "Basic bWU6c2VjcmV0";

fn user() -> AuthConfig {
    AuthConfig {
        username: "me".to_owned(),
        password: "secret".to_owned(),
        ..AuthConfig::default()
    }
}

/// A token server that knows one user and one identity token.
fn token(request: &Request) -> Reply {
    let good = match request.method.as_str() {
        "POST" => {
            request.body.contains("grant_type=refresh_token")
                && request.body.contains("refresh_token=i%26d")
                && request
                    .body
                    .contains("scope=repository%3Ateam%2Fapp%3Apull")
                && request.body.contains("service=the+service")
        }
        _ => {
            request
                .query
                .contains("scope=repository%3Ateam%2Fapp%3Apull")
                && request.query.contains("service=the+service")
                && request.authorization.as_deref() == Some(BASIC)
        }
    };
    match good {
        true if request.method == "POST" => Reply::json(200, r#"{"access_token":"t0ken"}"#),
        true => Reply::json(200, r#"{"token":"t0ken","expires_in":60}"#),
        false => Reply::json(401, r#"{"errors":[{"code":"DENIED","message":"who?"}]}"#),
    }
}

/// A registry that wants a token of its token server.
async fn guarded() -> Server {
    let content = Content::app();
    Server::start(move |request| {
        if request.path == "/token" {
            return token(request);
        }
        if request.authorization.as_deref() == Some("Bearer t0ken") {
            return content.reply(request);
        }
        let realm = format!("realm=\"http://{}/token\"", request.host);
        Reply::status(401).header(
            "WWW-Authenticate",
            format!("Bearer {realm},service=\"the service\""),
        )
    })
    .await
}

/// The registry is named by its address here, so that its answers can name it too.
fn address_hosts(server: &Server) -> (registry::Hosts, String) {
    let mut hosts = hosts(&[], &server.url());
    hosts.registries[0].host = server.address.to_string();
    (hosts, format!("{}/team/app:1", server.address))
}

async fn check(auth: &AuthConfig, expect: Result<(), &str>) {
    let server = guarded().await;
    let bench = Bench::new();
    let before = bench.snapshot();
    let (hosts, name) = address_hosts(&server);
    let result = pull_as(&bench.puller(hosts), &name, auth).await;
    let Err(expect) = expect else {
        result.unwrap();
        assert_eq!(
            server.count("/token"),
            1,
            "a token is good for all of a pull"
        );
        return;
    };
    let text = refused(result, Kind::Unauthorized, expect);
    assert!(!text.contains("secret") && !text.contains("bWU6"), "{text}");
    bench.expect_unchanged(&before).await;
}

#[tokio::test]
async fn token_is_had_for_every_form_of_credential() {
    check(&user(), Ok(())).await;
    let auth = AuthConfig {
        auth: "bWU6c2VjcmV0".to_owned(),
        ..AuthConfig::default()
    };
    check(&auth, Ok(())).await;
    let identity = AuthConfig {
        identity_token: "i&d".to_owned(),
        ..AuthConfig::default()
    };
    check(&identity, Ok(())).await;
}

#[tokio::test]
async fn wrong_credential_is_unauthorized() {
    let refused = "(it says: DENIED who?); the given credential was refused";
    let wrong = AuthConfig {
        password: "wrong".to_owned(),
        ..user()
    };
    check(&wrong, Err(refused)).await;
    let wrong = AuthConfig {
        identity_token: "other".to_owned(),
        ..AuthConfig::default()
    };
    check(&wrong, Err(refused)).await;
    let wrong = AuthConfig {
        registry_token: "other".to_owned(),
        ..AuthConfig::default()
    };
    check(&wrong, Err("the given credential was refused")).await;
    check(&AuthConfig::default(), Err("no credential was given")).await;
    let wrong = AuthConfig {
        auth: "secret".to_owned(),
        ..AuthConfig::default()
    };
    check(&wrong, Err("`auth` is not the base64")).await;
}

#[tokio::test]
async fn registry_token_is_sent_as_it_is() {
    let server = guarded().await;
    let bench = Bench::new();
    let auth = AuthConfig {
        registry_token: "t0ken".to_owned(),
        ..AuthConfig::default()
    };
    let (hosts, name) = address_hosts(&server);
    pull_as(&bench.puller(hosts), &name, &auth).await.unwrap();
    assert_eq!(server.count("/token"), 0);
}

#[tokio::test]
async fn basic_challenge_gets_name_and_password() {
    let content = Content::app();
    let server = Server::start(move |request| match request.authorization.as_deref() {
        Some(BASIC) => content.reply(request),
        _ => Reply::status(401).header("WWW-Authenticate", "Basic realm=\"r\""),
    })
    .await;
    let bench = Bench::new();
    let puller = bench.puller(hosts(&[], &server.url()));
    refused(
        pull(&puller, NAME).await,
        Kind::Unauthorized,
        "no credential",
    );
    pull_as(&puller, NAME, &user()).await.unwrap();
    // Nothing is sent before it is asked for.
    assert_eq!(server.seen()[1].authorization, None);
}

#[tokio::test]
async fn credential_for_another_registry_is_not_sent() {
    let server = guarded().await;
    let bench = Bench::new();
    let auth = AuthConfig {
        server_address: "https://other.example/v1/".to_owned(),
        ..user()
    };
    let (hosts, name) = address_hosts(&server);
    let result = pull_as(&bench.puller(hosts), &name, &auth).await;
    refused(
        result,
        Kind::Unauthorized,
        "is for another registry and was not sent",
    );
    assert!(
        server
            .seen()
            .iter()
            .all(|request| request.authorization.is_none())
    );
}

#[tokio::test]
async fn mirror_gets_a_credential_only_where_it_may() {
    let content = Arc::new(Content::app());
    let guard = |content: Arc<Content>| {
        move |request: &Request| match request.authorization.as_deref() {
            Some(BASIC) => content.reply(request),
            _ => Reply::status(401).header("WWW-Authenticate", "Basic realm=\"r\""),
        }
    };
    let mirror = Server::start(guard(content.clone())).await;
    let registry = Server::start(guard(content)).await;
    let mut hosts = hosts(&[&mirror.url()], &registry.url());
    let bench = Bench::new();
    pull_as(&bench.puller(hosts.clone()), NAME, &user())
        .await
        .unwrap();
    assert!(
        mirror
            .seen()
            .iter()
            .all(|request| request.authorization.is_none())
    );
    let asked = registry.seen().len();
    assert!(asked > 0);
    let for_mirror = AuthConfig {
        server_address: mirror.address.to_string(),
        ..user()
    };
    let bench = Bench::new();
    pull_as(&bench.puller(hosts.clone()), NAME, &for_mirror)
        .await
        .unwrap();
    hosts.registries[0].mirrors[0].send_credentials = true;
    let bench = Bench::new();
    pull_as(&bench.puller(hosts), NAME, &user()).await.unwrap();
    assert_eq!(registry.seen().len(), asked);
}

#[tokio::test]
async fn redirect_to_another_host_takes_no_credential_along() {
    let content = Arc::new(Content::app());
    let good = content.clone();
    let storage = Server::start(move |request| good.reply(request)).await;
    let away = storage.url();
    let registry = Server::start(move |request| match request.authorization.as_deref() {
        Some(BASIC) if request.path.contains("/blobs/") => {
            // A second hop on this host may have it again.
            if request.query.is_empty() {
                Reply::status(307).header("Location", format!("{away}{}", request.path))
            } else {
                Reply::status(302).header("Location", request.path.clone())
            }
        }
        Some(BASIC) => content.reply(request),
        _ => Reply::status(401).header("WWW-Authenticate", "Basic realm=\"r\""),
    })
    .await;
    let bench = Bench::new();
    let puller = bench.puller(hosts(&[], &registry.url()));
    pull_as(&puller, NAME, &user()).await.unwrap();
    let seen = storage.seen();
    assert_eq!(seen.len(), 4, "configuration and layers");
    assert!(seen.iter().all(|request| request.authorization.is_none()));
}

#[tokio::test]
async fn challenge_of_a_redirects_target_is_not_answered() {
    let thief = Server::start(|request| {
        let realm = format!("Basic realm=\"{}\"", request.path);
        Reply::status(401).header("WWW-Authenticate", realm)
    })
    .await;
    let away = thief.url();
    let registry = Server::start(move |request| {
        Reply::status(307).header("Location", format!("{away}{}", request.path))
    })
    .await;
    let bench = Bench::new();
    let puller = bench.puller(hosts(&[], &registry.url()));
    let result = pull_as(&puller, NAME, &user()).await;
    refused(result, Kind::Unauthorized, "not authorised");
    assert_eq!(thief.seen().len(), 1);
    assert_eq!(thief.seen()[0].authorization, None);
}

#[tokio::test]
async fn token_that_runs_out_is_replaced() {
    let content = Content::app();
    let server = Server::start(move |request| {
        let realm = format!("http://{}/token", request.host);
        let want = |token: &str| match request.authorization.as_deref() {
            Some(sent) if sent == format!("Bearer {token}") => content.reply(request),
            _ => Reply::status(401).header("WWW-Authenticate", format!("Bearer realm=\"{realm}\"")),
        };
        match request.path.as_str() {
            "/token" => {
                let number = request.earlier;
                Reply::json(200, &format!("{{\"token\":\"t{number}\"}}"))
            }
            path if path.contains("/manifests/") => want("t0"),
            _ => want("t1"),
        }
    })
    .await;
    let bench = Bench::new();
    let (hosts, name) = address_hosts(&server);
    pull(&bench.puller(hosts), &name).await.unwrap();
    assert_eq!(server.count("/token"), 2);
}

#[tokio::test]
async fn bad_token_servers_are_named() {
    let cases = [
        (
            "http://127.0.0.1:1/token",
            Reply::status(200),
            Kind::Unavailable,
            "its token server 127.0.0.1",
        ),
        (
            "no address",
            Reply::status(200),
            Kind::Other,
            "its token server is unusable",
        ),
        ("SELF", Reply::json(200, "{}"), Kind::Other, "has no token"),
        (
            "SELF",
            Reply::json(200, "secret"),
            Kind::Other,
            "has no token",
        ),
        ("SELF", Reply::status(500), Kind::Unavailable, "status 500"),
        (
            "SELF",
            Reply::json(200, &"x".repeat(300 << 10)),
            Kind::BadContent,
            "more than 262144 bytes",
        ),
    ];
    for (realm, reply, kind, expect) in cases {
        let server = Server::start(move |request| {
            let own = format!("http://{}/token", request.host);
            let realm = realm.replace("SELF", &own);
            let challenge = format!("Bearer realm=\"{realm}\"");
            let guard = Reply::status(401).header("WWW-Authenticate", challenge);
            guard.when(request.path == "/token", |guard| *guard = reply.clone())
        })
        .await;
        let bench = Bench::new();
        let (hosts, name) = address_hosts(&server);
        let text = refused(pull(&bench.puller(hosts), &name).await, kind, expect);
        assert!(!text.contains("secret"), "{text}");
    }
}
