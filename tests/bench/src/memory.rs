//! The memory of a monitor that is not its guest's, from /proc/PID/smaps. Main function: [`anonymous`].

/// Anonymous memory in KiB, without the mappings that are the guest's RAM: those of at least `guest_kib` / 4 in one piece.
pub(crate) fn anonymous(smaps: &str, guest_kib: u64) -> u64 {
    let field = |line: &str, name: &str| -> Option<u64> {
        line.strip_prefix(name)?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()
    };
    let (mut total, mut size) = (0, 0);
    for line in smaps.lines() {
        if let Some(kib) = field(line, "Size:") {
            size = kib;
        }
        if let Some(kib) = field(line, "Anonymous:")
            && size < guest_kib / 4
        {
            total += kib;
        }
    }
    total
}

#[cfg(test)]
mod tests;
