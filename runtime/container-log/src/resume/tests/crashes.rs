//! A model of the world around a log: a guest that keeps what is not acknowledged, kubelet that
//! rotates, and a daemon that is killed between any two system calls or within one. Main type:
//! [`World`].

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Deed {
    /// The stream's next bytes arrive.
    Output(Stream, usize),
    Rotate,
    /// The stream's connection breaks and is opened again.
    Reconnect(Stream),
}

/// The daemon dies after so many calls, of which the last, if a write, writes so many bytes.
#[derive(Debug, Clone, Copy)]
struct Kill {
    calls: usize,
    bytes: usize,
    /// The same for the daemon that is started next.
    again: Option<(usize, usize)>,
    kubelet: AfterKill,
}

/// What kubelet does when its call for a new log got no answer.
#[derive(Debug, Clone, Copy)]
enum AfterKill {
    RenamesBack,
    /// It died as well.
    Nothing,
}

struct World {
    kubelet: Kubelet,
    log: LogFile,
    /// All that the container will say.
    input: [Vec<u8>; 2],
    /// The guest has no bytes before these any more.
    forgotten: [u64; 2],
    /// Up to where this daemon has been given the streams.
    sent: [u64; 2],
    kills: usize,
}

fn set(calls: usize, bytes: usize) {
    script::set(calls, bytes, Then::Killed);
}

impl World {
    fn new(input: [Vec<u8>; 2]) -> Self {
        let kubelet = Kubelet::new();
        Self {
            log: kubelet.create(),
            kubelet,
            input,
            forgotten: [0; 2],
            sent: [0; 2],
            kills: 0,
        }
    }

    fn run(&mut self, deed: Deed, kill: Option<Kill>) {
        if let Some(kill) = kill {
            set(kill.calls, kill.bytes);
        }
        let done = match deed {
            Deed::Output(stream, length) => self.output(stream, length),
            Deed::Rotate => {
                self.kubelet.rename();
                self.log.reopen()
            }
            Deed::Reconnect(stream) => {
                self.sent[index(stream)] = self.forgotten[index(stream)];
                Ok(())
            }
        };
        script::clear();
        let Err(error) = done else { return };
        let kill = kill.unwrap_or_else(|| panic!("{deed:?}: {error}"));
        if let (Deed::Rotate, AfterKill::RenamesBack) = (deed, kill.kubelet) {
            self.kubelet.rename_back();
        }
        self.restart(kill.again);
    }

    fn output(&mut self, stream: Stream, length: usize) -> Result<(), LogError> {
        let (of, offset) = (index(stream), self.sent[index(stream)]);
        let rest = &self.input[of][usize::try_from(offset).unwrap()..];
        let bytes = &rest[..length.min(rest.len())];
        let safe = self.log.append(stream, offset, bytes, at(0))?;
        self.sent[of] += u64::try_from(bytes.len()).unwrap();
        assert!(safe >= self.forgotten[of]);
        self.forgotten[of] = safe;
        Ok(())
    }

