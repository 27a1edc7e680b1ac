//! A worker: it trains one job after another.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::crew::{Crew, ReportSender, Stop};
use super::failure::settle;
use super::job::ActiveJob;
use super::queue::DeviceSlot;
use crate::cuda;

/// Trains jobs until there are none left.
pub(super) fn work(crew: &Crew, home: &DeviceSlot, reporter: &ReportSender) {
    if let Err(error) = cuda::own_stream(home.device) {
        return reporter.broken(error);
    }
    while let Some(job) = crew.queue.next() {
        if crew.is_cancelled() {
            return;
        }
        let mut job = ActiveJob::new(crew, reporter, job, home);
        // The last job may have been elsewhere; that this can be done was seen at the start.
        let _ = cuda::own_stream(home.device);
        let trained = catch_unwind(AssertUnwindSafe(|| job.train()));
        let trained =
            trained.unwrap_or_else(|panic| Err(Stop::Failed(crate::error::panic_message(panic.as_ref()))));
        if let Err(stop) = trained
            && settle(job, stop).is_break()
        {
            return;
        }
    }
}
