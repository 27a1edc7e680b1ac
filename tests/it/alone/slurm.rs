//! Sweeps on a real Slurm of four nodes on this host, and shares of a sweep for any other
//! scheduler.
//!
//! Whatever happens to the tasks, the result is the oracle: the rows and the hashes of the final
//! weights of an undisturbed sweep on this machine. Tests that need Slurm pass with a message where
//! it is not installed; the longest run only where KELVIN_SOAK is set.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::{Lab, Run, missing, read_parquet, say, texts};
use crate::sweeps::metrics;

/// Longer than a lost node takes to be noticed, and its tasks to start again.
const PATIENCE: Duration = Duration::from_secs(240);

/// Whether there is time for everything.
fn soaking() -> bool {
    std::env::var_os("KELVIN_SOAK").is_some()
}

/// Whether a long test is to run.
fn soak(test: &str) -> bool {
    if !soaking() {
        say(&format!("skipped: {test}, which takes minutes; `make soak` runs it"));
    }
    soaking()
}

/// Waits until something holds, looking a few times a second.
fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn kill(pid: i32, signal: i32) {
    // SAFETY: kill(2) takes any numbers. A process that has ended meanwhile is no error here.
    unsafe { libc::kill(pid, signal) };
}

/// A Slurm of its own: a controller and four nodes, n1 to n4, until it is dropped.
struct Cluster {
    folder: tempfile::TempDir,
    munged: Child,
    controller: Option<Child>,
    nodes: BTreeMap<String, Child>,
}

impl Cluster {
    /// Starts one, or says why there is none.
    fn start() -> Option<Self> {
        let missing = missing(&["munged", "slurmctld", "slurmd", "sbatch"]);
        // SAFETY: it only reads.
        let root = unsafe { libc::geteuid() } == 0;
        if !missing.is_empty() || !root {
            let why = if root {
                format!("{} not found", missing.join(", "))
            } else {
                "only root can start it".to_owned()
            };
            say(&format!(
                "skipped: a test on Slurm, {why}; as root: apt-get install --no-install-recommends slurmctld slurmd \
                 slurm-client munge"
            ));
            return None;
        }
        Some(Self::start_installed())
    }

