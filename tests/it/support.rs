//! Running the real binary in a folder of its own.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Longer than anything here takes on a busy machine: whoever waits this long has hung.
pub const DEADLINE: Duration = Duration::from_secs(240);

/// With KELVIN_SOAK, sweeps are longer.
fn deadline() -> Duration {
    if std::env::var_os("KELVIN_SOAK").is_some() { 15 * DEADLINE } else { DEADLINE }
}

/// Says something that is seen although the test passes.
pub fn say(text: &str) {
    // Not `eprintln!`, which the test harness keeps to itself.
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Which of these programs are nowhere on the path.
pub fn missing<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    let found = |name: &str| {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&folders).any(|folder| folder.join(name).is_file())
    };
    programs.iter().copied().filter(|name| !found(name)).collect()
}

/// Runs a test of this program in a process of its own, and returns what it printed: it may die, or
/// use much memory. Alone the test does nothing: see [`is_asked_for`].
pub fn in_own_process(test: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ASKED_FOR, test)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {said}", output.status);
    said
}

/// Whether this is the process that [`in_own_process`] made for this test.
pub fn is_asked_for(test: &str) -> bool {
    std::env::var_os(ASKED_FOR).is_some_and(|asked| asked == test)
}

const ASKED_FOR: &str = "KELVIN_TEST_ASKED_FOR";

/// The name under which [`Lab::script`] saves and runs a script.
pub const SCRIPT: &str = "script.rhai";

/// The checkout whose tests run. Cargo names it as it starts them; what was known when they were
/// compiled can be another one, which shared this one's build folder.
pub fn checkout() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("tests are run by cargo").into()
}

/// The program under test; see [`checkout`].
pub fn program() -> PathBuf {
    std::env::var_os("CARGO_BIN_EXE_kelvin").expect("tests are run by cargo").into()
}

/// The checkout's files that match.
pub fn files(pattern: &str) -> glob::Paths {
    glob::glob(checkout().join(pattern).to_str().unwrap()).unwrap()
}

/// A temporary folder that a script runs in, and that is also its home.
pub struct Lab {
    folder: tempfile::TempDir,
    /// What the program writes; outside of the folder, so that this holds nothing but its results.
    output: tempfile::TempDir,
    /// Variables that the program sees.
    variables: Vec<(&'static str, OsString)>,
    /// Variables that it does not see.
    hidden: Vec<&'static str>,
}

impl Lab {
    pub fn new() -> Self {
        let folder = || tempfile::tempdir().unwrap();
        Self { folder: folder(), output: folder(), variables: Vec::new(), hidden: Vec::new() }
    }

    /// Hides a variable that [`Lab::kelvin`] sets.
    pub fn unset(&mut self, name: &'static str) {
        self.hidden.push(name);
    }

    /// Lets the program see a variable.
    pub fn set(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.variables.push((name, value.into()));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The program, with nothing of the tester's own surroundings that could change what it does.
    pub fn kelvin(&self) -> Command {
        let mut command = Command::new(crate::support::program());
        command
            .current_dir(self.folder.path())
            .env("HOME", self.output.path())
            .env("XDG_DATA_HOME", self.output.path().join("share"))
            .env("NO_COLOR", "1")
            // Else what is longer than a screen would wait for somebody.
            .env("PAGER", "cat")
            .env_remove("KELVIN_DATA")
            .env_remove("XDG_CONFIG_HOME")
            .envs(self.variables.iter().cloned());
        self.hidden.iter().for_each(|name| {
            command.env_remove(name);
        });
        command
    }

    /// Runs the program to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        self.start(arguments).end()
    }

    /// Runs a script to its end.
    pub fn script(&self, text: &str) -> Run {
        self.write(SCRIPT, text);
        self.run([SCRIPT])
    }

