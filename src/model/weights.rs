//! The weights of stacked replicas: one flat buffer, and a view of it per tensor.
//!
//! The buffer is ordered by tensor, then by replica, so that every tensor's stack is contiguous: a
//! convolution's filters are in the order of grouped convolution. Where a GPU's tensor cores
//! multiply, a lone replica's filters have their channels innermost, which is the order of the
//! tensor cores.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tch::{Device, Tensor};

use super::layout::{Init, Layout, TensorInfo};
use super::stored;
use crate::error::{Error, Result};
use crate::rng::{Rng, Stream};
use crate::torch::Precision;

/// Weights and batch-norm statistics of one or more replicas of a model.
pub struct Weights {
    layout: Arc<Layout>,
    replicas: i64,
    /// Whether the channels of filters are innermost in `flat` and in everything that is ordered
    /// like it.
    channels_last: bool,
    /// All parameters in the master precision, ordered by tensor, then replica.
    flat: Tensor,
    /// The same in bfloat16, where products are computed in it.
    low: Option<Tensor>,
    /// A leaf of the gradient graph per tensor: a view of `low` or of `flat`.
    leaves: Vec<Tensor>,
    /// Running mean and variance of each batch norm, replicas side by side.
    running: Vec<(Tensor, Tensor)>,
    /// Training batches seen (PyTorch's `num_batches_tracked`).
    pub(crate) batches: i64,
}

/// One replica's tensors by their PyTorch names.
pub type State = Vec<(String, Tensor)>;

impl Weights {
    /// Draws initial weights, one seed per replica, as PyTorch draws them by default (its ranges,
    /// our generator).
    pub fn draw(layout: &Arc<Layout>, seeds: &[i64], precision: Precision, device: Device) -> Self {
        let tensor_cores = matches!(precision, Precision::Tf32 | Precision::Bf16) && device != Device::Cpu;
        Self::draw_ordered(layout, seeds, precision, device, tensor_cores && seeds.len() == 1)
    }

    fn draw_ordered(
        layout: &Arc<Layout>,
        seeds: &[i64],
        precision: Precision,
        device: Device,
        channels_last: bool,
    ) -> Self {
        let mut values = Vec::with_capacity(seeds.len() * layout.parameters() as usize);
        for (index, tensor) in layout.tensors.iter().enumerate() {
            for &seed in seeds {
                match tensor.init {
                    Init::Constant(value) => values.extend((0..tensor.numel()).map(|_| value)),
                    Init::Uniform { bound } => {
                        let mut rng = Rng::new(seed, Stream::Init, index as u64);
                        values.extend((0..tensor.numel()).map(|_| bound * (2.0 * rng.uniform() - 1.0)));
                    }
                }
            }
        }
        let replicas = seeds.len() as i64;
        let flat = ordered(layout, replicas, channels_last, &values);
        let flat = flat.to_kind(precision.master()).to_device(device);
        let running = layout
            .norms
            .iter()
            .map(|norm| {
                let options = (precision.master(), device);
                let channels = [replicas * norm.channels];
                (Tensor::zeros(channels, options), Tensor::ones(channels, options))
            })
            .collect();
        Self::new(Arc::clone(layout), replicas, channels_last, flat, running, precision)
    }

    fn new(
        layout: Arc<Layout>,
        replicas: i64,
        channels_last: bool,
        flat: Tensor,
        running: Vec<(Tensor, Tensor)>,
        precision: Precision,
    ) -> Self {
        let low = (precision.compute() != precision.master()).then(|| flat.to_kind(precision.compute()));
        let mut leaves = Vec::with_capacity(layout.tensors.len());
        let mut start = 0;
        for tensor in &layout.tensors {
            let length = replicas * tensor.numel();
            let buffer = match &low {
                Some(low) if tensor.is_product => low,
                _ => &flat,
            };
            let mut shape = tensor.shape.clone();
            shape[0] *= replicas;
            let view = shaped(channels_last, &buffer.narrow(0, start, length), &shape);
            leaves.push(view.detach().set_requires_grad(true));
            start += length;
        }
        Self { layout, replicas, channels_last, flat, low, leaves, running, batches: 0 }
    }