    fn start_installed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for name in ["munge", "controller", "spool-n1", "spool-n2", "spool-n3", "spool-n4"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        // munged wants its folder to be nobody else's to write, and to be entered by all.
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        };
        mode(dir, 0o755);
        let key = dir.join("munge/key");
        fs::write(&key, uuid::Uuid::new_v4().as_bytes().repeat(8)).unwrap();
        mode(&key, 0o600);
        let listeners: Vec<TcpListener> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|port| port.local_addr().unwrap().port()).collect();
        drop(listeners);
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim().split('.').next().unwrap().to_owned();
        let nodes: Vec<String> = (1..=4)
            .map(|n| {
                format!(
                    "NodeName=n{n} NodeHostname={host} NodeAddr=127.0.0.1 Port={} CPUs=2 State=UNKNOWN",
                    ports[n]
                )
            })
            .collect();
        let conf = include_str!("../../slurm/slurm.conf")
            .replace("@HOST@", &host)
            .replace("@DIR@", dir.to_str().unwrap())
            .replace("@CONTROLLER@", &ports[0].to_string())
            .replace("@NODES@", &nodes.join("\n"));
        fs::write(dir.join("slurm.conf"), conf).unwrap();
        let flag = |name: &str, file: &str| format!("--{name}={}", dir.join("munge").join(file).display());
        let munged = daemon(Command::new("munged").arg("-F").args([
            flag("key-file", "key"),
            flag("socket", "socket"),
            flag("pid-file", "pid"),
            flag("log-file", "log"),
            flag("seed-file", "seed"),
        ]));
        let mut cluster = Self { folder, munged, controller: None, nodes: BTreeMap::new() };
        wait("munged", || cluster.folder.path().join("munge/socket").exists());
        cluster.controller = Some(daemon(cluster.command("slurmctld").arg("-D")));
        for node in ["n1", "n2", "n3", "n4"] {
            cluster.start_node(node);
        }
        wait("four idle nodes", || {
            cluster.output("sinfo", &["-hN", "-o", "%t"]).matches("idle").count() == 4
        });
        cluster
    }

    fn start_node(&mut self, node: &str) {
        let daemon = daemon(self.command("slurmd").args(["-D", "-N", node]));
        self.nodes.insert(node.to_owned(), daemon);
    }

    fn conf(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("SLURM_CONF", self.conf());
        command
    }

    /// What a command of Slurm's prints.
    fn output(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.command(name).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A folder whose program knows this Slurm.
    fn lab(&self) -> Lab {
        let mut lab = Lab::new();
        lab.set("SLURM_CONF", self.conf());
        lab
    }

    /// Every task in the queue: its job, state and node.
    fn queue(&self) -> Vec<[String; 3]> {
        let squeue = self.command("squeue").args(["-h", "-r", "-o", "%i|%T|%N"]).output().unwrap();
        // An empty queue means something.
        assert!(squeue.status.success(), "{}", String::from_utf8_lossy(&squeue.stderr));
        String::from_utf8_lossy(&squeue.stdout)
            .lines()
            .filter_map(|line| line.split('|').map(str::to_owned).collect::<Vec<_>>().try_into().ok())
            .collect()
    }

    /// The tasks that run: job and node.
    fn running(&self) -> Vec<(String, String)> {
        let running = self.queue().into_iter().filter(|[_, state, _]| state == "RUNNING");
        running.map(|[job, _, node]| (job, node)).collect()
    }

    /// Waits until nothing is queued.
    fn drain(&self) {
        wait("an empty queue", || self.queue().is_empty());
    }

    /// The processes of this cluster's jobs whose environment holds this, too: the workers.
    fn processes(&self, variable: &str) -> Vec<i32> {
        let own = format!("SLURM_CONF={}", self.conf().display());
        process_ids()
            .into_iter()
            .filter(|pid| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                let has =
                    |wanted: &str| environment.split(|&byte| byte == 0).any(|one| one == wanted.as_bytes());
                has(&own) && has(variable)
            })
            .collect()
    }

    /// The processes between the nodes' daemons and their jobs: they keep a log of this cluster
    /// open.
    fn stepds(&self) -> Vec<i32> {
        let logs = |pid: i32| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            files
                .filter_map(|file| fs::read_link(file.path()).ok())
                .any(|path| path.starts_with(self.folder.path()))
        };
        process_ids().into_iter().filter(|&pid| is_called(pid, "slurmstepd") && logs(pid)).collect()
    }

    /// Kills a node's daemon and what stands between it and its jobs, so that nobody knows of these
    /// any more. Returns the processes of the jobs.
    fn cut_off(&mut self, node: &str) -> Vec<i32> {
        let processes = self.processes(&format!("SLURMD_NODENAME={node}"));
        let mut daemon = self.nodes.remove(node).unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        let parents: BTreeSet<i32> = processes.iter().filter_map(|&pid| parent(pid)).collect();
        parents
            .into_iter()
            .filter(|&pid| is_called(pid, "slurmstepd"))
            .for_each(|pid| kill(pid, libc::SIGKILL));
        processes
    }

    /// Waits until the controller has noticed that a node is gone. That takes half a minute; in a
    /// hurry, it is told.
    fn notice(&self, node: &str) {
        if !soaking() {
            let node = format!("nodename={node}");
            self.output("scontrol", &["update", &node, "state=down", "reason=lost"]);
        }
        wait("a lost node", || self.output("sinfo", &["-h", "-n", node, "-o", "%t"]).contains("down"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.controller.iter_mut().chain(self.nodes.values_mut()) {
            // One that has ended already is fine.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        self.stepds().into_iter().for_each(|pid| kill(pid, libc::SIGKILL));
        self.processes("SLURM_CLUSTER_NAME=kelvin").into_iter().for_each(|pid| kill(pid, libc::SIGKILL));
        let _ = self.munged.kill();
        let _ = self.munged.wait();
    }
}

fn daemon(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn process_ids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn is_called(pid: i32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|called| called.trim() == name)
}

/// Whether a process has yet to take a signal, which one that is stopped does when it goes on.
fn is_pending(pid: i32, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
    u64::from_str_radix(pending.trim(), 16).unwrap() & (1 << (signal - 1)) != 0
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A name that shells and Slurm could take for something else.
const DIR: &str = "a sweep's 5% $HOME";

/// Eight runs, in tasks of two.
const SCRIPT: &str = r#"
let executor = "local";
if arg("slurm", false) {
    executor = slurm(#{ partition: "main", cpus: 1, time: "30:00", array_limit: 4, runs_per_task: 2 });
}
let rows = sweep(#{
    data: digits(), train: 400, test: 200, model: resnet(#{ width: 4 }), lr: [0.05, 0.1], batch: 8, seed: 1..=4,
    optimizer: sgd(#{ momentum: 0.9 }), epochs: arg("epochs", 60),
}).run(arg("dir"), #{ executor: executor, checkpoint_every: arg("every", 60.0) });
print(rows.len);
"#;

/// What a sweep gives.
#[derive(Clone, Debug, Default, PartialEq)]
struct Oracle {
    /// The frozen plan.
    plan: Vec<u8>,
    rows: Vec<Vec<String>>,
    /// Runs and the hashes of their final weights.
    weights: BTreeMap<String, String>,
}

impl Oracle {
    fn of(lab: &Lab, dir: &str) -> Self {
        let runs = read_parquet(&lab.path(dir).join("runs.parquet"));
        let weights = texts(&runs, "run_id").into_iter().zip(texts(&runs, "weights_sha256")).collect();
        let plan = fs::read(lab.path(dir).join("sweep.json")).unwrap();
        Self { plan, rows: metrics(lab, dir), weights }
    }
}

/// A sweep in a lab, with its oracle.
struct Sweep {
    lab: Lab,
    epochs: String,
    every: String,
    oracle: Oracle,
}

/// Epochs of [`SCRIPT`], long enough for things to happen to it.
const EPOCHS: u32 = 60;

impl Sweep {
    fn new(lab: Lab, script: &str, epochs: u32, every: f64) -> Self {
        lab.write("sweep.rhai", script);
        let (epochs, every) = (format!("epochs={epochs}"), format!("every={every:.3}"));
        Self { lab, epochs, every, oracle: Oracle::default() }
    }

    /// [`SCRIPT`], whose oracle is the same for every test.
    fn usual(lab: Lab, every: f64) -> Self {
        static ORACLE: OnceLock<Oracle> = OnceLock::new();
        let oracle = ORACLE.get_or_init(|| Self::new(Lab::new(), SCRIPT, EPOCHS, every).undisturbed());
        Self { oracle: oracle.clone(), ..Self::new(lab, SCRIPT, EPOCHS, every) }
    }

    /// Runs it on this machine.
    fn undisturbed(&self) -> Oracle {
        let run = self.run("oracle", false);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let oracle = Oracle::of(&self.lab, "oracle");
        assert!(oracle.weights.values().all(|hash| hash.len() == 64));
        oracle
    }

    fn run(&self, dir: &str, slurm: bool) -> Run {
        let (dir, slurm) = (format!("dir={dir}"), format!("slurm={slurm}"));
        self.lab.run(["sweep.rhai", "-D", &dir, "-D", &slurm, "-D", &self.epochs, "-D", &self.every])
    }

    /// Sends it, from its script.
    fn send(&self) {
        let run = self.run(DIR, true);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains("sent "), "{}", run.stderr);
    }

    /// Sends what is missing; returns what is said.
    fn submit(&self) -> String {
        let run = self.lab.run(["submit", DIR]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stdout
    }

    /// What the tasks wrote, all together.
    fn logs(&self) -> String {
        let logs = self.lab.files_under("submissions").into_iter();
        let logs = logs.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
        logs.map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    /// What a task of the first chunk wrote.
    fn log(&self, task: usize) -> String {
        let name = format!("0-{task}.log");
        let logs = self.lab.files_under("submissions").into_iter();
        let own = logs.filter(|path| path.file_name().is_some_and(|found| found == name.as_str()));
        own.map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    /// Runs that are published.
    fn published(&self) -> usize {
        let files = self.lab.files_under("metrics").into_iter();
        files.filter(|path| path.starts_with(self.lab.path(DIR))).count()
    }

    /// Attempts that have begun.
    fn attempts(&self) -> usize {
        let journals = self.lab.files_under("state").into_iter();
        journals
            .filter(|path| path.starts_with(self.lab.path(DIR)) && path.ends_with("journal.jsonl"))
            .count()
    }

    /// Checkpoints that are there.
    fn checkpoints(&self) -> usize {
        let files = self.lab.files_under("state").into_iter();
        let own = files.filter(|path| path.starts_with(self.lab.path(DIR)));
        own.filter(|path| path.extension().is_some_and(|ending| ending == "safetensors")).count()
    }

    /// One file per run, and the oracle's rows and weights; nothing is left to train.
    fn assert_oracle(&self) {
        let files = || {
            let files = self.lab.metrics().into_iter();
            files.filter(|(path, _)| path.starts_with(self.lab.path(DIR))).collect::<Vec<_>>()
        };
        let published = files();
        assert_eq!(published.len(), self.oracle.weights.len(), "{}", self.logs());
        let again = self.run(DIR, false);
        assert_eq!(again.code, Some(0), "{}", again.stderr);
        assert!(!again.stderr.contains("training"), "{}", again.stderr);
        assert!(files() == published);
        let found = Oracle::of(&self.lab, DIR);
        assert_eq!(found.weights, self.oracle.weights, "{}", self.logs());
        assert!(found.rows == self.oracle.rows, "other rows than the oracle's: {}", self.logs());
    }
}

#[test]
fn slurm_finishes_what_a_script_sends_and_nothing_is_sent_twice() {
    let Some(cluster) = Cluster::start() else { return };
    let sweep = Sweep::usual(cluster.lab(), 60.0);
    let sent = sweep.run(DIR, true);
    assert_eq!((sent.code, sent.stdout.as_str()), (Some(0), "0\n"), "{}", sent.stderr);
    assert!(sent.stderr.contains("sent 8 runs in 4 tasks (job 1); `kelvin ls"), "{}", sent.stderr);
    assert_eq!(cluster.queue().len(), 4);

    let again = sweep.submit();
    assert!(again.contains("nothing to send; 8 runs in Slurm's queue already"), "{again}");
    let again = sweep.run(DIR, true);
    assert!(again.stderr.contains("nothing to send"), "{}", again.stderr);
    assert_eq!(cluster.queue().len(), 4);

    wait("a run that trains", || {
        let listed = sweep.lab.run(["ls", DIR]);
        assert_eq!(listed.code, Some(0), "{}", listed.stderr);
        listed.stdout.contains("in Slurm: ") && listed.stdout.contains("job 1_0 running")
    });
    cluster.drain();
    assert!(sweep.submit().ends_with("nothing to send\n"));
    let logs = sweep.logs();
    assert_eq!(logs.matches("2 of 2 runs done").count(), 4, "{logs}");
    assert!(logs.contains(", job 1_3, process "), "{logs}");
    sweep.assert_oracle();
}

/// Waits for a task that has checkpoints on a node; returns the node.
fn node_at_work(cluster: &Cluster, sweep: &Sweep) -> String {
    wait("checkpoints", || sweep.checkpoints() >= 8);
    cluster.running()[0].1.clone()
}

#[test]
fn a_lost_node_s_tasks_go_on_elsewhere() {
    let Some(mut cluster) = Cluster::start() else { return };
    let sweep = Sweep::usual(cluster.lab(), 0.2);
    sweep.send();
    let node = node_at_work(&cluster, &sweep);
    let lost = cluster.cut_off(&node);
    assert!(!lost.is_empty());
    lost.iter().for_each(|&pid| kill(pid, libc::SIGKILL));
    cluster.notice(&node);
    cluster.drain();
    assert!(sweep.logs().contains(", restart 1, "), "{}", sweep.logs());
    sweep.assert_oracle();
}

#[test]
fn a_twin_that_lives_on_beside_the_restarted_task_does_no_harm() {
    let Some(mut cluster) = Cluster::start() else { return };
    let sweep = Sweep::usual(cluster.lab(), 0.2);
    sweep.send();
    let node = node_at_work(&cluster, &sweep);
    let twins = cluster.cut_off(&node);
    assert!(!twins.is_empty());
    // As on another host whose journal went silent: otherwise the restarted task waits for the
    // twin.
    twins.iter().for_each(|&pid| kill(pid, libc::SIGSTOP));
    let before = sweep.attempts();
    cluster.notice(&node);
    wait("the restarted tasks", || sweep.attempts() >= before + 2);
    twins.iter().for_each(|&pid| kill(pid, libc::SIGCONT));
    cluster.drain();
    wait("the end of the twins", || twins.iter().all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists()));
    assert!(sweep.logs().contains(", restart 1, "), "{}", sweep.logs());
    sweep.assert_oracle();
}

#[test]
fn usr1_early_twice_and_during_checkpoints_makes_tasks_go_on_later() {
    let Some(cluster) = Cluster::start() else { return };
    // A checkpoint after each epoch: any signal is likely to meet one.
    let mut sweep = Sweep::new(cluster.lab(), SCRIPT, 3 * EPOCHS, 0.0);
    sweep.oracle = Sweep::new(Lab::new(), SCRIPT, 3 * EPOCHS, 60.0).undisturbed();
    sweep.send();
    let signal = |job: &str| cluster.output("scancel", &["--signal=USR1", "--batch", job]);
    let runs = |job: &str| cluster.running().iter().any(|(running, _)| running == job);
    wait("the first task", || runs("1_0"));
    signal("1_0");
    // Held until the signals have come: on a slow machine they would find the tasks done.
    let mut held: BTreeMap<usize, i32> = BTreeMap::new();
    wait("the other tasks' training", || {
        for task in (1..4).filter(|&task| sweep.log(task).contains("training")).collect::<Vec<_>>() {
            held.entry(task).or_insert_with(|| {
                let workers = cluster.processes(&format!("SLURM_ARRAY_TASK_ID={task}"));
                let worker = workers.into_iter().find(|&pid| is_called(pid, "kelvin")).unwrap();
                kill(worker, libc::SIGSTOP);
                worker
            });
        }
        held.len() == 3
    });
    for job in ["1_1", "1_1", "1_2", "1_3"] {
        signal(job);
    }
    wait("signals", || held.values().all(|&worker| is_pending(worker, libc::SIGUSR1)));
    held.values().for_each(|&worker| kill(worker, libc::SIGCONT));
    for job in ["1_2", "1_3"] {
        (0..8).for_each(|_| drop(signal(job)));
    }
    for task in 1..4 {
        wait(&format!("task {task} to be queued again"), || sweep.log(task).contains("queued again"));
    }
    // Once more, after they went on.
    wait("restarted tasks", || (1..4).all(|task| sweep.log(task).contains(", restart 1, ")));
    wait("a restarted task that runs", || runs("1_1") || cluster.queue().is_empty());
    signal("1_1");
    cluster.drain();
    // A signal before the task's first line ends it; what is missing is sent again.
    if sweep.published() < sweep.oracle.weights.len() {
        assert!(!sweep.log(0).contains("training"), "{}", sweep.log(0));
        sweep.submit();
        cluster.drain();
    }
    sweep.assert_oracle();
}

#[test]
fn requeued_and_cancelled_tasks_lose_nothing() {
    let Some(cluster) = Cluster::start() else { return };
    let sweep = Sweep::usual(cluster.lab(), 0.2);
    sweep.send();
    wait("all tasks", || cluster.running().len() == 4);
    wait("checkpoints", || sweep.checkpoints() >= 8);
    cluster.output("scancel", &["1_2", "1_3"]);
    // At once, while the cancelled tasks still write their checkpoints.
    let sent = sweep.submit();
    assert!(sent.contains("sent ") && sent.contains(" in 2 tasks"), "{sent}");
    cluster.output("scontrol", &["requeue", "1_0"]);
    cluster.drain();
    assert!(sweep.logs().contains("job 1_0, restart 1, "), "{}", sweep.logs());
    assert!(sweep.submit().ends_with("nothing to send\n"));
    sweep.assert_oracle();
}

/// Tiny runs, one per task.
const TINY: &str = r#"
let executor = "local";
if arg("slurm", false) { executor = slurm(#{ array_limit: 8, runs_per_task: 1 }); }
sweep(#{
    data: digits(), train: 20, test: 10, model: linear(), lr: 0.1, batch: 10, seed: 1..=2500, epochs: arg("epochs", 1),
}).run(arg("dir"), #{ executor: executor, checkpoint_every: arg("every", 60.0) });
"#;

/// The tasks that are queued, per chunk.
fn chunks(cluster: &Cluster) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut chunks: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for line in cluster.output("squeue", &["-h", "-r", "-o", "%K|%j"]).lines() {
        let (index, name) = line.split_once('|').unwrap();
        let first = name.rsplit_once('-').unwrap().1.parse().unwrap();
        chunks.entry(first).or_default().insert(index.parse().unwrap());
    }
    chunks
}

#[test]
fn arrays_of_2500_tasks_are_cut_at_the_site_s_limit() {
    let Some(cluster) = Cluster::start() else { return };
    let sweep = Sweep::new(cluster.lab(), TINY, 1, 60.0);
    // Nothing runs, so that everything is still queued when it is looked at.
    cluster.output("scontrol", &["update", "partitionname=main", "state=down"]);
    let sent = sweep.run(DIR, true);
    assert!(sent.stderr.contains("sent 2500 runs in 2500 tasks (job 1, 2, 3)"), "{}", sent.stderr);
    let expected = [(0, 1001), (1001, 1001), (2002, 498)];
    let expected: BTreeMap<usize, BTreeSet<usize>> =
        expected.into_iter().map(|(first, tasks)| (first, (0..tasks).collect())).collect();
    assert_eq!(chunks(&cluster), expected);
    let again = sweep.submit();
    assert!(again.contains("nothing to send; 2500 runs in Slurm's queue already"), "{again}");
    let listed = sweep.lab.run(["ls", DIR]).stdout;
    assert!(listed.contains("of 2500 runs: 2500 to do; in Slurm: 2500 pending"), "{listed}");
    // A few of each chunk run; then everything is cancelled, and only what is missing is sent
    // again.
    cluster.output("scontrol", &["update", "partitionname=main", "state=up"]);
    wait("a few runs", || sweep.published() >= 6);
    cluster.output("scancel", &["1", "2", "3"]);
    cluster.drain();
    cluster.output("scontrol", &["update", "partitionname=main", "state=down"]);
    let left = 2500 - sweep.published();
    let sent = sweep.submit();
    assert!(sent.contains(&format!("sent {left} runs in {left} tasks (job ")), "{sent}");
    assert_eq!(chunks(&cluster).values().map(BTreeSet::len).sum::<usize>(), left);
}

#[test]
fn all_of_2500_tasks_in_chunks_give_the_oracle() {
    if !soak("2,500 tasks on Slurm") {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let mut sweep = Sweep::new(cluster.lab(), TINY, 1, 60.0);
    sweep.oracle = sweep.undisturbed();
    let started = Instant::now();
    sweep.send();
    let mut ended = 0;
    while !cluster.queue().is_empty() {
        std::thread::sleep(Duration::from_secs(5));
        let now = sweep.published();
        assert!(now > ended || cluster.queue().is_empty(), "{now} runs, none within a while");
        ended = now;
    }
    say(&format!("2,500 tasks in {:.0} s", started.elapsed().as_secs_f64()));
    sweep.assert_oracle();
}

#[test]
fn a_task_that_meets_its_time_limit_goes_on_until_it_is_done() {
    if !soak("time limits on Slurm") {
        return;
    }
    let Some(cluster) = Cluster::start() else { return };
    let script = SCRIPT.replace("30:00", "2:00");
    let mut sweep = Sweep::new(cluster.lab(), &script, 300, 5.0);
    sweep.oracle = sweep.undisturbed();
    sweep.send();
    wait("a task that is queued again", || sweep.logs().contains("queued again"));
    while !cluster.queue().is_empty() {
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(!sweep.logs().contains("TIME LIMIT"), "{}", sweep.logs());
    sweep.assert_oracle();
}

#[test]
fn four_workers_side_by_side_share_a_sweep_without_slurm() {
    let sweep = Sweep::usual(Lab::new(), 60.0);
    freeze(&sweep);
    let workers: Vec<_> =
        (1..=4).map(|share| sweep.lab.start(["worker", DIR, &format!("{share}/4"), "--jobs", "1"])).collect();
    for worker in workers {
        let run = worker.end();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains("2 of 2 runs done"), "{}", run.stderr);
    }
    sweep.assert_oracle();
}

#[test]
fn a_worker_without_slurm_asks_to_be_started_again_when_its_time_is_up() {
    // Seconds of training, so that it goes on when the signal comes, on fast machines too.
    let sweep = Sweep::new(Lab::new(), SCRIPT, 10 * EPOCHS, 60.0);
    let sweep = Sweep { oracle: Sweep::new(Lab::new(), SCRIPT, 10 * EPOCHS, 60.0).undisturbed(), ..sweep };
    freeze(&sweep);
    let mut interrupted = 0;
    loop {
        let worker = sweep.lab.start(["worker", DIR, "1/1", "--jobs", "2"]);
        worker.wait_for("training");
        if interrupted < 2 {
            std::thread::sleep(Duration::from_millis(300));
            worker.signal(libc::SIGUSR1);
        }
        let run = worker.end();
        match run.code {
            Some(75) => assert!(run.stderr.contains("time is up"), "{}", run.stderr),
            code => {
                assert_eq!(code, Some(0), "{}", run.stderr);
                break;
            }
        }
        interrupted += 1;
    }
    assert!(interrupted == 2, "{interrupted}");
    sweep.assert_oracle();
}

#[test]
fn a_worker_that_starts_in_another_folder_finds_the_data() {
    let lab = Lab::new();
    crate::sweeps::write_images(&lab, "here", 1);
    let script = crate::sweeps::sweep("here", DIR);
    assert_eq!(lab.script(&script).code, Some(0));
    let whole = lab.metrics();
    let rows = metrics(&lab, DIR);
    fs::remove_file(&whole[0].0).unwrap();
    let worker = lab.kelvin().current_dir("/").arg("worker").arg(lab.path(DIR)).arg("1/1").output().unwrap();
    assert!(worker.status.success(), "{}", String::from_utf8_lossy(&worker.stderr));
    assert_eq!(metrics(&lab, DIR), rows);
}

/// Makes the sweep's folder with its plan and nothing else.
fn freeze(sweep: &Sweep) {
    let dir = sweep.lab.path(DIR);
    fs::create_dir(&dir).unwrap();
    fs::create_dir(dir.join("staging")).unwrap();
    fs::write(dir.join("sweep.json"), &sweep.oracle.plan).unwrap();
}
