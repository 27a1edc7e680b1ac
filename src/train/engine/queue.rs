//! What is to be trained, and where: jobs cut from tasks, and devices with their memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::Device;

use super::super::cohort::{cohorts, stacks};
use super::super::memory::Memory;
use super::super::spec::RunSpec;
use super::super::strategy::ExecutionStrategy;
use super::task::{Settings, Task};
use crate::cuda;
use crate::error::Result;

/// Runs of one cohort that train together.
pub(super) struct StackJob {
    /// Positions in the tasks.
    pub(super) runs: Vec<usize>,
    pub(super) strategy: ExecutionStrategy,
    pub(super) cost: f64,
    /// Whether it was refused memory beside others: then it waits until it is alone.
    pub(super) alone: bool,
}

/// Cuts tasks into stacks of runs that start at the same place, the costliest first so that workers
/// end together.
pub(super) fn jobs(tasks: &[Task], settings: &Settings) -> Result<Vec<StackJob>> {
    let specs: Vec<RunSpec> = tasks.iter().map(|task| task.spec.clone()).collect();
    let mut jobs = Vec::new();
    let start = |&run: &usize| (tasks[run].position, tasks[run].strategy);
    for cohort in cohorts(&specs)?.into_iter().flat_map(|cohort| group_by(cohort, start)) {
        let strategy = tasks[cohort[0]].strategy;
        let mut rest = &cohort[..];
        let largest = strategy.largest(specs[cohort[0]].precision, settings.device());
        for size in stacks(cohort.len(), largest, settings.workers) {
            let (runs, others) = rest.split_at(size);
            rest = others;
            let spec = &specs[runs[0]];
            let width = spec.model.width().max(1) as f64;
            let cost = spec.steps() as f64 * spec.batch as f64 * width * width * runs.len() as f64;
            jobs.push(StackJob { runs: runs.to_vec(), strategy, cost, alone: false });
        }
    }
    jobs.sort_by(|a, b| b.cost.total_cmp(&a.cost));
    Ok(jobs)
}

/// Groups values by a key, in order of first appearance.
pub(super) fn group_by<T, K: PartialEq>(values: Vec<T>, key: impl Fn(&T) -> K) -> Vec<Vec<T>> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for value in values {
        let own = key(&value);
        match groups.iter_mut().find(|(key, _)| *key == own) {
            Some((_, group)) => group.push(value),
            None => groups.push((own, vec![value])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// A device, and its memory.
pub(super) struct DeviceSlot {
    pub(super) device: Device,
    pub(super) memory: Memory,
}

impl DeviceSlot {
    fn new(device: Device) -> Self {
        let memory = Memory::of(match device {
            Device::Cpu => crate::memory::available(),
            // The rest goes to parts that are too small to be of use.
            device => cuda::free_memory(device).map(|bytes| bytes / 20 * 19),
        });
        Self { device, memory }
    }
}

/// Jobs that wait, and the devices that they train on.
pub(super) struct Queue {
    jobs: Mutex<VecDeque<StackJob>>,
    slots: Vec<DeviceSlot>,
}

impl Queue {
    pub(super) fn new(jobs: Vec<StackJob>, devices: impl Iterator<Item = Device>) -> Self {
        Self { jobs: Mutex::new(jobs.into()), slots: devices.map(DeviceSlot::new).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<StackJob>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next(&self) -> Option<StackJob> {
        self.lock().pop_front()
    }

    /// Puts jobs before all others, in this order.
    pub(super) fn put_first(&self, jobs: [StackJob; 2]) {
        let mut queue = self.lock();
        jobs.into_iter().rev().for_each(|job| queue.push_front(job));
    }

    /// Puts a job behind all others.
    pub(super) fn put_last(&self, job: StackJob) {
        self.lock().push_back(job);
    }

    /// The device of a worker: they are dealt out in turn.
    pub(super) fn home(&self, worker: usize) -> &DeviceSlot {
        &self.slots[worker % self.slots.len()]
    }

    /// The device for a job that needs this many bytes: the worker's own, unless only others can
    /// ever hold it.
    pub(super) fn pick_device<'a>(&'a self, own: &'a DeviceSlot, needed: u64) -> &'a DeviceSlot {
        if needed <= own.memory.all() {
            return own;
        }
        let roomiest = self.slots.iter().max_by_key(|slot| slot.memory.all());
        roomiest.filter(|slot| needed <= slot.memory.all()).unwrap_or(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one GPU can never hold goes to another one that can; what none can stays, to fail
    /// there.
    #[test]
    fn jobs_go_where_they_fit() {
        let slot = |(index, gigabytes)| DeviceSlot {
            device: Device::Cuda(index),
            memory: Memory::of(Some(gigabytes)),
        };
        let slots: Vec<DeviceSlot> = [(0, 5), (1, 10), (2, 7)].into_iter().map(slot).collect();
        let queue = Queue { jobs: Mutex::default(), slots };
        for (own, needed, expected) in [(0, 4, 0), (0, 6, 1), (2, 7, 2), (2, 8, 1), (0, 20, 0), (1, 10, 1)] {
            let found = queue.pick_device(queue.home(own), needed);
            assert_eq!(found.device, Device::Cuda(expected), "{needed} from {own}");
        }
        // Where memory is unknown, everything stays.
        let open = DeviceSlot { device: Device::Cuda(0), memory: Memory::of(None) };
        let queue = Queue { jobs: Mutex::default(), slots: vec![open] };
        assert_eq!(queue.pick_device(queue.home(0), 1).device, Device::Cuda(0));
    }

    #[test]
    fn halves_come_first_in_order_and_a_job_that_waits_comes_last() {
        let job = |run| StackJob {
            runs: vec![run],
            strategy: ExecutionStrategy::torch(1, 1),
            cost: 1.0,
            alone: false,
        };
        let queue = Queue::new(vec![job(3)], std::iter::once(Device::Cpu));
        queue.put_last(job(4));
        queue.put_first([job(1), job(2)]);
        let order: Vec<usize> = std::iter::from_fn(|| queue.next()).map(|job| job.runs[0]).collect();
        assert_eq!(order, [1, 2, 3, 4]);
    }
}