    /// One replica on the CPU with these parameters, and running mean and variance of each norm.
    pub(crate) fn of_one(
        layout: &Arc<Layout>,
        precision: Precision,
        flat: &[f64],
        running: &[[Vec<f64>; 2]],
        batches: i64,
    ) -> Self {
        let tensor = |values: &[f64]| Tensor::from_slice(values).to_kind(precision.master());
        let running = running.iter().map(|[mean, variance]| (tensor(mean), tensor(variance))).collect();
        Self { batches, ..Self::new(Arc::clone(layout), 1, false, tensor(flat), running, precision) }
    }

    /// The parameters, and running mean and variance of each norm, as [`Weights::of_one`] takes
    /// them.
    pub(crate) fn numbers(&self) -> (Vec<f64>, Vec<[Vec<f64>; 2]>) {
        let values = |tensor: &Tensor| -> Vec<f64> {
            Vec::try_from(tensor.detach().to_kind(tch::Kind::Double)).unwrap_or_default()
        };
        let running = self.running.iter().map(|(mean, variance)| [values(mean), values(variance)]).collect();
        let tensors = (0..self.replicas).flat_map(|replica| self.split(&self.flat, replica));
        (tensors.flat_map(|(_, tensor)| values(&tensor.reshape([-1]))).collect(), running)
    }

    /// How many replicas.
    pub fn replicas(&self) -> i64 {
        self.replicas
    }

    /// Whether images should come with their channels innermost in memory: on a CPU, too, a lone
    /// replica's convolutions are faster so.
    pub(crate) fn want_channels_last(&self) -> bool {
        self.channels_last || self.replicas == 1 && self.flat.device() == Device::Cpu
    }

