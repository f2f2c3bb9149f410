//! What the lists leave out: each field of a filter by itself, and several, which must all hold.
//!
//! Main type: [`Member`], one of two pods that a test of another topic (`cri_network`) has anyway.

use anyhow::{Context, Result, ensure};
use cri::v1::{
    ContainerFilter, ContainerState, ContainerStateValue, ContainerStatsFilter,
    ListContainerStatsRequest, ListContainersRequest, ListPodSandboxRequest,
    ListPodSandboxStatsRequest, PodSandboxFilter, PodSandboxState, PodSandboxStateValue,
    PodSandboxStatsFilter,
};
use tonic::Status;

use crate::daemon::Daemon;

/// How much of an id people type.
const TYPED: usize = 13;

/// A pod and its one container, both labelled with the pod's name.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) sandbox: String,
    pub(crate) container: String,
    name: &'static str,
}

/// A filter of any list: an empty word and no state let everything through.
#[derive(Debug, Clone, Copy, Default)]
struct Filter<'a> {
    id: &'a str,
    sandbox: &'a str,
    app: &'a str,
    state: Option<i32>,
}

/// Two pods, called `one` and `two`.
pub(crate) fn start_two(daemon: &Daemon<'_>) -> Result<[Member; 2]> {
    Ok([Member::start(daemon, "one")?, Member::start(daemon, "two")?])
}

/// The lists of statistics have those that run.
pub(crate) fn check_while_both_run(daemon: &Daemon<'_>, members: &[Member; 2]) -> Result<()> {
    let [one, two] = members;
    let by = Filter::default();
    let id = &one.sandbox;
    for (filter, expect) in [
        (by, "one two"),
        (by.id(id), "one"),
        (by.app("one"), "one"),
        (by.id(id).app("one"), "one"),
        (by.id(id).app("two"), ""),
    ] {
        let listed = sandbox_stats(daemon, filter)?;
        let names = names(members, |member| &member.sandbox, &listed)?;
        ensure!(names == expect, "{filter:?}: {names}");
    }
    let id = &one.container;
    for (filter, expect) in [
        (by, "one two"),
        (by.id(id), "one"),
        (by.sandbox(&one.sandbox), "one"),
        (by.app("one"), "one"),
        (by.id(id).sandbox(&one.sandbox).app("one"), "one"),
        (by.id(id).sandbox(&two.sandbox), ""),
        (by.sandbox(&one.sandbox).app("two"), ""),
    ] {
        let listed = container_stats(daemon, filter)?;
        let names = names(members, |member| &member.container, &listed)?;
        ensure!(names == expect, "{filter:?}: {names}");
    }
    Ok(())
}

/// The lists have what runs and what has stopped.
pub(crate) fn check_when_one_has_stopped(daemon: &Daemon<'_>, members: &[Member; 2]) -> Result<()> {
    let [one, two] = members;
    let by = Filter::default();
    let (id, ready) = (&one.sandbox, PodSandboxState::SandboxReady);
    let not_ready = PodSandboxState::SandboxNotready;
    for (filter, expect) in [
        (by, "one two"),
        (by.id(id), "one"),
        (by.id(&id[..TYPED]), "one"),
        (by.app("one"), "one"),
        (by.state(ready), "two"),
        (by.state(not_ready), "one"),
        (by.id(id).app("one").state(not_ready), "one"),
        (by.id(id).app("one").state(ready), ""),
        (by.id(id).app("two"), ""),
    ] {
        let listed = sandboxes(daemon, filter)?;
        let names = names(members, |member| &member.sandbox, &listed)?;
        ensure!(names == expect, "{filter:?}: {names}");
    }
    let (id, sandbox) = (&one.container, &one.sandbox);
    let running = ContainerState::ContainerRunning;
    let exited = ContainerState::ContainerExited;
    for (filter, expect) in [
        (by, "one two"),
        (by.id(id), "one"),
        (by.id(&id[..TYPED]), "one"),
        (by.sandbox(sandbox), "one"),
        (by.sandbox(&sandbox[..TYPED]), "one"),
        (by.app("one"), "one"),
        (by.state(running), "two"),
        (by.state(exited), "one"),
        (by.id(id).sandbox(sandbox).app("one").state(exited), "one"),
        (by.sandbox(sandbox).state(running), ""),
        (by.sandbox(&two.sandbox).state(exited), ""),
        (by.id(id).app("two"), ""),
    ] {
        let listed = containers(daemon, filter)?;
        let names = names(members, |member| &member.container, &listed)?;
        ensure!(names == expect, "{filter:?}: {names}");
    }
    Ok(())
}

