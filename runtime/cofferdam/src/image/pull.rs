//! `cofferdam image pull`: one pull with a line of progress, that Ctrl-C ends without a trace. Below: `registry`.

use std::io::Read;

use anyhow::Context;
use images::{Image, Reference, Store};
use registry::{AuthConfig, LayerState, Patience, Progress, Puller, Stage};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{announce, size};
use crate::{args::PullArguments, config::Config, output::ProgressLine};

/// Longest password or token that is read, in bytes.
const MAX_PASSWORD_BYTES: u64 = 64 << 10;

pub(super) fn pull(config: &Config, store: Store, arguments: &PullArguments) -> anyhow::Result<()> {
    let name: Reference = arguments.name.parse()?;
    let auth = auth(arguments)?;
    let patience = Patience::default().scaled(config.deadline_scale);
    let puller = Puller::new(store, config.registry.clone(), patience)
        .context("read `registry` in the configuration")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(watched(&puller, &name, &auth));
    // Waits for the threads that write: what a failed pull has written is gone afterwards.
    drop(runtime);
    announce("Pulled", &result?, &arguments.output)
}

/// The pull, until it is done or a signal ends it.
async fn watched(puller: &Puller, name: &Reference, auth: &AuthConfig) -> anyhow::Result<Image> {
    let (sender, mut receiver) = watch::channel(Progress::default());
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut line = ProgressLine::new();
    let mut pull = std::pin::pin!(puller.pull(name, auth, &sender));
    loop {
        tokio::select! {
            pulled = &mut pull => return Ok(pulled?),
            _ = interrupt.recv() => anyhow::bail!("the pull of {name} was interrupted; nothing of it is kept"),
            _ = terminate.recv() => anyhow::bail!("the pull of {name} was interrupted; nothing of it is kept"),
            // The sender lives as long as this function.
            _ = receiver.changed() => line.show(&describe(name, &receiver.borrow_and_update())),
        }
    }
}

fn auth(arguments: &PullArguments) -> anyhow::Result<AuthConfig> {
    let Some(username) = &arguments.username else {
        return Ok(AuthConfig::default());
    };
    let mut password = String::new();
    let mut input = std::io::stdin().lock().take(MAX_PASSWORD_BYTES + 1);
    input
        .read_to_string(&mut password)
        .context("read the password from standard input")?;
    anyhow::ensure!(
        password.len() as u64 <= MAX_PASSWORD_BYTES,
        "the password on standard input is longer than {MAX_PASSWORD_BYTES} bytes"
    );
    // What `echo` and editors add.
    let password = password.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(
        !password.is_empty(),
        "there is no password on standard input"
    );
    Ok(AuthConfig {
        username: username.clone(),
        password: password.to_owned(),
        ..AuthConfig::default()
    })
}

fn describe(name: &Reference, progress: &Progress) -> String {
    match progress.stage {
        Stage::Resolving => format!("{name}: asking the registry"),
        Stage::Layers => {
            let layers = &progress.layers;
            let fetched = |state| !matches!(state, LayerState::Present);
            let to_fetch = layers.iter().filter(|layer| fetched(layer.state));
            let (read, total) = to_fetch.fold((0, 0), |(read, total), layer| {
                (read + layer.read_bytes, total + layer.total_bytes)
            });
            let ready = |state| matches!(state, LayerState::Present | LayerState::Stored);
            let ready = layers.iter().filter(|layer| ready(layer.state)).count();
            let (read, total) = (size(read), size(total));
            format!(
                "{name}: {ready} of {} layers, {read} of {total}",
                layers.len()
            )
        }
        Stage::Committing | Stage::Done => format!("{name}: merging the layers"),
    }
}

#[cfg(test)]
mod tests;
