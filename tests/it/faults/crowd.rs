//! Fault 7: many processes train one sweep, and others read it meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Readers, Rows, assert_same, many, published, results};
use crate::support::{Lab, SCRIPT};

/// Ten cohorts; more processes than those fight for each of their runs.
const SWEEP: &str = r#"
sweep(#{
    data: digits(), train: 60, test: 20, model: linear(), lr: 0.1, batch: [4, 5, 6, 8, 10, 12, 15, 20, 30, 60],
    seed: 1..=arg("seeds", 1), epochs: 4,
}).run(arg("dir"), #{ jobs: 1, checkpoint_every: 0 });
"#;

/// Readers open a folder again and again; each time every run is whole, and none goes away.
fn watch(mut readers: Readers, dir: &std::path::Path, ended: &AtomicBool) -> usize {
    let mut before = Rows::new();
    let mut looks = 0;
    loop {
        // Asked first: the last look comes after the end.
        let last = ended.load(Ordering::SeqCst);
        let now = readers.open(dir);
        for (reader, runs) in &now {
            for (run, rows) in runs {
                assert_eq!(*rows, 4, "{reader} sees {rows} rows of {run}");
            }
            for run in before.get(reader).into_iter().flat_map(|runs| runs.keys()) {
                assert!(runs.contains_key(run), "{reader} no longer sees {run}");
            }
        }
        // At each number of runs one look counts.
        looks += usize::from(now != before);
        if now == before {
            std::thread::sleep(Duration::from_millis(10));
        }
        before = now;
        if last {
            for (reader, runs) in &before {
                assert_eq!(runs.len(), published(dir).len(), "{reader}");
            }
            return looks;
        }
    }
}

#[test]
fn many_processes_train_one_sweep_while_others_read_it() {
    let (processes, seeds) = (many(4, 16), many(4, 20));
    let runs = 10 * seeds;
    let lab = Lab::new();
    lab.write(SCRIPT, SWEEP);
    let arguments =
        |dir: &str| [SCRIPT.to_owned(), "-q".to_owned(), format!("-Dseeds={seeds}"), format!("-Ddir={dir}")];
    let oracle = lab.run(arguments("oracle"));
    assert_eq!(oracle.code, Some(0), "{}", oracle.stderr);
    let dir = lab.path("out");
    let ended = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let mut readers = Readers::start();
        // They take a while to start; a folder that is not there holds nothing.
        readers.iter_mut().for_each(|readers| drop(readers.open(&dir)));
        let programs: Vec<_> = (0..processes).map(|_| lab.start(arguments("out"))).collect();
        let watching = readers.map(|readers| scope.spawn(|| watch(readers, &dir, &ended)));
        let ends: Vec<_> = programs.into_iter().map(|program| program.end()).collect();
        ended.store(true, Ordering::SeqCst);
        let looks = watching.map(|thread| thread.join().unwrap());
        for end in ends {
            assert_eq!(end.code, Some(0), "{}", end.stderr);
        }
        looks
    });
    assert_eq!(published(&dir).len(), runs);
    assert_same(&dir, &results(&lab.path("oracle")), "a crowd");
    println!("{processes} processes published {runs} runs; readers saw {looks:?} states of the folder");
}
