//! CreateContainer: decides all, brings the image's device to a VM, starts nothing.

use std::{io, sync::Arc};

use cri::v1::{ContainerConfig, CreateContainerRequest, CreateContainerResponse, NamespaceMode};
use images::{Image, Rootfs};
use model::ContainerId;
use pod::{ContainerPlan, MountPlan, OutputTo, Root, RootSegment, VolumeSource};
use tonic::Status;

use crate::{
    apparmor, failure, host_devices, host_mounts, ids,
    node::Node,
    note::{Created, Sandbox},
    pods::{ContainerReservation, Known},
    seccomp_profile, selinux,
    translate::{self, Devices, MountingPod, Planned, PlannedMount, PlannedSource, PodKind},
    work,
};

pub(crate) async fn create_container(
    node: &Arc<Node>,
    request: CreateContainerRequest,
) -> Result<CreateContainerResponse, Status> {
    let known = node.ready_pod(&request.pod_sandbox_id)?;
    let config = request.config;
    let mut config =
        config.ok_or_else(|| Status::invalid_argument("there is no container config"))?;
    let asked = config.image.as_ref().map(|image| image.image.clone());
    let asked = asked.filter(|name| !name.is_empty());
    let asked = asked.ok_or_else(|| Status::invalid_argument("the container has no image"))?;
    find_target(node, &known, &mut config)?;
    let profile = match translate::seccomp_file(&config)? {
        Some(path) => Some(seccomp_profile::read(path).await?),
        None => None,
    };
    let kind = known.sandbox.kind;
    let (image, rootfs) = open_image(node, asked, kind).await?;
    if kind == PodKind::Vm {
        let linux = config.linux.as_ref();
        let resources = linux.and_then(|linux| linux.resources.as_ref());
        translate::check_huge_pages(resources, &known.sandbox.huge_pages)?;
    }
    let defaults = node.settings.container;
    let sandbox = (&known.sandbox.config, kind);
    let devices = devices(node, &config, kind).await?;
    let planned = translate::container_plan(&config, sandbox, &image, defaults, profile, devices)?;
    if let (Some(label), PodKind::Host) = (translate::selinux_label(&config), kind) {
        selinux::check_absent(label).await?;
    }
    let policy = match translate::apparmor_profile(&config) {
        Some(profile) => apparmor::find(profile.to_owned(), kind).await?,
        None => None,
    };
    let mounts = mounts(node, &mut config, &known.sandbox).await?;
    let created = Created {
        config,
        image: translate::image_names(&image),
        stop_signal: planned.stop_signal,
    };
    let reserved = node.pods.reserve_container(known.pod.id(), created.name());
    let reserved = reserved.map_err(|taken| Status::already_exists(taken.to_string()))?;
    let made = (planned, mounts, rootfs, policy);
    let create = create(Arc::clone(&known), made, created, reserved);
    let undo_node = Arc::clone(node);
    let id = work::finish_or_undo(create, |id: ContainerId| async move {
        if let Err(error) = known.pod.remove_container(&id).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a container that nobody waited for stays"
            );
        }
        undo_node.pods.forget_container(&id);
    })
    .await?;
    Ok(CreateContainerResponse {
        container_id: id.to_string(),
    })
}

/// Makes the id of a target whole. It is of the same pod, and runs.
fn find_target(
    node: &Node,
    known: &Arc<Known>,
    config: &mut ContainerConfig,
) -> Result<(), Status> {
    let linux = config.linux.as_mut();
    let security = linux.and_then(|linux| linux.security_context.as_mut());
    let Some(options) = security
        .and_then(|security| security.namespace_options.as_mut())
        .filter(|options| options.pid() == NamespaceMode::Target)
    else {
        return Ok(());
    };
    let asked = &options.target_id;
    let found = node.pods.container(asked).map_err(|missing| {
        let text = format!("the target_id {asked:?} leads to no container: {missing}");
        Status::invalid_argument(text)
    })?;
    if found.known.pod.id() != known.pod.id() {
        let text = format!("the container {asked:?} is no target: it is in another pod");
        return Err(Status::invalid_argument(text));
    }
    if !found.container.runs() {
        let text = format!("the container {asked:?} is no target: it does not run");
        return Err(Status::failed_precondition(text));
    }
    options.target_id = found.id.to_string();
    Ok(())
}

