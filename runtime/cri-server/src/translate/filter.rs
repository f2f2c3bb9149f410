//! Which objects a list has: everything that is set in a filter must hold. Main functions: [`sandbox_matches`], [`container_matches`],
//! [`image_matches`]; for statistics [`sandbox_stats_match`], [`container_stats_match`].

use std::collections::BTreeMap;

use cri::v1::{
    Container, ContainerFilter, ContainerStatsFilter, Image, ImageFilter, PodSandbox,
    PodSandboxFilter, PodSandboxStatsFilter,
};

type Labels = BTreeMap<String, String>;

/// Whether a list of sandboxes has this one.
pub(crate) fn sandbox_matches(sandbox: &PodSandbox, filter: Option<&PodSandboxFilter>) -> bool {
    filter.is_none_or(|filter| {
        // Whole ids have one length, so the start of one is another only by being it.
        sandbox.id.starts_with(&filter.id)
            && filter
                .state
                .as_ref()
                .is_none_or(|state| state.state == sandbox.state)
            && has_labels(&sandbox.labels, &filter.label_selector)
    })
}

/// Whether a list of containers has this one.
pub(crate) fn container_matches(container: &Container, filter: Option<&ContainerFilter>) -> bool {
    filter.is_none_or(|filter| {
        container.id.starts_with(&filter.id)
            && container.pod_sandbox_id.starts_with(&filter.pod_sandbox_id)
            && filter
                .state
                .as_ref()
                .is_none_or(|state| state.state == container.state)
            && has_labels(&container.labels, &filter.label_selector)
    })
}

/// Whether a list of images has this one; `named` is the id of the image that the filter's name means, if there is one.
pub(crate) fn image_matches(
    image: &Image,
    filter: Option<&ImageFilter>,
    named: Option<&str>,
) -> bool {
    let wanted = filter.and_then(|filter| filter.image.as_ref());
    wanted.is_none_or(|wanted| wanted.image.is_empty() || named == Some(image.id.as_str()))
}

/// Whether a list of sandboxes' statistics has this one.
pub(crate) fn sandbox_stats_match(
    id: &str,
    labels: &Labels,
    filter: Option<&PodSandboxStatsFilter>,
) -> bool {
    filter.is_none_or(|filter| {
        id.starts_with(&filter.id) && has_labels(labels, &filter.label_selector)
    })
}

/// Whether a list of containers' statistics has this one, by its id and its sandbox's.
pub(crate) fn container_stats_match(
    (id, pod): (&str, &str),
    labels: &Labels,
    filter: Option<&ContainerStatsFilter>,
) -> bool {
    filter.is_none_or(|filter| {
        id.starts_with(&filter.id)
            && pod.starts_with(&filter.pod_sandbox_id)
            && has_labels(labels, &filter.label_selector)
    })
}

fn has_labels(labels: &Labels, selector: &Labels) -> bool {
    selector
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use cri::v1::{ContainerState, ContainerStateValue, PodSandboxState, PodSandboxStateValue};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let owned = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect()
    }

    #[test]
    fn sandbox_filter_is_an_and() {
        let sandbox = PodSandbox {
            id: "ab12".to_owned(),
            state: PodSandboxState::SandboxNotready.into(),
            labels: labels(&[("app", "web"), ("tier", "1")]),
            ..PodSandbox::default()
        };
        let check = |id: &str, state: Option<PodSandboxState>, selector: &[_], expect: bool| {
            let filter = PodSandboxFilter {
                id: id.to_owned(),
                state: state.map(|state| PodSandboxStateValue {
                    state: state.into(),
                }),
                label_selector: labels(selector),
            };
            assert_eq!(
                sandbox_matches(&sandbox, Some(&filter)),
                expect,
                "{filter:?}"
            );
        };
        let (ready, not_ready) = (
            PodSandboxState::SandboxReady,
            PodSandboxState::SandboxNotready,
        );
        assert!(sandbox_matches(&sandbox, None));
        check("", None, &[], true);
        check("ab12", Some(not_ready), &[("app", "web")], true);
        check("ab", None, &[], true);
        check("ab123", None, &[], false);
        check("ab12", Some(ready), &[], false);
        check("ab12", Some(not_ready), &[("app", "db")], false);
        check("", None, &[("app", "web"), ("other", "")], false);
    }

    #[test]
    fn container_filter_is_an_and() {
        let container = Container {
            id: "c1".to_owned(),
            pod_sandbox_id: "ab12".to_owned(),
            state: ContainerState::ContainerCreated.into(),
            labels: labels(&[("app", "web")]),
            ..Container::default()
        };
        let check = |id: &str, pod: &str, state: Option<ContainerState>, expect: bool| {
            let filter = ContainerFilter {
                id: id.to_owned(),
                pod_sandbox_id: pod.to_owned(),
                state: state.map(|state| ContainerStateValue {
                    state: state.into(),
                }),
                label_selector: labels(&[("app", "web")]),
            };
            let matches = container_matches(&container, Some(&filter));
            assert_eq!(matches, expect, "{filter:?}");
        };
        assert!(container_matches(&container, None));
        check("", "", None, true);
        check("c1", "ab12", Some(ContainerState::ContainerCreated), true);
        check("c1", "ab", None, true);
        check("c2", "", None, false);
        check("c1", "cd", None, false);
        check("c1", "", Some(ContainerState::ContainerRunning), false);
    }

    #[test]
    fn statistics_filters_are_ands() {
        let own = labels(&[("app", "web"), ("tier", "1")]);
        let check = |id: &str, pod: &str, selector: &[_], expect: bool| {
            let filter = ContainerStatsFilter {
                id: id.to_owned(),
                pod_sandbox_id: pod.to_owned(),
                label_selector: labels(selector),
            };
            let matches = container_stats_match(("c1", "ab12"), &own, Some(&filter));
            assert_eq!(matches, expect, "{filter:?}");
            let filter = PodSandboxStatsFilter {
                id: pod.to_owned(),
                label_selector: labels(selector),
            };
            let matches = sandbox_stats_match("ab12", &own, Some(&filter));
            assert_eq!(matches || id == "c2", expect || id == "c2", "{filter:?}");
        };
        assert!(container_stats_match(("c1", "ab12"), &own, None));
        assert!(sandbox_stats_match("ab12", &own, None));
        check("", "", &[], true);
        check("c1", "ab12", &[("app", "web")], true);
        check("c2", "", &[], false);
        check("", "cd", &[], false);
        check("", "", &[("app", "db")], false);
        check("", "", &[("other", "")], false);
    }

    #[test]
    fn image_filter_is_a_name_of_any_kind() {
        let image = Image {
            id: "sha256:1".to_owned(),
            ..Image::default()
        };
        let filter = |name: &str| ImageFilter {
            image: Some(cri::v1::ImageSpec {
                image: name.to_owned(),
                ..cri::v1::ImageSpec::default()
            }),
        };
        assert!(image_matches(&image, None, None));
        assert!(image_matches(&image, Some(&ImageFilter::default()), None));
        assert!(image_matches(&image, Some(&filter("")), None));
        assert!(image_matches(
            &image,
            Some(&filter("busybox")),
            Some("sha256:1")
        ));
        assert!(!image_matches(
            &image,
            Some(&filter("busybox")),
            Some("sha256:2")
        ));
        assert!(!image_matches(&image, Some(&filter("busybox")), None));
    }
}
