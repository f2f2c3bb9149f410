//! What cargo knows: our crates with their edges, and every package of the resolved graph.
//!
//! Main types: [`Graph`] (our own crates) and [`Package`] (all of them). Plain values, so that the rules that
//! read them are tested without cargo.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, NodeDep, PackageId};

/// The only platform that we build for; without it cargo resolves every other platform's packages too.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// One of our crates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its folder, relative to the root.
    pub folder: String,
    /// Our crates that it is built with: dependencies and build-dependencies.
    pub uses: BTreeSet<String>,
    /// Our crates that only its tests are built with.
    pub tests_use: BTreeSet<String>,
}

/// Our crates by name.
pub type Graph = BTreeMap<String, Member>;

/// One package of the resolved graph, ours or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub licence: Option<String>,
    pub origin: Origin,
    /// Indices into the list of packages: what a build of it (not of its tests) is linked with.
    pub links: Vec<usize>,
}

/// Where a package comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origin {
    /// A folder of this repository.
    #[default]
    Here,
    /// The public registry.
    Registry,
    /// A git repository or another registry.
    Elsewhere(String),
}

#[derive(Debug, Clone, Default)]
pub struct Workspace {
    pub graph: Graph,
    pub packages: Vec<Package>,
}

/// Asks cargo. The lock file must be current: a test may not change it.
pub fn load(root: &Path) -> Result<Workspace> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(["--locked", "--filter-platform", PLATFORM].map(str::to_owned))
        .exec()
        .context("ask cargo for the resolved graph (if Cargo.lock is out of date: run cargo check and commit it)")?;
    Ok(Workspace {
        graph: graph(&metadata, root),
        packages: packages(&metadata)?,
    })
}

fn graph(metadata: &Metadata, root: &Path) -> Graph {
    let members = metadata.workspace_packages();
    let one = |package: &cargo_metadata::Package| {
        let folder = package
            .manifest_path
            .parent()
            .map(|folder| folder.as_std_path());
        let folder = folder
            .and_then(|folder| folder.strip_prefix(root).ok())
            .unwrap_or(Path::new(""));
        let ours = |tests: bool| {
            let kinds = package.dependencies.iter().filter(move |dependency| {
                (dependency.kind == DependencyKind::Development) == tests
                    && dependency.path.is_some()
            });
            kinds.map(|dependency| dependency.name.clone()).collect()
        };
        let folder = folder.to_string_lossy().into_owned();
        (
            package.name.to_string(),
            Member {
                folder,
                uses: ours(false),
                tests_use: ours(true),
            },
        )
    };
    members.into_iter().map(one).collect()
}

fn packages(metadata: &Metadata) -> Result<Vec<Package>> {
    let nodes = &metadata
        .resolve
        .as_ref()
        .context("cargo gave no resolved graph")?
        .nodes;
    let index: HashMap<&PackageId, usize> = nodes
        .iter()
        .enumerate()
        .map(|(at, node)| (&node.id, at))
        .collect();
    let by_id: HashMap<&PackageId, &cargo_metadata::Package> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, package))
        .collect();
    let one = |node: &cargo_metadata::Node| {
        let package = by_id
            .get(&node.id)
            .with_context(|| format!("cargo names no package {}", node.id))?;
        let linked = node.deps.iter().filter(|dependency| is_linked(dependency));
        Ok(Package {
            name: package.name.to_string(),
            version: package.version.to_string(),
            licence: package.license.clone(),
            origin: origin(package),
            links: linked
                .filter_map(|dependency| index.get(&dependency.pkg).copied())
                .collect(),
        })
    };
    nodes.iter().map(one).collect()
}

fn is_linked(dependency: &NodeDep) -> bool {
    dependency
        .dep_kinds
        .iter()
        .any(|kind| kind.kind == DependencyKind::Normal)
}

fn origin(package: &cargo_metadata::Package) -> Origin {
    match &package.source {
        None => Origin::Here,
        Some(source) if source.is_crates_io() => Origin::Registry,
        Some(source) => Origin::Elsewhere(source.repr.clone()),
    }
}