/// The devices that the container asks for, told apart by what the host has there.
async fn devices(node: &Node, config: &ContainerConfig, kind: PodKind) -> Result<Devices, Status> {
    let asked = config.devices.iter();
    let paths: Vec<_> = asked.map(|device| device.host_path.clone()).collect();
    let settings = node.settings.vfio.clone();
    let look = move |path: &String| host_devices::look(path, &settings);
    let look = move || paths.iter().map(look).collect();
    let found: Result<_, Status> = work::blocking(look).await?;
    Ok(translate::devices(config, found?, kind)?)
}

/// What the container mounts. The names of images become those that never lead to another one.
async fn mounts(
    node: &Arc<Node>,
    config: &mut ContainerConfig,
    sandbox: &Sandbox,
) -> Result<Vec<MountPlan>, Status> {
    let kind = sandbox.kind;
    let scratch = node.settings.scratch.as_ref();
    let pod = MountingPod {
        sandbox,
        disk_template: scratch.map(|plan| plan.template.as_path()),
    };
    let of_host = config.mounts.iter().filter(|mount| mount.image.is_none());
    let paths: Vec<_> = of_host.map(|mount| mount.host_path.clone()).collect();
    let look = move || paths.iter().map(|path| host_mounts::look(path)).collect();
    let found: Result<_, Status> = work::blocking(look).await?;
    let mut plans = Vec::new();
    for PlannedMount { mount, source } in translate::mounts(config, found?, &pod)? {
        let source = match source {
            PlannedSource::Host(volume) => VolumeSource::Host(volume),
            PlannedSource::Image { image, sub_path } => {
                let (opened, rootfs) = open_image(node, image, kind).await?;
                let name = translate::image_names(&opened).reference;
                let asked = config
                    .mounts
                    .iter_mut()
                    .filter(|asked| asked.container_path == mount.destination);
                for image in asked.filter_map(|asked| asked.image.as_mut()) {
                    image.image.clone_from(&name);
                }
                let segments = segments(&rootfs).map_err(|error| unshared(&error))?;
                VolumeSource::Image {
                    segments,
                    sub_path,
                    hold: Box::new(rootfs),
                }
            }
        };
        plans.push(MountPlan { mount, source });
    }
    Ok(plans)
}

async fn open_image(node: &Node, asked: String, kind: PodKind) -> Result<(Image, Rootfs), Status> {
    let store = Arc::clone(&node.store);
    let opened = work::blocking(move || {
        let image = store.resolve(&asked)?;
        let rootfs = store.open_rootfs(&image)?;
        if kind == PodKind::Host {
            rootfs.check_for_host()?;
        }
        Ok((image, rootfs))
    });
    opened.await?.map_err(|error| failure::store(&error))
}

async fn create(
    known: Arc<Known>,
    (planned, mounts, rootfs, apparmor_policy): (Planned, Vec<MountPlan>, Rootfs, Option<Vec<u8>>),
    created: Created,
    reserved: ContainerReservation,
) -> Result<ContainerId, Status> {
    let id: ContainerId = ids::fresh()?;
    tracing::Span::current().record("container", id.as_str());
    let note = created
        .to_note()
        .map_err(|error| Status::internal(model::chain(&error)))?;
    let root = root(rootfs, planned.writable_bytes).map_err(|error| unshared(&error))?;
    let plan = ContainerPlan {
        id: id.clone(),
        note,
        spec: planned.spec,
        root,
        output: planned.log.map_or(OutputTo::Nowhere, OutputTo::Log),
        mounts,
        apparmor_policy,
    };
    let made = known.pod.create_container(plan).await;
    made.map_err(|error| failure::pod(&error))?;
    tracing::info!("the container has been created");
    reserved.keep(id.clone(), created);
    Ok(id)
}

/// The image's files go to the monitor; the image's lock stays while the container may use it.
fn root(rootfs: Rootfs, writable_bytes: u64) -> io::Result<Root> {
    Ok(Root {
        segments: segments(&rootfs)?,
        writable_bytes,
        hold: Box::new(rootfs),
    })
}

fn segments(rootfs: &Rootfs) -> io::Result<Vec<RootSegment>> {
    let segment = |segment: &images::Segment| {
        Ok(RootSegment {
            file: segment.file.try_clone()?,
            path: segment.path.clone(),
            length_bytes: segment.length_bytes,
        })
    };
    rootfs.segments.iter().map(segment).collect()
}

fn unshared(error: &io::Error) -> Status {
    Status::internal(format!("share the image's files: {error}"))
}
