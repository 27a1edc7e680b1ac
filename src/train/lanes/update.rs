//! The optimizers of `optim/` on parameters whose vector lanes are replicas, a tensor at a time.

use std::ops::Range;

use super::vector::{Scalar, Vector, lanes_mut};
use crate::optim::{Adam, Form, OptimizerSpec, Sgd};

/// An optimizer with what it remembers.
pub(super) struct Optimizer<V> {
    spec: OptimizerSpec,
    /// Each lane's initial learning rate.
    lr: Vec<f64>,
    /// By name, each as long as the parameters.
    pub(super) buffers: Vec<(&'static str, Vec<V>)>,
}

/// One update of all parameters.
pub(super) struct Step<V> {
    /// −λ of each lane.
    descent: V,
    /// Updates done before.
    done: u64,
    /// β √(λT) w per parameter, if there is noise.
    pub(super) noise: Option<Vec<V>>,
}

impl<V: Vector> Optimizer<V> {
    /// At rest.
    pub(super) fn new(spec: &OptimizerSpec, lr: Vec<f64>, parameters: usize) -> Self {
        let names: &[&'static str] = match spec {
            OptimizerSpec::Sgd(sgd) if sgd.momentum > 0.0 => &["momentum"],
            OptimizerSpec::Sgd(_) => &[],
            OptimizerSpec::Adam(_) => &["exp_avg", "exp_avg_sq"],
        };
        let buffers = names.iter().map(|name| (*name, vec![V::zero(); parameters])).collect();
        Self { spec: spec.clone(), lr, buffers }
    }

    /// The update after `done` others, with learning rates of `factor` times the initial ones.
    pub(super) fn step(&self, done: u64, factor: f64) -> Step<V> {
        let mut descent = [V::zero()];
        for (lane, lr) in lanes_mut(&mut descent).iter_mut().zip(&self.lr) {
            *lane = V::Scalar::of(-lr * factor);
        }
        Step { descent: descent[0], done, noise: None }
    }

    /// Changes the tensor at `place` by its gradient.
    pub(super) fn update(&mut self, theta: &mut [V], place: Range<usize>, gradient: &[V], step: &Step<V>) {
        let mut buffers = self.buffers.iter_mut().map(|(_, buffer)| &mut buffer[place.clone()]);
        match &self.spec {
            OptimizerSpec::Sgd(sgd) => descend(sgd, theta, buffers.next(), gradient, step.descent),
            OptimizerSpec::Adam(adam) => {
                if let (Some(mean), Some(square)) = (buffers.next(), buffers.next()) {
                    adapt(adam, theta, [mean, square], gradient, step);
                }
            }
        }
        if let Some(noise) = &step.noise {
            V::run(
                #[inline(always)]
                || {
                    for (theta, noise) in theta.iter_mut().zip(&noise[place]) {
                        *theta = theta.add(*noise);
                    }
                },
            );
        }
    }
}

/// `optim/sgd.rs` has the formulas.
fn descend<V: Vector>(sgd: &Sgd, theta: &mut [V], velocity: Option<&mut [V]>, gradient: &[V], descent: V) {
    let (decay, momentum) = (V::of(sgd.weight_decay), V::of(sgd.momentum));
    let Some(velocity) = velocity else {
        return V::run(
            #[inline(always)]
            || {
                for (theta, gradient) in theta.iter_mut().zip(gradient) {
                    let gradient = theta.mul_add(decay, *gradient);
                    *theta = descent.mul_add(gradient, *theta);
                }
            },
        );
    };
    V::run(
        #[inline(always)]
        || {
            for ((theta, gradient), velocity) in theta.iter_mut().zip(gradient).zip(velocity) {
                let gradient = theta.mul_add(decay, *gradient);
                match sgd.form {
                    Form::Pytorch => {
                        *velocity = velocity.mul_add(momentum, gradient);
                        let ahead =
                            if sgd.nesterov { velocity.mul_add(momentum, gradient) } else { *velocity };
                        *theta = descent.mul_add(ahead, *theta);
                    }
                    Form::Sutskever => {
                        let push = descent.mul(gradient);
                        *velocity = velocity.mul_add(momentum, push);
                        let ahead = if sgd.nesterov { velocity.mul_add(momentum, push) } else { *velocity };
                        *theta = theta.add(ahead);
                    }
                }
            }
        },
    );
}

/// `optim/adam.rs` has the formulas.
fn adapt<V: Vector>(
    adam: &Adam,
    theta: &mut [V],
    [mean, square]: [&mut [V]; 2],
    gradient: &[V],
    step: &Step<V>,
) {
    let t = step.done as f64 + 1.0;
    let decay = V::of(adam.weight_decay);
    let kept = step.descent.mul_add(decay, V::of(1.0));
    let [beta1, beta2] = [adam.beta1, adam.beta2];
    let descent = step.descent.mul(V::of(1.0 / (1.0 - beta1.powf(t))));
    let unbias = V::of(1.0 / (1.0 - beta2.powf(t)).sqrt());
    V::run(
        #[inline(always)]
        || {
            let moments = mean.iter_mut().zip(square);
            for ((theta, gradient), (mean, square)) in theta.iter_mut().zip(gradient).zip(moments) {
                let mut gradient = *gradient;
                match adam.decoupled {
                    true => *theta = theta.mul(kept),
                    false => gradient = theta.mul_add(decay, gradient),
                }
                *mean = mean.mul_add(V::of(beta1), gradient.mul(V::of(1.0 - beta1)));
                *square = square.mul_add(V::of(beta2), gradient.mul(gradient).mul(V::of(1.0 - beta2)));
                let spread = square.sqrt().mul_add(unbias, V::of(adam.eps));
                *theta = descent.mul(*mean).div(spread).add(*theta);
            }
        },
    );
}
