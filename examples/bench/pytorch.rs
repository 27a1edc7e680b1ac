//! PyTorch processes that answer a request per line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::cases::{Case, Files, LR};
use super::{Outcome, Timed, root};

/// A way to train in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Way {
    pub channels_last: bool,
    pub fused: bool,
    pub compile: bool,
    /// Processes at once, each with a share of the runs.
    pub processes: usize,
    /// Threads of each; none: PyTorch's default.
    pub threads: Option<usize>,
}

/// What researchers write.
pub const EAGER: Way =
    Way { channels_last: false, fused: false, compile: false, processes: 1, threads: None };

impl Way {
    pub fn name(self) -> String {
        if self == EAGER {
            return "PyTorch, eager".to_owned();
        }
        let mut words = Vec::new();
        for (is, word) in
            [(self.compile, "compile"), (self.fused, "fused"), (self.channels_last, "channels-last")]
        {
            if is {
                words.push(word.to_owned());
            }
        }
        if self.processes > 1 {
            words.push(format!("{} processes", self.processes));
        }
        words.join(", ")
    }
}

struct Process {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn start(python: &str) -> Outcome<Self> {
        let mut child = Command::new(python)
            .arg(root().join("bench/pytorch.py"))
            // Where kelvin has no other way to forbid TF32, it does so for all of a process and its
            // children.
            .env_remove("NVIDIA_TF32_OVERRIDE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let requests = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self { child, requests, answers })
    }

    fn answer(&mut self) -> Outcome<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)?;
        match answer["error"].as_str() {
            Some(error) => Err(error.into()),
            None => Ok(answer),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has nothing left to say; if it is gone already, so much the better.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As many processes as were ever needed at once.
pub struct PyTorch {
    python: String,
    device: &'static str,
    processes: Vec<Process>,
}

impl PyTorch {
    pub fn new(python: &str, device: tch::Device) -> Self {
        let device = if device == tch::Device::Cpu { "cpu" } else { "cuda" };
        Self { python: python.to_owned(), device, processes: Vec::new() }
    }

    /// Where it computes.
    pub fn device(&self) -> tch::Device {
        if self.device == "cpu" { tch::Device::Cpu } else { tch::Device::Cuda(0) }
    }

    fn request(&self, case: Case, files: &Files, way: Way, what: &str, runs: usize, steps: usize) -> Value {
        json!({
            "data": files.data, "init": files.init, "width": case.width, "batch": case.batch, "runs": runs,
            "steps": steps, "lr": LR, "precision": case.precision.name(), "threads": way.threads,
            "device": self.device, "channels_last": way.channels_last, "fused": way.fused,
            "compile": way.compile, "what": what,
        })
    }

    fn ask(&mut self, request: &Value, processes: usize) -> Outcome<Vec<Value>> {
        let answers = self.try_to_ask(request, processes);
        if answers.is_err() {
            // One may have died of it; the next request finds new ones.
            self.processes.clear();
        }
        answers
    }

    fn try_to_ask(&mut self, request: &Value, processes: usize) -> Outcome<Vec<Value>> {
        while self.processes.len() < processes {
            self.processes.push(Process::start(&self.python)?);
        }
        for process in &mut self.processes[..processes] {
            writeln!(process.requests, "{request}")?;
        }
        self.processes[..processes].iter_mut().map(Process::answer).collect()
    }

    /// Runs one after another, or several at a time, of `steps` updates each (`what`: train) or
    /// passes over all images (evaluate). Times are those of the slowest process.
    pub fn measure(
        &mut self,
        case: Case,
        files: &Files,
        way: Way,
        what: &str,
        runs: usize,
        steps: usize,
    ) -> Outcome<Timed> {
        let request = self.request(case, files, way, what, runs.div_ceil(way.processes), steps);
        let answers = self.ask(&request, way.processes)?;
        let field = |answer: &Value, name: &str| answer[name].as_f64().unwrap_or(f64::NAN);
        let most = |name: &str| answers.iter().map(|answer| field(answer, name)).fold(0.0, f64::max);
        let images = answers.iter().map(|answer| field(answer, "images")).sum();
        Ok(Timed { images, seconds: most("seconds"), warmup: most("warmup_seconds") })
    }

    /// The losses of the first updates, with batches in order.
    pub fn losses(&mut self, case: Case, files: &Files, steps: usize) -> Outcome<Vec<f64>> {
        let request = self.request(case, files, EAGER, "losses", 1, steps);
        let answers = self.ask(&request, 1)?;
        let losses = answers[0]["losses"].as_array().ok_or("no losses")?;
        Ok(losses.iter().map(|loss| loss.as_f64().unwrap_or(f64::NAN)).collect())
    }
}
