//! The optimizers of `optim/` on the numbers of replicas, `replicas` of each parameter, some
//! parameters at a time.

use std::ops::Range;

use super::vector::{Numbers, Scalar, Vector, lanes, lanes_mut};
use crate::error::Result;
use crate::optim::{Adam, Form, OptimizerSpec, PlainUpdate, Sgd};

/// An optimizer with what it remembers.
pub(super) struct LaneOptimizer<V: Vector> {
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

impl<V: Vector> LaneOptimizer<V> {
    /// At rest.
    pub(super) fn new(spec: &OptimizerSpec, lr: Vec<f64>, parameters: usize) -> Result<Self> {
        let buffer = |name: &&'static str| Ok((*name, Numbers::zeros(parameters * lr.len())?));
        let buffers = spec.buffer_names().iter().map(buffer).collect::<Result<_>>()?;
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
        if let Some(options) = self.spec.get::<Sgd>() {
            match buffers.next() {
                None => sgd(options, theta, gradient, step.descent),
                Some(velocity) => sgd_momentum(options, theta, velocity, gradient, step.descent),
            }
        } else if let Some(options) = self.spec.get::<Adam>() {
            if let (Some(mean), Some(square)) = (buffers.next(), buffers.next()) {
                adam(options, theta, [mean, square], gradient, step);
            }
        } else {
            plain::<V>(&self.spec, theta, buffers.collect(), gradient, step);
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

/// The formula of an optimizer that has no kernel, number by number.
fn plain<V: Vector>(
    spec: &OptimizerSpec,
    theta: &mut [V::Scalar],
    mut buffers: Vec<&mut [V::Scalar]>,
    gradient: &[V::Scalar],
    step: &Step<V>,
) {
    let descent = [step.descent];
    let descents = lanes(&descent).iter().cycle();
    let mut own = vec![0.0; buffers.len()];
    for (index, ((theta, gradient), descent)) in theta.iter_mut().zip(gradient).zip(descents).enumerate() {
        own.iter_mut().zip(&buffers).for_each(|(own, buffer)| *own = buffer[index].wide());
        let update = PlainUpdate { lr: -descent.wide(), done: step.done, noise: 0.0 };
        *theta = V::Scalar::of(spec.formula(theta.wide(), gradient.wide(), &mut own, &update));
        buffers.iter_mut().zip(&own).for_each(|(buffer, &own)| buffer[index] = V::Scalar::of(own));
    }
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
            // What is added to the velocity, and what the update is times the step that comes
            // after.
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

#[cfg(test)]
mod tests {
    use super::super::vector::Plain;
    use super::*;
    use crate::optim::trial;

    type Lanes = Plain<f64, 4>;

    /// The updates of two replicas of some parameters, in two parts, by one of the two ways.
    fn run(
        spec: &OptimizerSpec,
        update: impl Fn(&mut LaneOptimizer<Lanes>, &mut [f64], Range<usize>, &[f64], &Step<Lanes>),
    ) -> (Vec<f64>, LaneOptimizer<Lanes>) {
        // The last vector is not full.
        let (replicas, parameters) = (2, trial::N.div_ceil(2));
        let padded = |mut numbers: Vec<f64>| {
            numbers.resize(replicas * parameters, 0.0);
            numbers
        };
        let lr = (0..replicas).map(trial::lr).collect();
        let mut optimizer = LaneOptimizer::<Lanes>::new(spec, lr, parameters).unwrap();
        let mut theta = padded(trial::start());
        for index in 0..trial::STEPS {
            let gradient = padded(trial::gradient(index));
            let mut step = optimizer.step(index as u64, trial::factor(index));
            step.noise = (spec.noise() > 0.0).then(|| padded(trial::noise(spec, index)));
            for place in [0..3, 3..parameters] {
                let numbers = place.start * replicas..place.end * replicas;
                update(&mut optimizer, &mut theta[numbers.clone()], place, &gradient[numbers], &step);
            }
        }
        theta.truncate(trial::N);
        (theta, optimizer)
    }

    #[test]
    fn lanes_follow_the_formulas() {
        for spec in trial::optimizers() {
            let (theta, optimizer) = run(&spec, |optimizer, theta, place, gradient, step| {
                optimizer.update(theta, place, gradient, step)
            });
            let (weights, buffers) = trial::expected(&spec);
            trial::assert_close(&spec, &theta, &weights);
            let names: Vec<&str> = optimizer.buffers.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, spec.buffer_names());
            for ((_, found), expected) in optimizer.buffers.iter().zip(buffers) {
                trial::assert_close(&spec, &found[..trial::N], &expected);
            }
        }
    }

    /// An optimizer without a kernel trains, too.
    #[test]
    fn number_by_number_is_the_formula() {
        for spec in trial::optimizers().into_iter().filter(|spec| spec.noise() == 0.0) {
            let (theta, _) = run(&spec, |optimizer, theta, place, gradient, step| {
                let place = place.start * 2..place.end * 2;
                let buffers = optimizer.buffers.iter_mut().map(|(_, buffer)| &mut buffer[place.clone()]);
                plain::<Lanes>(&optimizer.spec, theta, buffers.collect(), gradient, step);
            });
            trial::assert_close(&spec, &theta, &trial::expected(&spec).0);
        }
    }
}