    /// Starts the program. Its output goes to files: not a terminal, and nothing to be emptied
    /// meanwhile.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Started {
        let output = tempfile::tempdir_in(self.output.path()).unwrap().keep();
        // Until it has its own memory the new process has this one's, whose peak would count as
        // its.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let child = self
            .kelvin()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(output.join("stdout")).unwrap())
            .stderr(File::create(output.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Started { child, output, started: Instant::now() }
    }

    /// Every file under a folder of this name, wherever it lies, sorted.
    pub fn files_under(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.iter().any(|part| part == OsStr::new(folder)) {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// The files under `metrics/`, with what they hold.
    pub fn metrics(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.files_under("metrics").into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

/// The program while it runs.
pub struct Started {
    child: Child,
    output: PathBuf,
    started: Instant,
}

/// How the program ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub time: Duration,
    /// Time of the cores, which does not depend on who else uses them.
    pub cpu: Duration,
    /// The most memory that it ever held, in bytes.
    pub peak: u64,
}

impl Started {
    /// Waits until this text is on standard error.
    pub fn wait_for(&self, text: &str) {
        let written = || fs::read_to_string(self.output.join("stderr")).unwrap();
        wait_until(&format!("`{text}` on standard error"), || written().contains(text));
    }

    /// Waits until the program's cores have worked so many seconds since now.
    pub fn wait_for_work(&self, seconds: u64) {
        let ticks = || -> u64 {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
            // After the name: the state is the third field of the file, the user's time the
            // fourteenth.
            let fields = stat.rsplit(')').next().unwrap().split_whitespace();
            fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
        };
        // SAFETY: the call only reads a number of the system.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
        let begin = ticks();
        wait_until("the program's work", || ticks() - begin >= seconds * per_second);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is our child and was not waited for yet, so the id is still its own.
        let sent = unsafe { libc::kill(self.child.id() as i32, signal) };
        assert_eq!(sent, 0);
    }

    /// Waits for the end.
    pub fn end(self) -> Run {
        let Self { child, output, started } = self;
        let mut status = 0;
        // SAFETY: all zeros is a valid rusage.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // wait4 and not `Child::wait`, because it also tells how much memory was used.
        wait_until("the end of the program", || {
            // SAFETY: both pointers are to variables that outlive the call.
            let ended = unsafe { libc::wait4(child.id() as i32, &mut status, libc::WNOHANG, &mut usage) };
            assert!(ended >= 0, "wait4: {}", std::io::Error::last_os_error());
            ended > 0
        });
        let seconds = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
        Run {
            code: ExitStatus::from_raw(status).code(),
            stdout: fs::read_to_string(output.join("stdout")).unwrap(),
            stderr: fs::read_to_string(output.join("stderr")).unwrap(),
            time: started.elapsed(),
            cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
            peak: usage.ru_maxrss as u64 * 1024,
        }
    }
}

/// Fails where something took longer than it may on a free machine. Where others use the cores it
/// may take as much longer as they slow down a computation.
pub fn assert_soon(what: &str, took: Duration, limit: Duration) {
    if took >= limit {
        let slowdown = slowdown();
        assert!(
            took < limit.mul_f64(slowdown),
            "{what}: {took:?}, expected less than {limit:?} on a machine slowed down {slowdown:.1} times"
        );
    }
}

/// How much longer than alone a computation on all cores takes now: at least 1.
fn slowdown() -> f64 {
    // Nanoseconds that the calling thread has computed; none where the kernel does not count.
    let computed = || -> Option<f64> {
        let counts = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        counts.split_whitespace().next()?.parse().ok()
    };
    let spin = || {
        let (started, before) = (Instant::now(), computed()?);
        while started.elapsed() < Duration::from_millis(300) {}
        Some(started.elapsed().as_nanos() as f64 / (computed()? - before))
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let found: Vec<Option<f64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(spin)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    found.into_iter().flatten().fold(1.0, f64::max)
}

/// Waits until something holds, or fails the test.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < deadline(), "waited {:?} for {what}", deadline());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A whole Parquet file; a torn one fails the test.
pub fn read_parquet(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

/// A column of texts; nulls are empty.
pub fn texts(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
    let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8).unwrap();
    let column = column.as_string::<i32>();
    (0..column.len())
        .map(|row| if column.is_null(row) { String::new() } else { column.value(row).to_owned() })
        .collect()
}
