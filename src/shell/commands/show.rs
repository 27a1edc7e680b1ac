//! `kelvin show`: where a sweep comes from, or everything about one run of it.

use crate::error::{Error, Result};
use crate::script::{print, width};
use crate::sweep::{Past, Provenance, Store, rows, time_text};

/// Epochs that are printed of a run.
const EPOCHS: usize = 10;

fn show_provenance(what: &str, provenance: &Provenance) {
    print(&format!("  {what}   {} on {}", time_text(provenance.created), provenance.host));
    let commit = if provenance.commit.is_empty() { "no commit" } else { &provenance.commit };
    print(&format!("  kelvin     {} ({commit}), libtorch {}", provenance.kelvin, provenance.libtorch));
    for (name, value) in &provenance.arguments {
        print(&format!("  argument   {name}={value}"));
    }
    for module in &provenance.modules {
        print(&format!("  module     {} (sha256 {})", module.path, module.sha256));
    }
    if let Some(script) = &provenance.script {
        print(&format!("  script     {} (sha256 {})\n", script.path, script.sha256));
        print(script.text.trim_end());
    }
}

/// Prints where a sweep comes from.
pub(super) fn sweep(store: &Store) {
    let dir = store.dir().display();
    print(&format!("{dir}: sweep {} of {} runs", store.id(), store.plan().runs.len()));
    for (index, provenance) in store.provenance().iter().enumerate() {
        let what = if index == 0 { "frozen  " } else { "extended" };
        show_provenance(what, provenance);
    }
    let mut data: Vec<String> = Vec::new();
    for run in &store.plan().runs {
        let digest = run.spec.data.digest.as_deref().unwrap_or("embedded");
        let line = format!("  data       {} (sha256 {digest})", run.spec.data.name());
        if !data.contains(&line) {
            data.push(line);
        }
    }
    print(&format!("\n{}", data.join("\n")));
}

/// Prints everything about a run, which is named by its id or its beginning.
pub(super) fn run(store: &Store, id: &str) -> Result<()> {
    let run = store.find(id)?;
    let status = store.status(&run.id)?;
    print(&format!("{} {}: if the sweep is run again, it {}", run.id, status.name(), status.why(run)));
    let spec = serde_json::to_string_pretty(&run.spec).map_err(|error| Error::invalid(error.to_string()))?;
    print(&format!("\nspecification {spec}"));
    print(&format!(
        "{} parameters; trained in stacks of at most {} runs ({}); threads of a stack: {}",
        run.parameters,
        run.strategy.largest(run.spec.precision, tch::Device::Cpu),
        run.strategy.describe(),
        run.strategy.threads
    ));
    let attempts = store.attempts(&run.id)?;
    for attempt in &attempts {
        print(&describe(store, attempt));
    }
    // Where nothing was noted there is nothing to tell but what `begun` says above.
    if let Some(ended) = store.ended(&run.id, &status)?.filter(|ended| !ended.device.is_empty()) {
        print(&format!(
            "\n{} on {} ({}), kelvin {} ({}), libtorch {}, {} to {}",
            ended.status.name(),
            ended.host,
            ended.device,
            ended.kelvin,
            ended.commit,
            ended.libtorch,
            time_text(ended.started),
            time_text(ended.ended)
        ));
        if let Some(weights) = ended.weights_sha256 {
            print(&format!("final weights sha256 {weights}"));
        }
        if let Some(error) = ended.error {
            print(&format!("error: {error}"));
        }
    }
    let longest = attempts.iter().max_by_key(|attempt| attempt.epochs.len());
    if let Some(attempt) = longest.filter(|attempt| !attempt.epochs.is_empty()) {
        let last = &attempt.epochs[attempt.epochs.len().saturating_sub(EPOCHS)..];
        let columns = ["epoch", "lr_now", "train_loss", "test_loss", "test_accuracy", "gap", "seconds"];
        let table = rows::epochs(store.id(), run, last)?;
        print(&format!("\nlast epochs\n{}", table.select(&columns.map(str::to_owned))?.render(width())));
    }
    Ok(())
}

fn describe(store: &Store, attempt: &Past) -> String {
    let end = match &attempt.ended {
        Some(ended) => format!("{} at {}", ended.status.name(), time_text(ended.ended)),
        None => "no end noted".to_owned(),
    };
    format!(
        "\nattempt {}: process {} on {}, from {} at {}; {} epochs so far, last checkpoint at {}; {end}",
        attempt.folder.file_name().unwrap_or_default().to_string_lossy().trim_start_matches("attempt-"),
        attempt.process.pid,
        attempt.process.host,
        attempt.position,
        time_text(attempt.started),
        attempt.epochs.len(),
        store.resumable(attempt),
    )
}