    /// The tensors of one replica.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// All parameters, ordered by tensor, then replica, in the master precision.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    pub(super) fn tensor(&self, index: usize) -> &Tensor {
        &self.leaves[index]
    }

    pub(super) fn running(&self, norm: usize) -> (&Tensor, &Tensor) {
        let (mean, variance) = &self.running[norm];
        (mean, variance)
    }

    /// Changes the parameters in place; the views follow.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Tensor)) {
        tch::no_grad(|| {
            change(&mut self.flat);
            if let Some(low) = &mut self.low {
                low.copy_(&self.flat);
            }
        });
    }

    /// The gradient of a scalar with respect to all parameters, ordered as [`Weights::flat`].
    ///
    /// # Panics
    ///
    /// As other failures of a step are told: the scalar does not depend on all tensors, so what
    /// would train is another network than the layout's.
    pub(crate) fn gradient(&self, loss: &Tensor) -> Tensor {
        let gradients = Tensor::run_backward(&[loss], &self.leaves, false, false);
        let unused = gradients.iter().zip(&self.layout.tensors).find(|(gradient, _)| !gradient.defined());
        if let Some((_, tensor)) = unused {
            panic!("libtorch's forward pass does not use the tensor `{}`", tensor.name);
        }
        let kind = self.flat.kind();
        let flat: Vec<Tensor> =
            gradients.iter().map(|gradient| line(self.channels_last, gradient).to_kind(kind)).collect();
        Tensor::cat(&flat, 0)
    }

    /// A value per replica, repeated for each of its parameters, ordered as [`Weights::flat`].
    pub(crate) fn per_parameter(&self, values: &[f64]) -> Tensor {
        let pieces: Vec<Tensor> = self
            .layout
            .tensors
            .iter()
            .map(|tensor| Tensor::from_slice(values).repeat_interleave_self_int(tensor.numel(), None, None))
            .collect();
        Tensor::cat(&pieces, 0).to_kind(self.flat.kind()).to_device(self.flat.device())
    }

    /// Values of one replica after another, each ordered by tensor, in the order of
    /// [`Weights::flat`].
    pub(crate) fn interleave(&self, replicas: &[Vec<f64>]) -> Tensor {
        let mut values = Vec::with_capacity(replicas.iter().map(Vec::len).sum());
        let mut start = 0;
        for tensor in &self.layout.tensors {
            let end = start + tensor.numel() as usize;
            for replica in replicas {
                values.extend_from_slice(&replica[start..end]);
            }
            start = end;
        }
        let values = ordered(&self.layout, self.replicas, self.channels_last, &values);
        values.to_kind(self.flat.kind()).to_device(self.flat.device())
    }

    /// One replica's part of a buffer ordered as [`Weights::flat`], copied to the CPU, with
    /// PyTorch's names.
    pub(crate) fn split(&self, buffer: &Tensor, replica: i64) -> State {
        let mut start = 0;
        self.layout
            .tensors
            .iter()
            .map(|tensor| {
                let length = tensor.numel();
                let own = buffer.narrow(0, start + replica * length, length).detach();
                start += self.replicas * length;
                let own = shaped(self.channels_last, &own, &tensor.shape).to_device(Device::Cpu);
                (tensor.name.clone(), own.copy().contiguous())
            })
            .collect()
    }

    /// Sets one replica's part of a buffer ordered as [`Weights::flat`] from tensors in the
    /// layout's order.
    fn fill(&self, buffer: &Tensor, replica: i64, tensors: &[Tensor]) {
        tch::no_grad(|| {
            let mut start = 0;
            for (info, tensor) in self.layout.tensors.iter().zip(tensors) {
                let length = info.numel();
                let tensor = line(self.channels_last, tensor);
                buffer.narrow(0, start + replica * length, length).copy_(&tensor);
                start += self.replicas * length;
            }
        });
    }

    /// Sets one replica's part of a buffer ordered as [`Weights::flat`] by PyTorch's names.
    pub(crate) fn join(&self, buffer: &Tensor, replica: i64, state: State) -> Result<()> {
        let mut given = NamedTensors(state.into_iter().collect());
        let tensors = given.take_all(&self.layout)?;
        self.fill(buffer, replica, &tensors);
        Ok(())
    }

    /// One replica's tensors, copied to the CPU, with PyTorch's names.
    pub fn state(&self, replica: i64) -> State {
        let cut = |tensor: &Tensor, size: i64| {
            tensor.narrow(0, replica * size, size).detach().to_device(Device::Cpu).copy()
        };
        let mut state = self.split(&self.flat, replica);
        for (norm, (mean, variance)) in self.layout.norms.iter().zip(&self.running) {
            state.push((format!("{}.running_mean", norm.name), cut(mean, norm.channels)));
            state.push((format!("{}.running_var", norm.name), cut(variance, norm.channels)));
            let batches = Tensor::from_slice(&[self.batches]).view(&[0i64; 0][..]);
            state.push((format!("{}.num_batches_tracked", norm.name), batches));
        }
        state
    }

    /// Sets one replica's tensors by their PyTorch names; float kinds are converted.
    pub fn set_state(&mut self, replica: i64, state: State) -> Result<()> {
        let mut given = NamedTensors(unwrapped(state)?);
        let batches = given.0.iter().find(|(name, _)| name.ends_with("num_batches_tracked"));
        let batches = batches.map(|(_, tensor)| tensor.f_int64_value(&[])).transpose()?;
        // Everything is checked before anything is changed.
        let layout = Arc::clone(&self.layout);
        let tensors = given.take_all(&layout)?;
        let running = layout
            .norms
            .iter()
            .map(|norm| {
                Ok((
                    given.take(&format!("{}.running_mean", norm.name), &[norm.channels])?,
                    given.take(&format!("{}.running_var", norm.name), &[norm.channels])?,
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        if let Some(name) = given.0.keys().find(|name| !name.ends_with("num_batches_tracked")) {
            return Err(Error::invalid(format!(
                "`{name}` is not a tensor of this model; {}",
                crate::error::suggestion(name, layout.tensors.iter().map(|tensor| tensor.name.as_str()))
            )));
        }
        self.batches = batches.unwrap_or(self.batches);
        let flat = self.flat.shallow_clone();
        self.fill(&flat, replica, &tensors);
        // Where products are computed in lower precision, its copy follows.
        self.update(|_| {});
        tch::no_grad(|| {
            for ((norm, own), given) in layout.norms.iter().zip(&self.running).zip(&running) {
                let start = replica * norm.channels;
                own.0.narrow(0, start, norm.channels).copy_(&given.0);
                own.1.narrow(0, start, norm.channels).copy_(&given.1);
            }
        });
        Ok(())
    }
}

/// A tensor of this shape, of numbers in a buffer's order.
fn shaped(channels_last: bool, numbers: &Tensor, shape: &[i64]) -> Tensor {
    match *shape {
        [to, from, height, width] if channels_last => {
            numbers.view([to, height, width, from]).permute([0, 3, 1, 2])
        }
        _ => numbers.view(shape),
    }
}

/// A tensor's numbers in a buffer's order.
fn line(channels_last: bool, tensor: &Tensor) -> Tensor {
    match tensor.dim() {
        4 if channels_last => tensor.permute([0, 2, 3, 1]).reshape([-1]),
        _ => tensor.reshape([-1]),
    }
}

/// Numbers of all replicas, by tensor, then replica, each as PyTorch has it, in a buffer's order.
fn ordered(layout: &Layout, replicas: i64, channels_last: bool, values: &[f64]) -> Tensor {
    let values = Tensor::from_slice(values);
    if !channels_last {
        return values;
    }
    let mut start = 0;
    let of = |tensor: &TensorInfo| {
        let mut shape = tensor.shape.clone();
        shape[0] *= replicas;
        let own = values.narrow(0, start, replicas * tensor.numel()).view(&shape[..]);
        start += replicas * tensor.numel();
        line(true, &own)
    };
    Tensor::cat(&layout.tensors.iter().map(of).collect::<Vec<_>>(), 0)
}

/// Tensors by their names without what PyTorch's wrappers put into them: `module.` (DataParallel,
/// averaged models) and `_orig_mod.` (`torch.compile`), around the whole network or a part of it.
fn unwrapped(state: State) -> Result<HashMap<String, Tensor>> {
    const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];
    let mut found: HashMap<String, Tensor> = HashMap::new();
    for (name, tensor) in state {
        let bare: Vec<&str> = name.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
        let bare = bare.join(".");
        if found.insert(bare.clone(), tensor).is_some() {
            return Err(Error::invalid(format!(
                "`{name}` is the tensor `{bare}` again; write the state of one network, not of several"
            )));
        }
    }
    Ok(found)
}

/// Tensors by name, taken one by one.
struct NamedTensors(HashMap<String, Tensor>);

impl NamedTensors {
    fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let tensor = self.0.remove(name).ok_or_else(|| {
            // Another wrapper's prefix, as of Lightning's checkpoints.
            let ending = format!(".{name}");
            let hint = match self.0.keys().find_map(|other| other.strip_suffix(&ending)) {
                Some(prefix) => format!(", but `{prefix}{ending}`: write names without `{prefix}.`"),
                None => String::new(),
            };
            Error::invalid(format!("expected a tensor `{name}`, found none{hint}"))
        })?;
        if tensor.size() != shape {
            return Err(Error::invalid(format!(
                "`{name}`: expected shape {shape:?}, found {:?}; is it another width, or another number of channels or classes?",
                tensor.size()
            )));
        }
        if !tensor.is_floating_point() {
            return Err(Error::invalid(format!("`{name}`: expected floats, found {:?}", tensor.kind())));
        }
        Ok(tensor)
    }

    /// The trainable tensors in the layout's order.
    fn take_all(&mut self, layout: &Layout) -> Result<Vec<Tensor>> {
        layout.tensors.iter().map(|tensor| self.take(&tensor.name, &tensor.shape)).collect()
    }
}

/// Writes tensors as safetensors; the file appears whole.
pub(crate) fn save_state(state: &State, path: &Path) -> Result<()> {
    crate::files::write(path, |file| stored::write_summed(state, file))
}

/// Reads tensors from a safetensors file that is for a model with so many parameters.
pub(crate) fn load_state(path: &Path, parameters: i64) -> Result<State> {
    // Another width is told by its shapes, as far as the file is not many times as long.
    let most = (64 << 20) + 32 * parameters.unsigned_abs();
    stored::Stored::open(path, most)?.read()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelSpec;
    use tch::Kind;

    #[test]
    fn names_of_wrapped_networks_are_understood() {
        let model = ModelSpec::mlp(vec![3]).build([1, 2, 2], 2).unwrap();
        let draw = |seed| Weights::draw(&model.layout, &[seed], Precision::Float32, Device::Cpu);
        let state = draw(7).state(0);
        let renamed = |rename: &dyn Fn(&str) -> String| -> State {
            state.iter().map(|(name, tensor)| (rename(name), tensor.copy())).collect()
        };
        for rename in [
            &(|name: &str| format!("module.{name}")) as &dyn Fn(&str) -> String,
            &|name| format!("_orig_mod.{name}"),
            &|name| format!("_orig_mod.module.{name}"),
            &|name| name.replace("layers.0.", "layers.0._orig_mod."),
        ] {
            let mut weights = draw(1);
            weights.set_state(0, renamed(rename)).unwrap();
            assert_eq!(weights.flat(), draw(7).flat());
        }
        let error = |state: State| draw(1).set_state(0, state).unwrap_err().to_string();
        let other = error(renamed(&|name| format!("net.{name}")));
        assert!(
            other.contains("expected a tensor `layers.0.weight`") && other.contains("without `net.`"),
            "{other}"
        );
        let mut twice = renamed(&str::to_owned);
        twice.extend(renamed(&|name| format!("module.{name}")));
        assert!(error(twice).contains("again"));
    }

    /// With the channels of filters innermost everything means the same: states, gradients, noise,
    /// what is set.
    #[test]
    fn the_order_of_channels_shows_nowhere() {
        let model = ModelSpec::resnet(2).build([3, 8, 8], 10).unwrap();
        let draw = |last| Weights::draw_ordered(&model.layout, &[3], Precision::Float64, Device::Cpu, last);
        let (mut plain, mut last) = (draw(false), draw(true));
        let same = |a: State, b: State| {
            assert_eq!(a.len(), b.len());
            for ((name, a), (other, b)) in a.iter().zip(&b) {
                assert_eq!((name, a.size()), (other, b.size()));
                let difference = (a - b).abs().max().to_kind(Kind::Double).double_value(&[]);
                assert!(difference < 1e-9, "{name}: {difference}");
            }
        };
        let check = |plain: &Weights, last: &Weights| {
            same(plain.state(0), last.state(0));
            assert_eq!(plain.numbers().0, last.numbers().0);
            assert_ne!(plain.flat, last.flat);
            let images = Tensor::arange(4 * 192, (Kind::Double, Device::Cpu)).cos().view([4, 3, 8, 8]);
            let loss = |weights: &Weights| model.net.forward(weights, &images, true).square().mean(None);
            let gradient = |weights: &Weights| weights.split(&weights.gradient(&loss(weights)), 0);
            same(gradient(plain), gradient(last));
        };
        check(&plain, &last);
        let noise: Vec<f64> = (0..model.layout.parameters()).map(|i| (i as f64).sin()).collect();
        for weights in [&mut plain, &mut last] {
            let noise = weights.interleave(std::slice::from_ref(&noise));
            weights.update(|theta| {
                let _ = theta.g_add_(&noise);
            });
        }
        check(&plain, &last);
        let other = Weights::draw(&model.layout, &[4], Precision::Float64, Device::Cpu);
        last.set_state(0, other.state(0)).unwrap();
        check(&other, &last);
    }
}
