//! `cofferdam inspect`: all about one pod, container or image. What is meant is settled by [`find`], a pure function; the answer is a
//! [`Document`], which is shown as text or as JSON.

mod document;

use anyhow::{Context, anyhow};
use cri::v1::{
    Container, ContainerStatusRequest, Image, ListImagesRequest, PodSandbox,
    PodSandboxStatusRequest,
};

use super::{Daemon, list, said};
use crate::{args::InspectArguments, output};
use document::Document;

/// Things that one word can mean, in a message.
const MOST_NAMED: usize = 6;

/// What there is on the node.
struct Everything {
    pods: Vec<PodSandbox>,
    containers: Vec<Container>,
    images: Vec<Image>,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Found<'a> {
    Pod(&'a PodSandbox),
    Container(&'a Container),
    Image(&'a Image),
}

pub(super) async fn inspect(
    daemon: &mut Daemon,
    arguments: &InspectArguments,
) -> anyhow::Result<()> {
    let images = daemon.image.list_images(ListImagesRequest::default());
    let everything = Everything {
        images: images
            .await
            .map_err(said("list the images"))?
            .into_inner()
            .images,
        pods: list::all_pods(daemon).await?,
        containers: list::all_containers(daemon).await?,
    };
    let document = match find(&everything, &arguments.what)? {
        Found::Pod(pod) => pod_document(daemon, &pod.id, &everything).await?,
        Found::Container(container) => {
            container_document(daemon, &container.id, &everything).await?
        }
        Found::Image(image) => document::image(image),
    };
    if arguments.output.json {
        return output::json(&document.json());
    }
    output::line(&document.text())?;
    Ok(())
}

async fn pod_document(
    daemon: &mut Daemon,
    id: &str,
    everything: &Everything,
) -> anyhow::Result<Document> {
    let request = PodSandboxStatusRequest {
        pod_sandbox_id: id.to_owned(),
        verbose: true,
    };
    let answer = daemon.runtime.pod_sandbox_status(request).await;
    let answer = answer.map_err(said("ask for the pod"))?.into_inner();
    let status = answer
        .status
        .context("the daemon said nothing of the pod")?;
    let info = answer.info.get("info").map_or("{}", String::as_str);
    let info = serde_json::from_str(info).context("read what the daemon said of the pod")?;
    let containers = everything.containers.iter();
    let own: Vec<&Container> = containers
        .filter(|container| container.pod_sandbox_id == id)
        .collect();
    Ok(document::pod(&status, &info, &own))
}

async fn container_document(
    daemon: &mut Daemon,
    id: &str,
    everything: &Everything,
) -> anyhow::Result<Document> {
    let request = ContainerStatusRequest {
        container_id: id.to_owned(),
        verbose: false,
    };
    let answer = daemon.runtime.container_status(request).await;
    let answer = answer.map_err(said("ask for the container"))?.into_inner();
    let status = answer
        .status
        .context("the daemon said nothing of the container")?;
    let listed = everything
        .containers
        .iter()
        .find(|container| container.id == id);
    let pod_id = listed.map_or("", |container| container.pod_sandbox_id.as_str());
    let pod = everything.pods.iter().find(|pod| pod.id == pod_id);
    Ok(document::container(&status, pod_id, pod))
}

/// By a start of an id, or, where none begins so, by a whole name.
fn find<'a>(everything: &'a Everything, what: &str) -> anyhow::Result<Found<'a>> {
    let all = || everything.all();
    let by_id: Vec<_> = all().filter(|found| found.id_begins(what)).collect();
    let found = if by_id.is_empty() {
        all().filter(|found| found.is_called(what)).collect()
    } else {
        by_id
    };
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(anyhow!(
            "there is no pod, container or image {what:?}: see `cofferdam pods -a`, `cofferdam ps -a` and `cofferdam images`"
        )),
        several => {
            let named = several.iter().take(MOST_NAMED).map(Found::described);
            let named: Vec<String> = named.collect();
            let more = several.len().saturating_sub(MOST_NAMED);
            let rest = if more > 0 {
                format!(", and {more} more")
            } else {
                String::new()
            };
            Err(anyhow!(
                "{what:?} can mean {}{rest}: say more of the id",
                named.join(", ")
            ))
        }
    }
}

impl Everything {
    fn all(&self) -> impl Iterator<Item = Found<'_>> {
        let pods = self.pods.iter().map(Found::Pod);
        let containers = self.containers.iter().map(Found::Container);
        pods.chain(containers)
            .chain(self.images.iter().map(Found::Image))
    }
}

impl Found<'_> {
    fn id(&self) -> &str {
        match self {
            Self::Pod(pod) => &pod.id,
            Self::Container(container) => &container.id,
            Self::Image(image) => &image.id,
        }
    }

    fn id_begins(&self, what: &str) -> bool {
        let id = self.id();
        let hex = id.split_once(':').map_or(id, |(_algorithm, hex)| hex);
        !what.is_empty() && (id.starts_with(what) || hex.starts_with(what))
    }

    fn is_called(&self, what: &str) -> bool {
        match self {
            Self::Pod(pod) => pod.metadata.as_ref().is_some_and(|is| is.name == what),
            Self::Container(container) => {
                let metadata = container.metadata.as_ref();
                metadata.is_some_and(|is| is.name == what)
            }
            Self::Image(image) => {
                let mut names = image.repo_tags.iter().chain(&image.repo_digests);
                names.any(|name| name == what)
            }
        }
    }

    fn described(&self) -> String {
        let kind = match self {
            Self::Pod(_) => "pod",
            Self::Container(_) => "container",
            Self::Image(_) => "image",
        };
        format!("{kind} {}", self.id())
    }
}

#[cfg(test)]
mod tests;
