//! OCI images made for a test. [`ImageBuilder`] collects [`Layer`]s and a configuration; [`MultiArch`] puts several images
//! under one name. Both are written in the three forms that people have images in; see [`archive`].

pub mod archive;
mod layer;

use anyhow::Result;
use serde_json::{Value, json};

pub use archive::{Blob, Bundle, Content, MultiArch};
pub use layer::{Compression, Layer};

use layer::Built;

/// A layer in the making, or one whose tar stream is there already.
#[derive(Clone, Debug)]
enum Part {
    Made(Layer),
    Stream(Compression, Vec<u8>),
}

/// An image in the making. Names speak as in the OCI image specification.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    reference: String,
    architecture: String,
    layers: Vec<Part>,
    config: serde_json::Map<String, Value>,
    env: Vec<String>,
}

impl ImageBuilder {
    /// An image without layers for amd64. `reference` is "name:tag".
    pub fn new(reference: &str) -> ImageBuilder {
        ImageBuilder {
            reference: reference.to_owned(),
            architecture: "amd64".to_owned(),
            layers: Vec::new(),
            config: serde_json::Map::new(),
            env: Vec::new(),
        }
    }

    #[must_use]
    pub fn layer(mut self, layer: Layer) -> ImageBuilder {
        self.layers.push(Part::Made(layer));
        self
    }

    /// A layer that is this tar stream.
    #[must_use]
    pub fn tar_layer(mut self, compression: Compression, tar: Vec<u8>) -> ImageBuilder {
        self.layers.push(Part::Stream(compression, tar));
        self
    }

    #[must_use]
    pub fn architecture(mut self, architecture: &str) -> ImageBuilder {
        architecture.clone_into(&mut self.architecture);
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> ImageBuilder {
        self.env.push(format!("{name}={value}"));
        self
    }

    #[must_use]
    pub fn cmd(self, words: &[&str]) -> ImageBuilder {
        self.set("Cmd", json!(words))
    }

    #[must_use]
    pub fn entrypoint(self, words: &[&str]) -> ImageBuilder {
        self.set("Entrypoint", json!(words))
    }

    #[must_use]
    pub fn working_dir(self, path: &str) -> ImageBuilder {
        self.set("WorkingDir", json!(path))
    }

    /// "uid", "uid:gid", "name" or "name:group".
    #[must_use]
    pub fn user(self, user: &str) -> ImageBuilder {
        self.set("User", json!(user))
    }

    #[must_use]
    pub fn stop_signal(self, signal: &str) -> ImageBuilder {
        self.set("StopSignal", json!(signal))
    }

    fn set(mut self, key: &str, value: Value) -> ImageBuilder {
        self.config.insert(key.to_owned(), value);
        self
    }

    /// The blobs of this image, ready to be written.
    pub fn build(&self) -> Result<Bundle> {
        let layers = self
            .layers
            .iter()
            .map(Part::build)
            .collect::<Result<Vec<_>>>()?;
        let mut config = self.config.clone();
        if !self.env.is_empty() {
            config.insert("Env".to_owned(), json!(self.env));
        }
        let diff_ids: Vec<&String> = layers.iter().map(|layer| &layer.diff_id).collect();
        let config = Blob::of_json(
            "application/vnd.oci.image.config.v1+json",
            &json!({
                "architecture": self.architecture,
                "os": "linux",
                "config": config,
                "rootfs": { "type": "layers", "diff_ids": diff_ids },
            }),
        )?;
        let layers: Vec<Blob> = layers.into_iter().map(|layer| layer.blob).collect();
        Bundle::new(&self.reference, &self.architecture, config, layers)
    }
}

impl Part {
    fn build(&self) -> Result<Built> {
        match self {
            Part::Made(layer) => layer.build(),
            Part::Stream(compression, tar) => layer::pack(tar.clone(), *compression),
        }
    }
}

#[cfg(test)]
mod tests;
