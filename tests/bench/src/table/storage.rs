//! The table of storage: a row per figure, ours, the host's, QEMU's with virtiofsd. Main function: [`render`].

use std::fmt::Write;

use anyhow::Result;
use harness::speed::Figure;

use super::ratio;
use crate::storage::{Measured, Sample, Topic};

const HEAD: &str = "\
\nFiles in a pod, beside the same files on the host and in QEMU's microvm with Debian's virtiofsd and the same kernel. Guests read large files with\n\
their own page cache empty and the host's full; the host reads from its full one. Nanoseconds for one of them, medians, of an emulated host in which\n\
guests are emulated once more: only the ratios say something, and those to the host say more of the emulation than hardware would.\n";

pub(super) fn render(text: &mut String, found: &Measured) -> Result<()> {
    text.push_str(HEAD);
    for topic in &found.topics {
        topic_rows(text, topic)?;
    }
    let cache = &found.page_cache;
    writeln!(
        text,
        "\n{:<48}{:>14}{:>14}{:>8}",
        "host's page cache, KiB", "3 pods", "1 pod", "ratio"
    )?;
    for (name, all, one) in [
        (
            "image's files, when its large file was read",
            cache.of_images_all,
            cache.of_images_one,
        ),
        (
            "all of it but shared memory",
            cache.of_host_all,
            cache.of_host_one,
        ),
    ] {
        let ratio = ratio(Some(all), Some(one));
        writeln!(text, "{name:<48}{all:>14}{one:>14}{ratio:>8}")?;
    }
    Ok(())
}

fn topic_rows(text: &mut String, topic: &Topic) -> Result<()> {
    writeln!(
        text,
        "\n{:<48}{:>14}{:>14}{:>8}{:>14}{:>8}",
        topic.name, "cofferdam", "host", "ratio", "qemu", "ratio"
    )?;
    for figure in &topic.ours.figures {
        let of = |figures: &[Figure]| {
            let mut same = figures.iter().filter(|other| other.name == figure.name);
            same.next().map(each)
        };
        let qemu = topic.qemu.as_ref().and_then(|qemu| of(&qemu.figures));
        let ours = Some(each(figure));
        row(text, &figure.name, ours, of(&topic.host), qemu)?;
    }
    let exits = |sample: &Sample| sample.kvm_exits;
    let (ours, qemu) = (exits(&topic.ours), topic.qemu.as_ref().map(exits));
    row(text, "KVM exits for all of it", Some(ours), None, qemu)
}

/// Nanoseconds for one.
fn each(figure: &Figure) -> u64 {
    figure.nanoseconds / figure.operations.max(1)
}

fn row(
    text: &mut String,
    name: &str,
    ours: Option<u64>,
    host: Option<u64>,
    qemu: Option<u64>,
) -> Result<()> {
    let shown = |figure: Option<u64>| figure.map_or("-".to_owned(), |figure| figure.to_string());
    writeln!(
        text,
        "{:<48}{:>14}{:>14}{:>8}{:>14}{:>8}",
        format!("  {name}"),
        shown(ours),
        shown(host),
        ratio(ours, host),
        shown(qemu),
        ratio(ours, qemu)
    )?;
    Ok(())
}
