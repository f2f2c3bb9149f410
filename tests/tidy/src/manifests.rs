//! Rule `one-version-table`: members take every dependency, their lints and their edition from the workspace,
//! and a folder is called as its crate.

#[cfg(test)]
mod tests;

use toml::{Table, Value};

use crate::Finding;
use crate::tree::SourceFile;
use crate::workspace::Graph;

const RULE: &str = "one-version-table";
const SECTIONS: [&str; 3] = ["dependencies", "build-dependencies", "dev-dependencies"];

/// Keys of `[package]` that the workspace decides.
const INHERITED: [&str; 3] = ["version", "edition", "license"];

/// `files` hold the text of the manifests, `graph` says where they are.
pub fn check(files: &[SourceFile], graph: &Graph) -> Vec<Finding> {
    graph
        .iter()
        .flat_map(|(name, member)| check_member(files, name, &member.folder))
        .collect()
}

fn check_member(files: &[SourceFile], name: &str, folder: &str) -> Vec<Finding> {
    let path = format!("{folder}/Cargo.toml");
    let mut findings = Vec::new();
    if folder.rsplit('/').next() != Some(name) {
        findings.push(Finding::new(
            &path,
            1,
            RULE,
            format!("call the folder as the crate: `{name}`"),
        ));
    }
    let Some(file) = files.iter().find(|file| file.path == path) else {
        findings.push(Finding::new(
            &path,
            1,
            RULE,
            "git ignores this manifest: track it",
        ));
        return findings;
    };
    match file.text.parse::<Table>() {
        Err(error) => findings.push(Finding::new(
            &path,
            1,
            RULE,
            format!("mend the manifest: {}", error.message()),
        )),
        Ok(manifest) => findings.extend(check_manifest(file, &manifest)),
    }
    findings
}

fn check_manifest(file: &SourceFile, manifest: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !is_inherited(manifest.get("lints")) {
        findings.push(Finding::new(
            &file.path,
            1,
            RULE,
            "take the lints of the workspace: `[lints] workspace = true`",
        ));
    }
    let package = manifest.get("package").and_then(Value::as_table);
    for key in INHERITED
        .into_iter()
        .filter(|key| !is_inherited(package.and_then(|package| package.get(*key))))
    {
        let advice = format!("take it from the workspace: `{key}.workspace = true`");
        findings.push(Finding::new(
            &file.path,
            line_with(&file.text, key),
            RULE,
            advice,
        ));
    }
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = std::iter::once(manifest).chain(
        targets
            .into_iter()
            .flatten()
            .filter_map(|(_, value)| value.as_table()),
    );
    for table in tables {
        findings.extend(
            SECTIONS
                .iter()
                .flat_map(|section| check_section(file, table.get(*section))),
        );
    }
    findings
}

fn check_section(file: &SourceFile, section: Option<&Value>) -> Vec<Finding> {
    let dependencies = section.and_then(Value::as_table).into_iter().flatten();
    dependencies
        .filter(|(_, value)| !is_inherited(Some(value)) || value.get("version").is_some())
        .map(|(name, _)| {
            let advice = format!(
                "`{name}.workspace = true`: versions and paths stand in the root's table only"
            );
            Finding::new(&file.path, line_with(&file.text, name), RULE, advice)
        })
        .collect()
}

fn is_inherited(value: Option<&Value>) -> bool {
    value
        .and_then(|value| value.get("workspace"))
        .and_then(Value::as_bool)
        == Some(true)
}

/// The line that starts with a key, or the manifest's first.
fn line_with(text: &str, key: &str) -> usize {
    let starts = |line: &str| line.trim_start().trim_start_matches('"').starts_with(key);
    text.lines().position(starts).map_or(1, |index| index + 1)
}
