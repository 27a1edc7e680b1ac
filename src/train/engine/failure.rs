//! What becomes of a job that failed: it waits until it is alone, is cut in two, or its run has
//! failed.

use std::ops::ControlFlow;

use tch::Device;

use super::super::record::Status;
use super::crew::Stop;
use super::job::ActiveJob;
use super::queue::StackJob;
use crate::cuda;
use crate::error::Error;

/// What libtorch says where a GPU has no more memory.
const OUT_OF_MEMORY: [&str; 6] = [
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "ALLOCATION_FAILED",
];

/// Whether the worker of a job that stopped goes on with others.
pub(super) fn settle(job: ActiveJob, stop: Stop) -> ControlFlow<()> {
    let reporter = job.reporter;
    let settled = match stop {
        Stop::Failed(error) => fail(job, &error),
        stop => Err(stop),
    };
    match settled {
        Ok(()) => return ControlFlow::Continue(()),
        Err(Stop::Broken(error)) => reporter.broken(error),
        Err(Stop::Cancelled | Stop::Failed(_)) => {}
    }
    ControlFlow::Break(())
}

/// Puts what is left of a job back into the queue, or ends its runs.
fn fail(mut job: ActiveJob, error: &str) -> Result<(), Stop> {
    let device = job.slot.device;
    let refused = OUT_OF_MEMORY.iter().any(|text| error.contains(text));
    if let Some(useless) = why_useless(device).filter(|_| !refused) {
        // What trained there has failed; runs that were not tried must not fail with it.
        for run in job.open.clone() {
            job.end(run, job.outcome(Status::Failed, Some(error.to_owned())))?;
        }
        return Err(Stop::Broken(Error::invalid(format!(
            "{} cannot be used any more ({useless}); the same sweep goes on without what trained there: {error}",
            crate::torch::device_name(device)
        ))));
    }
    if refused && !job.job.alone && device != Device::Cpu {
        job.crew.queue.put_last(StackJob { runs: job.open, alone: true, ..job.job });
        return Ok(());
    }
    if let [run] = job.open[..] {
        return job.end(run, job.outcome(Status::Failed, Some(error.to_owned())));
    }
    let (first, second) = job.open.split_at(job.open.len() / 2);
    let half = |runs: &[usize]| {
        let cost = job.job.cost * runs.len() as f64 / job.job.runs.len() as f64;
        StackJob { runs: runs.to_vec(), cost, ..job.job }
    };
    job.crew.queue.put_first([half(first), half(second)]);
    Ok(())
}

/// Why a device is useless for the rest of the process, if it is: some errors, of the hardware or
/// of an address, leave a GPU that way. The first answer may still be the error that is being
/// handled.
fn why_useless(device: Device) -> Option<Error> {
    cuda::synchronize(device).or_else(|_| cuda::synchronize(device)).err()
}
