//! Errors of the crates below as gRPC says them: a code by the kind of fault, the whole chain as text. Main functions: [`pod`],
//! [`store`], [`pull`], [`streaming`].

use std::io;

use images::StoreError;
use model::Fault;
use pod::PodError;
use registry::{Kind, PullError};
use streaming::TooMany;
use tonic::{Code, Status};

/// What `pod` said.
pub(crate) fn pod(error: &PodError) -> Status {
    let code = match error {
        // A command or a user that the container does not have. To a client NOT_FOUND says that the container is gone.
        PodError::Agent { .. } if error.fault() == Fault::NotFound => Code::FailedPrecondition,
        _ => code(error.fault()),
    };
    Status::new(code, model::chain(error))
}

/// What the kernel said of a path on the host that a request names for something.
pub(crate) fn host_path(path: &str, of: &str, error: &io::Error) -> Status {
    let text = format!("look at host_path {path:?} of {of}: {error}");
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory => {
            Status::invalid_argument(text)
        }
        _ => Status::internal(text),
    }
}

/// What `images` said.
pub(crate) fn store(error: &StoreError) -> Status {
    let code = match error {
        StoreError::NotFound(_) => Code::NotFound,
        StoreError::Ambiguous { .. } => Code::InvalidArgument,
        StoreError::InUse(_) | StoreError::NotForHost { .. } => Code::FailedPrecondition,
        // Tried again later it may work, but not at once.
        StoreError::Busy { .. } => Code::Aborted,
        _ => Code::Internal,
    };
    Status::new(code, model::chain(error))
}

/// What kubelet looks for at the start of a message, to give the pod a reason of its own (k8s.io/cri-api, pkg/errors).
const REGISTRY_UNAVAILABLE: &str = "RegistryUnavailable";

/// What `registry` said. Codes as containerd has them.
pub(crate) fn pull(error: &PullError) -> Status {
    let why = model::chain(error);
    match error.kind() {
        Kind::Unavailable => Status::unknown(format!("{REGISTRY_UNAVAILABLE}: {why}")),
        Kind::NotFound => Status::not_found(why),
        Kind::Unauthorized => Status::unauthenticated(why),
        Kind::DiskFull => Status::resource_exhausted(why),
        Kind::Cancelled => Status::cancelled(why),
        Kind::BadContent => Status::failed_precondition(why),
        Kind::Other => Status::internal(why),
    }
}

/// Why a streaming call gets no URL.
pub(crate) fn streaming(error: TooMany) -> Status {
    Status::resource_exhausted(error.to_string())
}

/// What `devices` said, as text.
pub(crate) fn devices(fault: Fault, text: String) -> Status {
    let code = match fault {
        // Bindings of the node have to change, or its files; the same request may work then.
        Fault::HostUnfit => Code::FailedPrecondition,
        fault => code(fault),
    };
    Status::new(code, text)
}

/// UNAVAILABLE is not among them: to a client it says that the daemon is gone.
fn code(fault: Fault) -> Code {
    match fault {
        Fault::Invalid => Code::InvalidArgument,
        Fault::NotFound => Code::NotFound,
        Fault::Refused => Code::FailedPrecondition,
        Fault::DeadlineExceeded => Code::DeadlineExceeded,
        Fault::HostUnfit | Fault::GuestLost | Fault::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use registry::{Attempt, Problem};

    use super::*;

    #[test]
    fn faults_have_codes_and_texts_have_causes() {
        let check = |error: PodError, code: Code, text: &str| {
            let status = pod(&error);
            assert_eq!((status.code(), status.message()), (code, text));
        };
        check(
            PodError::NotRunning {
                pod: "p".to_owned(),
            },
            Code::FailedPrecondition,
            "pod p does not run",
        );
        check(
            PodError::NoContainer {
                container: "c".to_owned(),
            },
            Code::NotFound,
            "there is no container c in the pod",
        );
        check(
            PodError::TornDown,
            Code::Internal,
            "the pod has been torn down",
        );
        let why = std::io::Error::other("disk full");
        check(
            PodError::Console(why),
            Code::Internal,
            "make the console's file in the pod's run folder: disk full",
        );
        let status = store(&StoreError::NotFound("busybox".to_owned()));
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains("busybox"));
    }
    #[test]
    fn pulls_fail_with_the_codes_that_clients_know() {
        let fetch = |problem: Problem| PullError::Fetch {
            what: "the manifest".to_owned(),
            attempts: vec![Attempt {
                host: "r.example".to_owned(),
                problem,
            }],
        };
        let status = |status: u16| Problem::Status {
            status,
            said: Default::default(),
        };
        let full = StoreError::Io {
            attempt: "write",
            path: "/blob".into(),
            source: std::io::ErrorKind::StorageFull.into(),
        };
        let check = |error: PullError, code: Code, start: &str| {
            let status = pull(&error);
            assert_eq!(status.code(), code, "{status}");
            assert!(status.message().starts_with(start), "{status}");
        };
        let off = Problem::Unreachable("refused".to_owned());
        let text = "RegistryUnavailable: fetch the manifest: r.example: refused";
        check(fetch(off), Code::Unknown, text);
        check(fetch(status(503)), Code::Unknown, "RegistryUnavailable: ");
        check(fetch(status(400)), Code::Internal, "fetch the manifest");
        let missing = Problem::NotFound(Default::default());
        check(fetch(missing), Code::NotFound, "fetch the manifest");
        let forged = Problem::Content("another digest".to_owned());
        check(fetch(forged), Code::FailedPrecondition, "fetch");
        check(PullError::Credential, Code::Unauthenticated, "the cred");
        let full = PullError::from(full);
        check(full, Code::ResourceExhausted, "the disk of the image store");
        check(PullError::Cancelled, Code::Cancelled, "the pull");
    }
}
