//! Pulls from a registry that wants tokens of a token server: how each form of a credential becomes one, and what is said where it does not.
//!
//! Neighbour: `cri_pull`, where the registry itself wants a password.

use anyhow::{Result, ensure};
use cri::v1::AuthConfig;
use harness::registry::{Access, IDENTITY_TOKEN, PASSWORD, Registry, Token, TokenServer, USER};
use tonic::Code;

use crate::Test;
use crate::case::Case;
use crate::cri_image::{daemon, listed, marked, pull_as, remove, storage};
use crate::daemon::{Daemon, expect_failure};

pub(crate) const TESTS: &[Test] = &[(
    "tokens_are_asked_for_by_password_by_identity_or_brought_along",
    tokens,
)];

const WRONG: &str = "a-wrong-secret";

fn tokens(case: &Case) -> Result<()> {
    let (storage, image) = (storage(case)?, marked("one")?);
    storage.put("team/app", "1", &image.content())?;
    let (server, other) = (TokenServer::start()?, TokenServer::start()?);
    let registry = Registry::start(&storage, Access::WithToken(&server))?;
    let daemon = daemon(case, &registry)?;
    let name = format!("{}/team/app:1", registry.address());
    let good = Token {
        repository: "team/app",
        expired: false,
    };
    let token = server.token(good)?;

    // By password and by identity it is the server that gives one; a token that is brought along is sent as it is.
    for (auth, method) in [
        (with_password(PASSWORD), "GET reader"),
        (with_identity(IDENTITY_TOKEN), "POST refresh_token"),
        (with_token(&token), ""),
    ] {
        let before = server.asked().len();
        let id = pull_as(&daemon, &name, Some(auth))?;
        let asked = server.asked().split_off(before);
        let wanted = format!("{method} repository:team/app:pull");
        let as_wanted = asked.iter().all(|line| *line == wanted);
        ensure!(
            as_wanted && asked.is_empty() == method.is_empty(),
            "{asked:?}"
        );
        remove(&daemon, &id)?;
    }

    let for_another = Token {
        repository: "team/other",
        ..good
    };
    let expired = Token {
        expired: true,
        ..good
    };
    for auth in [
        AuthConfig::default(),
        with_password(WRONG),
        with_identity(WRONG),
        with_token(WRONG),
        with_token(&server.token(for_another)?),
        with_token(&server.token(expired)?),
        // The registry does not know who signed this one.
        with_token(&other.token(good)?),
    ] {
        let refused = pull_as(&daemon, &name, Some(auth));
        expect_failure(refused, Code::Unauthenticated, &name)?;
    }
    ensure!(listed(&daemon)?.is_empty(), "{:?}", listed(&daemon)?);
    ensure!(other.asked().is_empty(), "{:?}", other.asked());
    tells_no_secret(&daemon, &[PASSWORD, IDENTITY_TOKEN, WRONG, &token])
}

fn with_password(password: &str) -> AuthConfig {
    AuthConfig {
        username: USER.to_owned(),
        password: password.to_owned(),
        ..AuthConfig::default()
    }
}

fn with_identity(token: &str) -> AuthConfig {
    AuthConfig {
        identity_token: token.to_owned(),
        ..AuthConfig::default()
    }
}

fn with_token(token: &str) -> AuthConfig {
    AuthConfig {
        registry_token: token.to_owned(),
        ..AuthConfig::default()
    }
}

fn tells_no_secret(daemon: &Daemon<'_>, secrets: &[&str]) -> Result<()> {
    let log = daemon.log();
    for secret in secrets {
        ensure!(!log.contains(secret), "a secret is in the log: {log}");
    }
    Ok(())
}
