//! What the updates of backends are tested with: every optimizer, some weights and gradients, and
//! what the formulas make of them.

use serde_json::Value;

use super::*;
use crate::options::Kind;

/// Updates of each weight.
pub(crate) const STEPS: usize = 5;
/// Weights.
pub(crate) const N: usize = 13;

/// Every optimizer in all its forms: each choice and flag, and numbers that no factor hides.
pub(crate) fn optimizers() -> Vec<OptimizerSpec> {
    let values = |opt: &Opt| -> Vec<Value> {
        match opt.kind {
            Kind::Flag => vec![false.into(), true.into()],
            Kind::Choice(_) => opt.choices().into_iter().map(Value::from).collect(),
            Kind::Number(bounds) => {
                [0.0, 0.3].into_iter().filter(|&number| bounds.contains(number)).map(Value::from).collect()
            }
            other => panic!("{}: no values to try of {other:?}", opt.name),
        }
    };
    let forms = |entry: &&OptimizerEntry| {
        let mut all = vec![Stored::new()];
        for opt in entry.options {
            let with = |value: &Value, form: &Stored| {
                let mut form = form.clone();
                form.insert(opt.name.to_owned(), value.clone());
                form
            };
            let values = values(opt);
            all = all.iter().flat_map(|form| values.iter().map(move |value| with(value, form))).collect();
        }
        let specs = all.into_iter().map(|form| (entry.stored)(form).unwrap());
        // Some options do not go together.
        specs.filter(|spec| spec.check().is_ok()).collect::<Vec<_>>()
    };
    let all: Vec<OptimizerSpec> = OPTIMIZERS.iter().flat_map(forms).collect();
    assert!(all.len() >= 30, "{}", all.len());
    all
}

/// The learning rate of a weight, before the schedule.
pub(crate) fn lr(index: usize) -> f64 {
    [0.1, 0.02][index % 2]
}

/// The schedule's factor of an update.
pub(crate) fn factor(step: usize) -> f64 {
    1.0 - 0.15 * step as f64
}

/// The weights at first.
pub(crate) fn start() -> Vec<f64> {
    (0..N).map(|index| (1.3 * index as f64).sin()).collect()
}

/// Gradients and noise of an update.
pub(crate) fn gradient(step: usize) -> Vec<f64> {
    (0..N).map(|index| (0.7 * (index + 11 * step) as f64).cos()).collect()
}

/// The noise of an update, as [`Update::noise`].
pub(crate) fn noise(spec: &OptimizerSpec, step: usize) -> Vec<f64> {
    let noise = |index| spec.noise() * 0.1 * (2.1 * (index + 5 * step) as f64).sin();
    (0..N).map(noise).collect()
}

/// The weights after all updates, and what is remembered of them, by the formula.
pub(crate) fn expected(spec: &OptimizerSpec) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut theta = start();
    let mut buffers = vec![vec![0.0; N]; spec.buffer_names().len()];
    for step in 0..STEPS {
        let (gradient, noise) = (gradient(step), noise(spec, step));
        for index in 0..N {
            let lr = lr(index) * factor(step);
            let update = PlainUpdate { lr, done: step as u64, noise: noise[index] };
            let mut own: Vec<f64> = buffers.iter().map(|buffer| buffer[index]).collect();
            theta[index] = spec.formula(theta[index], gradient[index], &mut own, &update);
            buffers.iter_mut().zip(own).for_each(|(buffer, own)| buffer[index] = own);
        }
    }
    (theta, buffers)
}

/// Whether numbers agree to the last few digits.
pub(crate) fn assert_close(spec: &OptimizerSpec, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-13, "{spec:?}: {found}, expected {expected}");
    }
}
