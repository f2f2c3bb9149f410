//! What is done to a pod's network, in order. Main type: [`Operations`], which [`crate::Network`] calls on a task of its own for each
//! operation. One teardown serves the failed set-up, the removal, and the sweep after a crash alike.

use std::{collections::BTreeSet, net::IpAddr, num::NonZeroU8};

use model::{PodId, PodNetwork};

use crate::{
    attachment::{self, Attachment, Tap},
    cni::{Attached, Cni, CniError, ConfList, conf_dir, result},
    config::NetworkConfig,
    deadlines::Deadlines,
    error::NetworkError,
    namespace::Namespaces,
    network::Collected,
    record::{Joined, Record, Records},
    request::PodRequest,
    turns::Turns,
};

/// All that operations need.
#[derive(Debug)]
pub(crate) struct Operations {
    config: NetworkConfig,
    deadlines: Deadlines,
    namespaces: Namespaces,
    records: Records,
    cni: Cni,
    turns: Turns,
}

impl Operations {
    pub(crate) fn open(config: NetworkConfig, deadlines: Deadlines) -> Result<Self, NetworkError> {
        Ok(Self {
            namespaces: Namespaces::open(&config.run_dir, deadlines.namespace)?,
            records: Records::open(&config.state_dir)?,
            cni: Cni {
                bin_dirs: config.bin_dirs.clone(),
                deadlines,
            },
            turns: Turns::new(deadlines.turn),
            config,
            deadlines,
        })
    }

    pub(crate) async fn setup(&self, request: PodRequest) -> Result<Attachment, NetworkError> {
        let pod = request.pod.clone();
        let _turn = self.turns.take(&pod).await.map_err(|_late| self.busy())?;
        let record = self.begin(&request).await?;
        self.turns.own(&pod);
        match self.build(record, &request).await {
            Ok(attachment) => Ok(attachment),
            Err(cause) => match self.undo(&pod).await {
                Ok(()) => Err(cause),
                Err(source) => Err(NetworkError::Undo {
                    pod,
                    cause: Box::new(cause),
                    source: Box::new(source),
                }),
            },
        }
    }

    pub(crate) async fn teardown(&self, pod: &PodId) -> Result<(), NetworkError> {
        let _turn = self.turns.take(pod).await.map_err(|_late| self.busy())?;
        self.undo(pod).await
    }

    pub(crate) async fn check(&self, pod: &PodId) -> Result<(), NetworkError> {
        let _turn = self.turns.take(pod).await.map_err(|_late| self.busy())?;
        let record = self.record(pod).await?;
        for joined in &record.networks {
            let attached = self.attached(&record, joined);
            let checked = self.cni.check(&attached).await;
            checked.map_err(cni("check the pod's network"))?;
        }
        Ok(())
    }

    pub(crate) async fn ips(&self, pod: &PodId) -> Result<Vec<IpAddr>, NetworkError> {
        let record = self.record(pod).await?;
        match record.networks.first() {
            Some(Joined {
                interface,
                result: Some(result),
                ..
            }) => Ok(result::ips(result, interface)?),
            _ => Err(NetworkError::NotAttached { pod: pod.clone() }),
        }
    }

    pub(crate) async fn status(&self) -> Result<(), NetworkError> {
        for network in self.networks().await? {
            let status = self.cni.status(&network).await;
            status.map_err(cni("ask the CNI plugins whether they are ready"))?;
        }
        Ok(())
    }

    pub(crate) async fn gc(&self, valid: &BTreeSet<PodId>) -> Result<Collected, NetworkError> {
        let _turn = self.turns.take_all().await.map_err(|_late| self.busy())?;
        let mut collected = Collected::default();
        let known = self.known().await?;
        for pod in known {
            if valid.contains(&pod) || self.turns.is_owned(&pod) {
                continue;
            }
            match self.undo(&pod).await {
                Ok(()) => collected.removed.push(pod),
                Err(error) => collected.failed.push((pod, error)),
            }
        }
        // A node without a network has nothing to collect.
        for network in self.networks().await.unwrap_or_default() {
            let attachments = self.attachments(&network.name).await?;
            let asked = self.cni.gc(&network, &attachments).await;
            asked.map_err(cni("have the CNI plugins forget old pods"))?;
        }
        Ok(collected)
    }

