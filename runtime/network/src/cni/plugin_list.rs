//! Runs the plugins of a list: ADD and CHECK in order, DEL in reverse, each with what the others found. Main type: [`Cni`]. An error
//! stops a list at once, as the specification has it; undoing is the caller's.

use std::{ffi::OsString, path::PathBuf};

use serde_json::{Map, Value};
use thiserror::Error;

use super::{
    CniVersion, ConfList, PluginError,
    conf_list::PluginConf,
    input,
    result::{self, ResultError},
    run_plugin::{self, Run, Verb},
};
use crate::deadlines::Deadlines;

/// A list that could not be run to its end.
#[derive(Debug, Error)]
pub enum CniError {
    /// A plugin failed.
    #[error("CNI network {network}")]
    Plugin {
        /// The list's name.
        network: String,
        /// What the plugin came to.
        #[source]
        source: Box<PluginError>,
    },
    /// A plugin's answer is no result.
    #[error("CNI network {network}: plugin {program}")]
    Answer {
        /// The list's name.
        network: String,
        /// The plugin's.
        program: String,
        /// What is wrong with it.
        #[source]
        source: ResultError,
    },
}

/// Runs plugins.
#[derive(Debug)]
pub(crate) struct Cni {
    pub(crate) bin_dirs: Vec<PathBuf>,
    pub(crate) deadlines: Deadlines,
}

/// A pod's end of a network.
#[derive(Debug)]
pub(crate) struct Attached<'a> {
    pub(crate) list: &'a ConfList,
    pub(crate) container_id: &'a str,
    /// Empty where it is gone.
    pub(crate) namespace: OsString,
    pub(crate) interface: &'a str,
    pub(crate) args: &'a str,
    pub(crate) capabilities: &'a Map<String, Value>,
    /// The whole list's.
    pub(crate) result: Option<&'a Value>,
}

impl Attached<'_> {
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("CNI_CONTAINERID", self.container_id.into()),
            ("CNI_NETNS", self.namespace.clone()),
            ("CNI_IFNAME", self.interface.into()),
            ("CNI_ARGS", self.args.into()),
        ]
    }
}

impl Cni {
    /// The result of the whole list.
    pub(crate) async fn add(&self, to: &Attached<'_>) -> Result<Value, CniError> {
        let mut result = None;
        for plugin in &to.list.plugins {
            let input = input::attachment(to.list, plugin, to.capabilities, result.as_ref());
            let environment = to.environment();
            let answer = self
                .run(to.list, plugin, Verb::Add, environment, &input)
                .await?;
            let read = result::parse(&answer, to.list.version);
            result = Some(read.map_err(|source| CniError::Answer {
                network: to.list.name.clone(),
                program: plugin.program.clone(),
                source,
            })?);
        }
        Ok(result.unwrap_or_default())
    }

    pub(crate) async fn del(&self, from: &Attached<'_>) -> Result<(), CniError> {
        // Before 0.4.0, plugins did not know of a result in DEL.
        let result = from
            .result
            .filter(|_| from.list.version >= CniVersion::V0_4_0);
        for plugin in from.list.plugins.iter().rev() {
            let input = input::attachment(from.list, plugin, from.capabilities, result);
            let environment = from.environment();
            self.run(from.list, plugin, Verb::Del, environment, &input)
                .await?;
        }
        Ok(())
    }

    /// Nothing where the list can't be checked.
    pub(crate) async fn check(&self, attached: &Attached<'_>) -> Result<(), CniError> {
        let list = attached.list;
        if list.disable_check || list.version < CniVersion::V0_4_0 || attached.result.is_none() {
            return Ok(());
        }
        for plugin in &list.plugins {
            let input = input::attachment(list, plugin, attached.capabilities, attached.result);
            let environment = attached.environment();
            self.run(list, plugin, Verb::Check, environment, &input)
                .await?;
        }
        Ok(())
    }

    /// Has the plugins forget what is not among `valid`, container ids with interface names. All of them are asked, whatever one
    /// says; the first error is told. Nothing where the list's version has no GC.
    pub(crate) async fn gc(
        &self,
        list: &ConfList,
        valid: &[(String, String)],
    ) -> Result<(), CniError> {
        if list.disable_gc || list.version < CniVersion::V1_1_0 {
            return Ok(());
        }
        let mut outcome = Ok(());
        for plugin in &list.plugins {
            let input = input::collection(list, plugin, valid);
            let run = self.run(list, plugin, Verb::Gc, Vec::new(), &input).await;
            outcome = outcome.and(run.map(|_nothing| ()));
        }
        outcome
    }

    /// Whether each program is there. A list of which one is missing can't be added to, and could not be deleted from after it.
    pub(crate) fn find_programs(&self, list: &ConfList) -> Result<(), CniError> {
        for plugin in &list.plugins {
            run_plugin::find(&plugin.program, &self.bin_dirs)
                .map_err(|source| failed(list, source))?;
        }
        Ok(())
    }

    /// Whether pods can be added: each program is there and, where the version has STATUS, says so.
    pub(crate) async fn status(&self, list: &ConfList) -> Result<(), CniError> {
        for plugin in &list.plugins {
            if list.version >= CniVersion::V1_1_0 {
                let input = input::status(list, plugin);
                self.run(list, plugin, Verb::Status, Vec::new(), &input)
                    .await?;
            } else {
                run_plugin::find(&plugin.program, &self.bin_dirs)
                    .map_err(|source| failed(list, source))?;
            }
        }
        Ok(())
    }

    async fn run(
        &self,
        list: &ConfList,
        plugin: &PluginConf,
        verb: Verb,
        environment: Vec<(&'static str, OsString)>,
        input: &Value,
    ) -> Result<Vec<u8>, CniError> {
        let limit = match verb {
            Verb::Status => self.deadlines.status,
            Verb::Add | Verb::Del | Verb::Check | Verb::Gc => self.deadlines.plugin,
        };
        let run = Run {
            program: &plugin.program,
            bin_dirs: &self.bin_dirs,
            verb,
            environment,
            input: input.to_string().into_bytes(),
            limit,
        };
        let ran = run_plugin::run(run).await;
        ran.map_err(|source| failed(list, source))
    }
}

fn failed(list: &ConfList, source: PluginError) -> CniError {
    CniError::Plugin {
        network: list.name.clone(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;