    /// The next daemon, which may be killed as well, and then the one after it.
    fn restart(&mut self, kill: Option<(usize, usize)>) {
        self.kills += 1;
        if let Some((calls, bytes)) = kill {
            set(calls, bytes);
        }
        let resumed = LogFile::resume(&self.kubelet.log(), &self.kubelet.position());
        script::clear();
        let (log, found) = match resumed {
            Ok(resumed) => resumed,
            Err(_) if kill.is_some() => {
                self.kills += 1;
                resume(&self.kubelet)
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, Found::Exact);
        self.log = log;
        for stream in [Stdout, Stderr] {
            let of = index(stream);
            let opened = self.log.acknowledged(stream).unwrap();
            // The guest refuses an offset that it forgot, or that it has not come to.
            assert!(opened >= self.forgotten[of], "{stream} is repeated");
            let length = u64::try_from(self.input[of].len()).unwrap();
            assert!(opened <= length, "{stream} is invented");
            self.forgotten[of] = opened;
            self.sent[of] = opened;
        }
    }

    /// The rest arrives and the stream ends. False if the daemon is killed meanwhile.
    fn finish(&mut self, stream: Stream, kill: Option<Kill>) -> bool {
        let of = index(stream);
        let length = u64::try_from(self.input[of].len()).unwrap();
        while self.sent[of] < length {
            self.run(Deed::Output(stream, 40_000), None);
        }
        if let Some(kill) = kill {
            set(kill.calls, kill.bytes);
        }
        let finished = self.log.finish(stream, at(0));
        script::clear();
        if finished.is_err() {
            self.restart(kill.unwrap().again);
            return false;
        }
        assert_eq!(self.log.acknowledged(stream), Some(length));
        true
    }

    /// Everything arrives and both streams end, each after one more kill or none; then the logs have
    /// it all. Says how many daemons were killed.
    fn end(mut self, kill: Option<Kill>) -> usize {
        for stream in [Stdout, Stderr] {
            let mut kill = kill;
            while !self.finish(stream, kill.take()) {}
        }
        let [stdout, stderr] = self.kubelet.streams();
        assert!(stdout == self.input[0], "stdout differs");
        assert!(stderr == self.input[1], "stderr differs");
        self.kills
    }
}

/// Lines of all kinds, short and long, and a rest without a newline.
fn sample() -> [Vec<u8>; 2] {
    let long = [vec![b'x'; 17_000], b"\n".to_vec()].concat();
    let stdout = [&b"one\n\n\r\n\0two\xff\n"[..], &long, b"three\nfour\nrest"].concat();
    [stdout, b"error\n\nhalf".to_vec()]
}

/// Where a write may stop: nowhere, in the head, around its end, in the text, in the next line.
const BYTES: [usize; 8] = [0, 1, 39, 40, 41, 43, 90, usize::MAX];

/// Each deed dies at each of its calls, with the next daemon well; and where that is before, within
/// or behind a write, with the next one dying at each of its calls.
fn kills(deed: Option<&Deed>) -> Vec<Kill> {
    let well = (0..4).flat_map(|calls| BYTES.map(|bytes| (calls, bytes, None)));
    let ill = (0..4).flat_map(|calls| {
        let again = (0..6).map(move |again| (calls, Some((again, 0))));
        again.flat_map(|(calls, again)| [45, usize::MAX].map(|bytes| (calls, bytes, again)))
    });
    let kubelets = match deed {
        Some(Deed::Rotate) => &[AfterKill::RenamesBack, AfterKill::Nothing][..],
        _ => &[AfterKill::Nothing],
    };
    well.chain(ill)
        // Without a call there is no write to cut short.
        .filter(|(calls, bytes, _)| *calls > 0 || *bytes == usize::MAX)
        .flat_map(|(calls, bytes, again)| {
            kubelets.iter().map(move |kubelet| Kill {
                calls,
                bytes,
                again,
                kubelet: *kubelet,
            })
        })
        .collect()
}

#[test]
fn every_crash_point_is_exact() {
    let deeds = [
        Deed::Output(Stdout, 9),
        Deed::Output(Stderr, 8),
        Deed::Rotate,
        Deed::Output(Stdout, 18_000),
        Deed::Rotate,
        Deed::Output(Stdout, 10),
    ];
    let mut killed = 0;
    for place in 0..=deeds.len() {
        for kill in kills(deeds.get(place)) {
            let mut world = World::new(sample());
            for (number, deed) in deeds.iter().enumerate() {
                world.run(*deed, (number == place).then_some(kill));
            }
            killed += world.end((place == deeds.len()).then_some(kill));
        }
    }
    // Points behind a deed's last call kill nobody.
    assert!(killed > 400, "{killed}");
}

fn streams() -> impl Strategy<Value = [Vec<u8>; 2]> {
    let line = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..60),
        1 => (0..20_000usize).prop_map(|length| vec![b'y'; length]),
    ];
    let text = prop::collection::vec(line, 0..20).prop_map(|lines| lines.join(&b'\n'));
    [text.clone(), text]
}

fn kill() -> impl Strategy<Value = Kill> {
    let bytes = || prop_oneof![0..200usize, 0..20_000usize, Just(usize::MAX)];
    let again = prop::option::of((0..7usize, bytes()));
    let kubelet = prop_oneof![Just(AfterKill::RenamesBack), Just(AfterKill::Nothing)];
    (0..5usize, bytes(), again, kubelet).prop_map(|(calls, bytes, again, kubelet)| Kill {
        calls,
        bytes,
        again,
        kubelet,
    })
}

fn deed() -> impl Strategy<Value = Deed> {
    let stream = || prop_oneof![Just(Stdout), Just(Stderr)];
    prop_oneof![
        4 => (stream(), 0..200usize).prop_map(|(stream, length)| Deed::Output(stream, length)),
        2 => (stream(), 0..70_000usize).prop_map(|(stream, length)| Deed::Output(stream, length)),
        2 => Just(Deed::Rotate),
        1 => stream().prop_map(Deed::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_run_with_any_kills_is_exact(
        input in streams(),
        deeds in prop::collection::vec((deed(), prop::option::weighted(0.4, kill())), 0..25),
        last in prop::option::of(kill()),
    ) {
        let mut world = World::new(input);
        for (deed, kill) in deeds {
            world.run(deed, kill);
        }
        world.end(last);
    }
}
