//! Data sets and their images on devices, loaded once and shared by all workers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tch::Device;

use super::super::batches::image_store;
use super::super::spec::RunSpec;
use crate::cuda;
use crate::data::{Dataset, ImageStore};
use crate::error::Result;

#[derive(Default)]
pub(super) struct DataCache {
    /// By what they are.
    datasets: Mutex<HashMap<String, Dataset>>,
    /// By what they are and where they lie.
    stores: Mutex<HashMap<String, ImageStore>>,
}

impl DataCache {
    /// The data set of a run.
    pub(super) fn dataset(&self, spec: &RunSpec) -> Result<Dataset> {
        let key = format!("{:?}", spec.data);
        let mut datasets = self.datasets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(data) = datasets.get(&key) {
            return Ok(data.clone());
        }
        let data = Dataset::open(&spec.data)?;
        datasets.insert(key, data.clone());
        Ok(data)
    }

    /// Its images on a device.
    pub(super) fn store(&self, spec: &RunSpec, data: &Dataset, device: Device) -> Result<ImageStore> {
        let key = format!("{:?} {} {:?} {device:?}", spec.data, spec.augment, spec.precision.master());
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&key) {
            return Ok(store.share());
        }
        let store = image_store(spec, data, device);
        // Other workers' streams read it.
        cuda::synchronize(device)?;
        let shared = store.share();
        stores.insert(key, store);
        Ok(shared)
    }
}