impl Member {
    fn start(daemon: &Daemon<'_>, name: &'static str) -> Result<Self> {
        let sandbox = daemon.run_sandbox(name)?;
        let mut config = daemon.script(name, "exec sleep 1000");
        config.labels = [("app".to_owned(), name.to_owned())].into();
        let container = daemon.create(&sandbox, config)?;
        daemon.start_container(&container)?;
        Ok(Self {
            sandbox,
            container,
            name,
        })
    }
}

impl<'a> Filter<'a> {
    fn id(self, id: &'a str) -> Self {
        Self { id, ..self }
    }

    fn sandbox(self, sandbox: &'a str) -> Self {
        Self { sandbox, ..self }
    }

    fn app(self, app: &'a str) -> Self {
        Self { app, ..self }
    }

    fn state(self, state: impl Into<i32>) -> Self {
        let state = Some(state.into());
        Self { state, ..self }
    }

    fn labels<Labels: FromIterator<(String, String)>>(self) -> Labels {
        let app = Some(self.app).filter(|app| !app.is_empty());
        let app = app.map(|app| ("app".to_owned(), app.to_owned()));
        app.into_iter().collect()
    }
}

/// Whose ids these are, in the order of `members`; each must be somebody's, and there once.
fn names(
    members: &[Member],
    id_of: impl Fn(&Member) -> &String,
    listed: &[String],
) -> Result<String> {
    let is_listed = |member: &&Member| listed.contains(id_of(member));
    let names = members.iter().filter(is_listed).map(|member| member.name);
    let names: Vec<_> = names.collect();
    ensure!(names.len() == listed.len(), "of nobody: {listed:?}");
    Ok(names.join(" "))
}

fn sandboxes(daemon: &Daemon<'_>, filter: Filter<'_>) -> Result<Vec<String>, Status> {
    let wanted = PodSandboxFilter {
        id: filter.id.to_owned(),
        state: filter.state.map(|state| PodSandboxStateValue { state }),
        label_selector: filter.labels(),
    };
    let request = ListPodSandboxRequest {
        filter: Some(wanted),
    };
    let answer = daemon.call(async |mut client| client.list_pod_sandbox(request).await);
    let items = answer?.items.into_iter();
    Ok(items.map(|sandbox| sandbox.id).collect())
}

fn containers(daemon: &Daemon<'_>, filter: Filter<'_>) -> Result<Vec<String>, Status> {
    let wanted = ContainerFilter {
        id: filter.id.to_owned(),
        state: filter.state.map(|state| ContainerStateValue { state }),
        pod_sandbox_id: filter.sandbox.to_owned(),
        label_selector: filter.labels(),
    };
    let request = ListContainersRequest {
        filter: Some(wanted),
    };
    let answer = daemon.call(async |mut client| client.list_containers(request).await);
    let containers = answer?.containers.into_iter();
    Ok(containers.map(|container| container.id).collect())
}

fn sandbox_stats(daemon: &Daemon<'_>, filter: Filter<'_>) -> Result<Vec<String>> {
    let wanted = PodSandboxStatsFilter {
        id: filter.id.to_owned(),
        label_selector: filter.labels(),
    };
    let request = ListPodSandboxStatsRequest {
        filter: Some(wanted),
    };
    let answer = daemon.call(async |mut client| client.list_pod_sandbox_stats(request).await);
    let ids = answer?.stats.into_iter().map(|stats| {
        let attributes = stats.attributes.context("a sandbox's attributes");
        attributes.map(|attributes| attributes.id)
    });
    ids.collect()
}

fn container_stats(daemon: &Daemon<'_>, filter: Filter<'_>) -> Result<Vec<String>> {
    let wanted = ContainerStatsFilter {
        id: filter.id.to_owned(),
        pod_sandbox_id: filter.sandbox.to_owned(),
        label_selector: filter.labels(),
    };
    let request = ListContainerStatsRequest {
        filter: Some(wanted),
    };
    let answer = daemon.call(async |mut client| client.list_container_stats(request).await);
    let ids = answer?.stats.into_iter().map(|stats| {
        let attributes = stats.attributes.context("a container's attributes");
        attributes.map(|attributes| attributes.id)
    });
    ids.collect()
}
