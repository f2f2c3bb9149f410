//! `storage-suite`: what files do, asked where they are. It is a static program, so that it runs in a container as on the host.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Result, bail};
use harness::durability;
use harness::escape::Escape;
use harness::lone_guest;
use harness::posix;
use harness::speed::{self, Cache};
use harness::swapped;

const HELP: &str = "\
usage: storage-suite posix FOLDER
       storage-suite escape|handles SHARE OTHER OUTSIDE
       storage-suite write TARGET PROGRESS
       storage-suite follow FOLDER LAST
       storage-suite measure folder|tree|device cold|warm TARGET
       storage-suite guest

posix   makes the same calls as anywhere else in FOLDER, which is empty before and after, and prints a line
        for each case with what came out.
escape  tries to get from the shared folders SHARE and OTHER to OUTSIDE, which is where the node has the
        neighbour of SHARE, and prints which way leads there.
handles tries only what takes CAP_DAC_READ_SEARCH.
write   writes blocks to TARGET and syncs them, until it is killed, and says in PROGRESS how far it is.
follow  reads all of FOLDER, which the kubelet replaces, after each event of inotify's, until its files say
        LAST, and fails when it has seen a file of two versions.
measure prints as JSON how long files take in the folder TARGET, which is empty before and after; or those of the
        tree TARGET, which are only read; or the beginning of the device TARGET, which loses what it holds. Large
        files are read from where they lie (cold), or from the page cache where they are in it (warm).
guest   is PID 1 of a guest that does that in a folder of its host.
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut output = BufWriter::new(io::stdout().lock());
    match words.as_slice() {
        ["-h" | "--help"] => output.write_all(HELP.as_bytes())?,
        ["posix", folder] => posix::run(Path::new(folder), &mut output)?,
        ["write", target, progress] => {
            durability::write(Path::new(target), Path::new(progress), u64::MAX)?;
        }
        ["follow", folder, last] => swapped::follow(Path::new(folder), last, &mut output)?,
        [what @ ("escape" | "handles"), share, other, outside] => {
            let escape = Escape {
                share: share.into(),
                other: other.into(),
                outside: outside.into(),
            };
            match *what {
                "escape" => escape.run(&mut output)?,
                _ => escape.run_handles(&mut output)?,
            }
        }
        ["measure", what, cache @ ("cold" | "warm"), target] => {
            let cache = match *cache {
                "cold" => Cache::Cold,
                _ => Cache::Warm,
            };
            let target = Path::new(target);
            let figures = match *what {
                "folder" => speed::folder(target, cache)?,
                "tree" => speed::tree(target, cache)?,
                "device" => speed::device(target, cache)?,
                _ => bail!("{what} can't be measured; see --help"),
            };
            serde_json::to_writer(&mut output, &figures)?;
        }
        ["guest"] => lone_guest::run()?,
        // What `posix` starts itself as.
        ["as", ..] => {
            let deed = arguments.get(1..).unwrap_or_default();
            writeln!(output, "{}", posix::run_as(deed)?)?;
        }
        _ => bail!("wrong arguments; see --help"),
    }
    Ok(output.flush()?)
}
