//! `cofferdam image pull|import|ls|rm`: the image store from the command line. Below: `images`; `pull` is in a room of its own.

use anyhow::Context;
use images::{Image, Progress, Reference, Store};
use serde::Serialize;

use crate::{
    args::{ImageCommand, ImportArguments, JsonArgument},
    config::Config,
    output::{self, ProgressLine},
};

mod pull;

/// Characters of an id that a list shows, as docker and crictl do.
const SHORT_ID: usize = 12;

/// An image as `--json` shows it.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    names: Vec<String>,
    repo_digests: Vec<String>,
    digest: String,
    size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
}

impl From<&Image> for Row {
    fn from(image: &Image) -> Self {
        Self {
            id: image.id.to_string(),
            names: image.names.iter().map(ToString::to_string).collect(),
            repo_digests: image.digests.iter().map(ToString::to_string).collect(),
            digest: image.digest.to_string(),
            size_bytes: image.size,
            created: image.created.clone(),
        }
    }
}

/// Does one of the image commands.
pub(crate) fn image(config: &Config, command: &ImageCommand) -> anyhow::Result<()> {
    let store = Store::open(&config.image_dir())?;
    match command {
        ImageCommand::Pull(arguments) => pull::pull(config, store, arguments),
        ImageCommand::Import(arguments) => import(&store, arguments),
        ImageCommand::Ls(output) => list_of(&store, output.json),
        ImageCommand::Rm(arguments) => {
            for what in &arguments.images {
                remove(&store, what)?;
            }
            Ok(())
        }
    }
}

/// `cofferdam images`.
pub(crate) fn list(config: &Config, output: &JsonArgument) -> anyhow::Result<()> {
    list_of(&Store::open(&config.image_dir())?, output.json)
}

fn import(store: &Store, arguments: &ImportArguments) -> anyhow::Result<()> {
    let name: Option<Reference> = arguments.name.as_deref().map(str::parse).transpose()?;
    let mut line = ProgressLine::new();
    let image = store
        .import(&arguments.source, name, &mut |progress| {
            line.show(&describe(&progress))
        })
        .with_context(|| format!("import {}", arguments.source.display()))?;
    drop(line);
    announce("Imported", &image, &arguments.output)
}

/// Says which image has come, and under which names.
fn announce(deed: &str, image: &Image, output: &JsonArgument) -> anyhow::Result<()> {
    if output.json {
        return output::json(&Row::from(image));
    }
    let names = names(image).join(", ");
    output::line(&format!("{deed} {} ({names})", short(image)))?;
    Ok(())
}

/// Its tags; an image without one goes by its digests.
fn names(image: &Image) -> Vec<String> {
    let names = if image.names.is_empty() {
        &image.digests
    } else {
        &image.names
    };
    if names.is_empty() {
        return vec!["<none>".to_owned()];
    }
    names.iter().map(ToString::to_string).collect()
}

fn describe(progress: &Progress) -> String {
    match progress {
        Progress::LayerReused { index, count, .. } => {
            format!("layer {} of {count}: in the store already", index + 1)
        }
        Progress::Layer {
            index,
            count,
            read_bytes,
            total_bytes,
            ..
        } => {
            let percent = read_bytes.saturating_mul(100) / (*total_bytes).max(1);
            format!("layer {} of {count}: {percent} %", index + 1)
        }
        Progress::Merging => "merging the layers".to_owned(),
    }
}

fn list_of(store: &Store, json: bool) -> anyhow::Result<()> {
    let images = store.list()?;
    if json {
        return output::json(&images.iter().map(Row::from).collect::<Vec<_>>());
    }
    let mut rows = vec![["NAME", "ID", "SIZE"].map(str::to_owned)];
    for image in &images {
        rows.extend(
            names(image)
                .into_iter()
                .map(|name| [name, short(image), size(image.size)]),
        );
    }
    output::table(&rows)?;
    Ok(())
}

fn remove(store: &Store, what: &str) -> anyhow::Result<()> {
    let removed = store.remove(what)?;
    for name in &removed.names {
        output::line(&format!("Removed name {name}"))?;
    }
    if let Some(id) = &removed.image {
        output::line(&format!(
            "Removed image {id}, {} freed",
            size(removed.freed_bytes)
        ))?;
    }
    Ok(())
}

fn short(image: &Image) -> String {
    let id = image.id.to_string();
    let hex = id
        .split_once(':')
        .map_or(id.as_str(), |(_algorithm, hex)| hex);
    hex.chars().take(SHORT_ID).collect()
}

/// A size for people, in binary units with one decimal.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = bytes.saturating_mul(10);
    while tenths >= 10240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    if unit == 0 {
        format!("{bytes} {name}")
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests;
