//! Work that a stack repeats: on a GPU it is recorded as a CUDA graph after a few times, then
//! replayed.

use std::io::Write;
use std::time::{Duration, Instant};

use tch::Device;

use crate::cuda::{self, Graph};

/// Work with a recording of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordedWork {
    /// An update.
    Update,
    /// An update whose losses and correct are added up.
    CountedUpdate,
    /// The next examples' losses and correct.
    Evaluation,
}

/// The state of a recording.
enum Recording {
    /// A launch per operation.
    Off,
    /// Warm-up runs left before capture: libtorch prepares some things at their first use.
    Waiting(u32),
    /// Recorded.
    Ready(Graph),
}

/// A stack's recordings, by [`RecordedWork`]. They share their memory: a stack does one thing at a
/// time.
pub(super) struct Recorded {
    device: Device,
    works: [Recording; 3],
    ahead: Ahead,
}

impl Recorded {
    pub(super) fn new(device: Device) -> Self {
        let works = [(); 3].map(|()| Recording::Off);
        Self { device, works, ahead: Ahead { given: 0, most: 8, since: Instant::now() } }
    }

    /// From now on the work reads or writes other memory. It is recorded anew if it can be.
    pub(super) fn renew(&mut self, work: RecordedWork, recordable: bool) {
        let wait = recordable && cuda::can_record(self.device);
        self.works[work as usize] = if wait { Recording::Waiting(3) } else { Recording::Off };
    }

    /// Does the work once more. `launch` launches it: for the host, or for a recording, which reads
    /// everything from the device.
    pub(super) fn run(&mut self, work: RecordedWork, mut launch: impl FnMut(By)) {
        // Nothing is lost where launching panics: a stack that did is not used again.
        match std::mem::replace(&mut self.works[work as usize], Recording::Off) {
            Recording::Ready(graph) => self.works[work as usize] = Recording::Ready(replayed(graph)),
            Recording::Waiting(0) => {
                let beside = self.works.iter().find_map(|recording| match recording {
                    Recording::Ready(graph) => Some(graph),
                    _ => None,
                });
                match Graph::record(beside, || launch(By::Recording)) {
                    Ok(graph) => self.works[work as usize] = Recording::Ready(replayed(graph)),
                    Err(error) => {
                        // If nobody reads stderr, the numbers are still the same.
                        let said = error.to_string();
                        let said = crate::visible::visible(&said);
                        let _ = writeln!(
                            std::io::stderr(),
                            "kelvin: no CUDA graph ({said}); training goes on without"
                        );
                        launch(By::Host);
                    }
                }
            }
            Recording::Waiting(times) => {
                self.works[work as usize] = Recording::Waiting(times - 1);
                launch(By::Host);
            }
            Recording::Off => launch(By::Host),
        }
        self.ahead.wait(self.device);
    }
}

/// Who launches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The host: what it launches runs.
    Host,
    /// A recording: what it launches is replayed later.
    Recording,
}

fn replayed(graph: Graph) -> Graph {
    if let Err(error) = graph.replay() {
        // As libtorch's own errors come.
        panic!("{error}");
    }
    graph
}

/// How far the host may run ahead of a GPU. An interruption waits for all work that was launched,
/// and images count as trained on when their update is launched.
struct Ahead {
    given: u32,
    most: u32,
    since: Instant,
}

impl Ahead {
    /// A wait takes some 50 µs.
    const SHORT: Duration = Duration::from_millis(25);
    const LONG: Duration = Duration::from_millis(100);

    fn wait(&mut self, device: Device) {
        self.given += 1;
        if device == Device::Cpu || self.given < self.most {
            return;
        }
        if let Err(error) = cuda::synchronize(device) {
            panic!("{error}");
        }
        let took = self.since.elapsed();
        self.most = match took {
            took if took < Self::SHORT => (self.most * 2).min(1024),
            took if took > Self::LONG => (self.most / 2).max(1),
            _ => self.most,
        };
        *self = Self { given: 0, most: self.most, since: Instant::now() };
    }
}