    /// The record goes first: from here on, whatever happens, a teardown knows what to undo.
    async fn begin(&self, request: &PodRequest) -> Result<Record, NetworkError> {
        let args = request.cni_args()?;
        let networks = self.networks().await?;
        for network in &networks {
            let found = self.cni.find_programs(network);
            found.map_err(cni("add the pod to its network"))?;
        }
        let joined = networks.into_iter().enumerate().map(|(at, list)| Joined {
            interface: interface(at),
            list,
            capabilities: request.capabilities(at),
            result: None,
        });
        let record = Record::new(request.pod.clone(), args, joined.collect());
        let (records, begun) = (self.records.clone(), record.clone());
        let exists = blocking(move || {
            let exists = records.read(&begun.pod)?.is_some();
            if !exists {
                records.write(&begun)?;
            }
            Ok::<_, NetworkError>(exists)
        });
        if exists.await? {
            let pod = request.pod.clone();
            return Err(NetworkError::Exists { pod });
        }
        Ok(record)
    }

    async fn build(
        &self,
        mut record: Record,
        request: &PodRequest,
    ) -> Result<Attachment, NetworkError> {
        let pod = &request.pod;
        self.namespaces.create(pod).await?;
        for at in 0..record.networks.len() {
            let Some(joined) = record.networks.get(at) else {
                break;
            };
            let added = self.cni.add(&self.attached(&record, joined)).await;
            let result = added.map_err(cni("add the pod to its network"))?;
            if let Some(joined) = record.networks.get_mut(at) {
                joined.result = Some(result);
            }
            self.write(record.clone()).await?;
        }
        let ips = primary_ips(&record)?;
        let (network, taps) = match request.queues {
            Some(queues) => self.attach(pod, queues).await?,
            None => (PodNetwork::default(), Vec::new()),
        };
        Ok(Attachment {
            namespace: self.namespaces.path(pod),
            ips,
            network,
            taps,
        })
    }

    async fn attach(
        &self,
        pod: &PodId,
        queues: NonZeroU8,
    ) -> Result<(PodNetwork, Vec<Tap>), NetworkError> {
        let attach = move |handle| async move { attachment::attach(&handle, queues).await };
        let attached = self.namespaces.inside(pod, attach).await?;
        attached.map_err(|error| NetworkError::Attach(Box::new(error)))
    }

    /// Networks in reverse, then the namespace, then the record; each network that is left is no longer in the record, so that a
    /// teardown which stops half-way goes on where it stopped. On a full disk it would start over: a plugin deletes twice without harm
    /// (CNI specification, "DEL"), and a pod must be removable so that there is room again.
    async fn undo(&self, pod: &PodId) -> Result<(), NetworkError> {
        let (records, id) = (self.records.clone(), pod.clone());
        let record = blocking(move || records.read(&id)).await?;
        if let Some(mut record) = record {
            while let Some(joined) = record.networks.last() {
                let left = self.cni.del(&self.attached(&record, joined)).await;
                left.map_err(cni("remove the pod from its network"))?;
                record.networks.pop();
                self.write_or_say(record.clone()).await;
            }
        }
        let (records, namespaces, id) =
            (self.records.clone(), self.namespaces.clone(), pod.clone());
        let removed = blocking(move || {
            namespaces.remove(&id)?;
            records.remove(&id)?;
            Ok::<_, NetworkError>(())
        });
        removed.await?;
        self.turns.disown(pod);
        Ok(())
    }

