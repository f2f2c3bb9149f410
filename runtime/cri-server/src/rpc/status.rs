//! Status: whether pods can run here, and what the handlers can do.

use std::{collections::BTreeMap, path::Path};

use cri::v1::{
    RuntimeCondition, RuntimeFeatures, RuntimeHandler, RuntimeHandlerFeatures, RuntimeStatus,
    StatusRequest, StatusResponse,
};
use tonic::Status;

use crate::{
    node::Node,
    settings::{HandlerKind, Settings},
    work,
};

const KVM: &str = "/dev/kvm";

pub(crate) async fn status(node: &Node, request: StatusRequest) -> Result<StatusResponse, Status> {
    let settings = node.settings.clone();
    let missing = work::blocking(move || missing(&settings)).await?;
    let network = node.network.condition().await;
    let info = if request.verbose {
        let config = serde_json::to_string(&node.settings)
            .map_err(|error| Status::internal(model::chain(&error)))?;
        BTreeMap::from([("config".to_owned(), config)])
    } else {
        BTreeMap::new()
    };
    let conditions = vec![
        runtime_ready(missing),
        RuntimeCondition {
            r#type: "NetworkReady".to_owned(),
            status: network.ready,
            reason: network.reason.to_owned(),
            message: network.message,
        },
    ];
    Ok(StatusResponse {
        status: Some(RuntimeStatus { conditions }),
        info,
        runtime_handlers: handlers(&node.settings),
        features: Some(RuntimeFeatures {
            supplemental_groups_policy: true,
            user_namespaces_host_network: false,
        }),
    })
}

/// The first thing without which no VM starts.
fn missing(settings: &Settings) -> Option<String> {
    let parts = &settings.parts;
    let mut files = vec![
        ("KVM", Path::new(KVM)),
        ("the monitor", &parts.monitor),
        ("the share server", &parts.share_server),
        ("the guest's kernel", &settings.guest.kernel),
        ("the guest's image", &settings.guest.image),
    ];
    if let Some(scratch) = &settings.scratch {
        files.push(("the template of scratch disks", &scratch.template));
    }
    files.into_iter().find_map(|(what, path)| {
        let error = std::fs::File::open(path).err()?;
        let path = path.display();
        Some(format!(
            "{what} at {path} can't be opened: {error}; see `cofferdam check`"
        ))
    })
}

fn runtime_ready(missing: Option<String>) -> RuntimeCondition {
    RuntimeCondition {
        r#type: "RuntimeReady".to_owned(),
        status: missing.is_none(),
        reason: missing
            .as_ref()
            .map_or_else(String::new, |_| "HostUnfit".to_owned()),
        message: missing.unwrap_or_default(),
    }
}

/// The default one has no name.
fn handlers(settings: &Settings) -> Vec<RuntimeHandler> {
    let named = settings.runtime_handlers.iter();
    let named = named.map(|(name, handler)| (name.as_str(), handler.kind()));
    let all = std::iter::once(("", HandlerKind::Vm)).chain(named);
    all.map(|(name, kind)| RuntimeHandler {
        name: name.to_owned(),
        features: Some(RuntimeHandlerFeatures {
            recursive_read_only_mounts: true,
            user_namespaces: kind == HandlerKind::Vm,
        }),
    })
    .collect()
}
