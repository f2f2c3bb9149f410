//! A monitor's memory from /proc/PID/smaps: its guest's, and its own. Main function: [`of`].

/// Anonymous memory, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Anonymous {
    /// The guest's RAM, as far as it has been touched.
    pub(crate) guest: u64,
    /// All else.
    pub(crate) own: u64,
}

/// One mapping, or several alike that follow one another without a gap: advice about a part of a mapping divides it.
#[derive(Debug, Default)]
struct Run<'a> {
    end: u64,
    /// Permissions, offset, device, inode and name.
    what: &'a str,
    size: u64,
    anonymous: u64,
}

/// Divides a process's anonymous memory: the guest's RAM is in runs of at least `guest_kib` / 4.
pub(crate) fn of(smaps: &str, guest_kib: u64) -> Anonymous {
    let mut runs: Vec<Run> = Vec::new();
    for line in smaps.lines() {
        if let Some((start, end, what)) = range(line) {
            match runs.last_mut() {
                Some(run) if run.end == start && run.what == what => run.end = end,
                _ => runs.push(Run {
                    end,
                    what,
                    ..Run::default()
                }),
            }
        }
        let Some(run) = runs.last_mut() else { continue };
        run.size += field(line, "Size:").unwrap_or(0);
        run.anonymous += field(line, "Anonymous:").unwrap_or(0);
    }
    runs.iter().fold(Anonymous::default(), |sum, run| {
        if run.size < guest_kib / 4 {
            Anonymous {
                own: sum.own + run.anonymous,
                ..sum
            }
        } else {
            Anonymous {
                guest: sum.guest + run.anonymous,
                ..sum
            }
        }
    })
}

/// The first line about a mapping: its addresses, and what it is.
fn range(line: &str) -> Option<(u64, u64, &str)> {
    let (addresses, what) = line.split_once(' ')?;
    let (start, end) = addresses.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?, what))
}

fn field(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
