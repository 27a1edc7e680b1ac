//! The optimizers of `optim/` on the numbers of replicas, `replicas` of each parameter, some parameters at a time.

use std::ops::Range;

use super::vector::{Numbers, Scalar, Vector, lanes, lanes_mut};
use crate::error::Result;
use crate::optim::{Adam, Form, OptimizerSpec, Sgd};

/// An optimizer with what it remembers.
pub(super) struct Optimizer<V: Vector> {
    spec: OptimizerSpec,
    /// The initial learning rate of each replica in a vector.
    lr: Vec<f64>,
    /// By name, each as long as the parameters' numbers.
    pub(super) buffers: Vec<(&'static str, Numbers<V>)>,
}

/// One update of all parameters.
pub(super) struct Step<V: Vector> {
    /// −λ of each lane.
    descent: V,
    /// Updates done before.
    done: u64,
    /// β √(λT) w per number, if there is noise.
    pub(super) noise: Option<Vec<V::Scalar>>,
}

impl<V: Vector> Optimizer<V> {
    /// At rest.
    pub(super) fn new(spec: &OptimizerSpec, lr: Vec<f64>, parameters: usize) -> Result<Self> {
        let names: &[&'static str] = match spec {
            OptimizerSpec::Sgd(sgd) if sgd.momentum > 0.0 => &["momentum"],
            OptimizerSpec::Sgd(_) => &[],
            OptimizerSpec::Adam(_) => &["exp_avg", "exp_avg_sq"],
        };
        let buffer = |name: &&'static str| Ok((*name, Numbers::zeros(parameters * lr.len())?));
        let buffers = names.iter().map(buffer).collect::<Result<_>>()?;
        Ok(Self { spec: spec.clone(), lr, buffers })
    }

    /// The update after `done` others, with learning rates of `factor` times the initial ones.
    pub(super) fn step(&self, done: u64, factor: f64) -> Step<V> {
        let mut descent = [V::zero()];
        for (lane, descent) in lanes_mut(&mut descent).iter_mut().enumerate() {
            *descent = V::Scalar::of(-self.lr[lane % self.lr.len()] * factor);
        }
        Step { descent: descent[0], done, noise: None }
    }

