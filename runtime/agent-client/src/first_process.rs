//! What the agent says of a container's first process, checked. Main type: [`FirstProcess`].

use agent::agent as wire;
use model::Identity;

/// Linux's NGROUPS_MAX (limits.h): no process is in more groups.
const MAX_GROUPS: usize = 65_536;

/// A container's first process, once it has been executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstProcess {
    /// In the guest's first PID namespace.
    pub pid: u32,
    /// Who it is; older agents don't say.
    pub user: Option<Identity>,
}

impl From<wire::StartContainerResponse> for FirstProcess {
    fn from(answer: wire::StartContainerResponse) -> Self {
        let user = answer.user.into_option();
        // What no kernel can have made is not passed on.
        let user = user.filter(|user| user.additional_gids.len() <= MAX_GROUPS);
        Self {
            pid: answer.pid,
            user: user.map(|user| Identity {
                uid: user.uid,
                gid: user.gid,
                groups: user.additional_gids,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(groups: usize) -> FirstProcess {
        FirstProcess::from(wire::StartContainerResponse {
            pid: 7,
            user: Some(wire::ProcessUser {
                uid: 1000,
                gid: 2000,
                additional_gids: vec![3000; groups],
                ..wire::ProcessUser::default()
            })
            .into(),
            ..wire::StartContainerResponse::default()
        })
    }

    #[test]
    fn user_is_what_the_agent_says() {
        let user = said(1).user.unwrap();
        let expect = Identity {
            uid: 1000,
            gid: 2000,
            groups: vec![3000],
        };
        assert_eq!((said(1).pid, user), (7, expect));
        let older = wire::StartContainerResponse::default();
        assert_eq!(FirstProcess::from(older).user, None);
    }

    #[test]
    fn user_in_more_groups_than_there_are_is_not_believed() {
        assert!(said(MAX_GROUPS).user.is_some());
        assert_eq!(said(MAX_GROUPS + 1).user, None);
    }
}