    fn attached<'a>(&self, record: &'a Record, joined: &'a Joined) -> Attached<'a> {
        Attached {
            list: &joined.list,
            container_id: record.pod.as_str(),
            namespace: self.namespaces.for_plugin(&record.pod),
            interface: &joined.interface,
            args: &record.args,
            capabilities: &joined.capabilities,
            result: joined.result.as_ref(),
        }
    }

    async fn networks(&self) -> Result<Vec<ConfList>, NetworkError> {
        let folder = self.config.conf_dir.clone();
        let most = usize::from(self.config.max_networks.get());
        let found = blocking(move || conf_dir::read(&folder, most)).await?;
        for skipped in &found.skipped {
            tracing::debug!(file = %skipped.file, reason = %skipped.reason, "a CNI configuration is left out");
        }
        Ok(found.networks)
    }

    async fn record(&self, pod: &PodId) -> Result<Record, NetworkError> {
        let (records, id) = (self.records.clone(), pod.clone());
        let record = blocking(move || records.read(&id)).await?;
        record.ok_or_else(|| NetworkError::NotAttached { pod: pod.clone() })
    }

    async fn write(&self, record: Record) -> Result<(), NetworkError> {
        let records = self.records.clone();
        blocking(move || records.write(&record)).await
    }

    async fn write_or_say(&self, record: Record) {
        let pod = record.pod.clone();
        if let Err(error) = self.write(record).await {
            let error = model::chain(&error);
            tracing::warn!(%pod, error, "a network that was left stays in the pod's record");
        }
    }

    /// Every pod of which there is a record or a namespace.
    async fn known(&self) -> Result<BTreeSet<PodId>, NetworkError> {
        let (records, namespaces) = (self.records.clone(), self.namespaces.clone());
        let known = blocking(move || {
            let mut known: BTreeSet<PodId> = records.list()?.into_iter().collect();
            known.extend(namespaces.list()?);
            Ok::<_, NetworkError>(known)
        });
        known.await
    }

    /// Container ids and interface names in one network.
    async fn attachments(&self, network: &str) -> Result<Vec<(String, String)>, NetworkError> {
        let records = self.records.clone();
        let all = blocking(move || {
            let pods = records.list()?.into_iter();
            pods.map(|pod| records.read(&pod))
                .collect::<Result<Vec<_>, _>>()
        });
        let mut attachments = Vec::new();
        for record in all.await?.into_iter().flatten() {
            let id = record.pod.as_str();
            let joined = record.networks.into_iter();
            let joined = joined.filter(|joined| joined.list.name == network);
            attachments.extend(joined.map(|joined| (id.to_owned(), joined.interface)));
        }
        Ok(attachments)
    }

    fn busy(&self) -> NetworkError {
        NetworkError::Busy {
            limit: self.deadlines.turn,
        }
    }
}

/// File systems may make a thread wait: that is not for a thread of the runtime.
async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, NetworkError>
where
    T: Send + 'static,
    E: Into<NetworkError> + Send + 'static,
{
    let worked = tokio::task::spawn_blocking(work).await;
    worked
        .map_err(|_gone| NetworkError::Lost)?
        .map_err(Into::into)
}

fn cni(attempt: &'static str) -> impl FnOnce(CniError) -> NetworkError {
    move |source| NetworkError::Cni { attempt, source }
}

/// The pod's first interface is `eth0`, as Kubernetes has it; further ones are named as by Multus.
fn interface(at: usize) -> String {
    match at {
        0 => "eth0".to_owned(),
        at => format!("net{at}"),
    }
}

fn primary_ips(record: &Record) -> Result<Vec<IpAddr>, NetworkError> {
    let first = record.networks.first();
    let ips = match first {
        Some(Joined {
            interface,
            result: Some(result),
            ..
        }) => result::ips(result, interface)?,
        _ => Vec::new(),
    };
    if ips.is_empty() {
        let network = first.map(|joined| joined.list.name.clone());
        return Err(NetworkError::NoAddress {
            network: network.unwrap_or_default(),
        });
    }
    Ok(ips)
}