    /// Changes the numbers of the parameters at `place` by their gradients.
    pub(super) fn update(
        &mut self,
        theta: &mut [V::Scalar],
        place: Range<usize>,
        gradient: &[V::Scalar],
        step: &Step<V>,
    ) {
        let place = place.start * self.lr.len()..place.end * self.lr.len();
        let mut buffers = self.buffers.iter_mut().map(|(_, buffer)| &mut buffer[place.clone()]);
        match &self.spec {
            OptimizerSpec::Sgd(options) => match buffers.next() {
                None => sgd(options, theta, gradient, step.descent),
                Some(velocity) => sgd_momentum(options, theta, velocity, gradient, step.descent),
            },
            OptimizerSpec::Adam(options) => {
                if let (Some(mean), Some(square)) = (buffers.next(), buffers.next()) {
                    adam(options, theta, [mean, square], gradient, step);
                }
            }
        }
        if let Some(noise) = &step.noise {
            zip_apply(
                [theta],
                &noise[place],
                #[inline(always)]
                |[theta]: [V; 1], noise| [theta.add(noise)],
            );
        }
    }
}

/// Changes numbers of some slices of one length by those of another, a vector at a time.
#[inline(always)]
fn zip_apply<V: Vector, const N: usize>(
    mut slices: [&mut [V::Scalar]; N],
    by: &[V::Scalar],
    f: impl Fn([V; N], V) -> [V; N],
) {
    let length = by.len();
    assert!(slices.iter().all(|slice| slice.len() == length));
    V::run(
        #[inline(always)]
        || {
            let whole = length - length % V::LANES;
            for start in (0..whole).step_by(V::LANES) {
                // SAFETY: a vector's worth of scalars from `start` on, in slices of one length.
                unsafe {
                    let own: [V; N] = std::array::from_fn(
                        #[inline(always)]
                        |index| slices[index].as_ptr().add(start).cast::<V>().read_unaligned(),
                    );
                    let by = by.as_ptr().add(start).cast::<V>().read_unaligned();
                    for (slice, value) in slices.iter_mut().zip(f(own, by)) {
                        slice.as_mut_ptr().add(start).cast::<V>().write_unaligned(value);
                    }
                }
            }
            if whole < length {
                let padded = |numbers: &[V::Scalar]| {
                    let mut padded = [V::zero()];
                    lanes_mut(&mut padded)[..length - whole].copy_from_slice(&numbers[whole..]);
                    padded[0]
                };
                let own: [V; N] = std::array::from_fn(|index| padded(slices[index]));
                for (slice, value) in slices.iter_mut().zip(f(own, padded(by))) {
                    slice[whole..].copy_from_slice(&lanes(&[value])[..length - whole]);
                }
            }
        },
    );
}

/// `optim/sgd.rs` has the formulas.
fn sgd<V: Vector>(sgd: &Sgd, theta: &mut [V::Scalar], gradient: &[V::Scalar], descent: V) {
    let decay = V::of(sgd.weight_decay);
    zip_apply(
        [theta],
        gradient,
        #[inline(always)]
        |[theta]: [V; 1], gradient| [descent.mul_add(theta.mul_add(decay, gradient), theta)],
    );
}

/// The same with momentum.
fn sgd_momentum<V: Vector>(
    sgd: &Sgd,
    theta: &mut [V::Scalar],
    velocity: &mut [V::Scalar],
    gradient: &[V::Scalar],
    descent: V,
) {
    let (decay, momentum) = (V::of(sgd.weight_decay), V::of(sgd.momentum));
    let (form, nesterov) = (sgd.form, sgd.nesterov);
    zip_apply(
        [theta, velocity],
        gradient,
        #[inline(always)]
        |[theta, velocity]: [V; 2], gradient| {
            let gradient = theta.mul_add(decay, gradient);
            // What is added to the velocity, and what the update is times the step that comes after.
            let push = if form == Form::Pytorch { gradient } else { descent.mul(gradient) };
            let velocity = velocity.mul_add(momentum, push);
            let ahead = if nesterov { velocity.mul_add(momentum, push) } else { velocity };
            let theta = match form {
                Form::Pytorch => descent.mul_add(ahead, theta),
                Form::Sutskever => theta.add(ahead),
            };
            [theta, velocity]
        },
    );
}

/// `optim/adam.rs` has the formulas.
fn adam<V: Vector>(
    adam: &Adam,
    theta: &mut [V::Scalar],
    [mean, square]: [&mut [V::Scalar]; 2],
    gradient: &[V::Scalar],
    step: &Step<V>,
) {
    let t = step.done as f64 + 1.0;
    let decay = V::of(adam.weight_decay);
    let kept = step.descent.mul_add(decay, V::of(1.0));
    let [beta1, beta2] = [adam.beta1, adam.beta2];
    let descent = step.descent.mul(V::of(1.0 / (1.0 - beta1.powf(t))));
    let unbias = V::of(1.0 / (1.0 - beta2.powf(t)).sqrt());
    let (eps, decoupled) = (V::of(adam.eps), adam.decoupled);
    zip_apply(
        [theta, mean, square],
        gradient,
        #[inline(always)]
        |[theta, mean, square]: [V; 3], gradient| {
            let (theta, gradient) = match decoupled {
                true => (theta.mul(kept), gradient),
                false => (theta, theta.mul_add(decay, gradient)),
            };
            let mean = mean.mul_add(V::of(beta1), gradient.mul(V::of(1.0 - beta1)));
            let square = square.mul_add(V::of(beta2), gradient.mul(gradient).mul(V::of(1.0 - beta2)));
            let spread = square.sqrt().mul_add(unbias, eps);
            [descent.mul(mean).div(spread).add(theta), mean, square]
        },
    );
}
