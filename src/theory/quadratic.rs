//! Quadratic losses: exact stationary moments of plain SGD, of SGD with momentum, and of their
//! diffusions.
//!
//! With U = ½θ′Hθ − c′θ + const the mean is m = (H + α)⁻¹ c. The noise D(θ) is quadratic in θ, so
//! its average over a stationary law with covariance Σ is D(m) + L(Σ), L(Σ) = E[xx′ (x′Σx)] − HΣH,
//! whatever the law. That closes the equations for Σ, which are linear:
//!
//! - diffusion, Eq. 17 (a Lyapunov equation): (H + α)Σ + Σ(H + α) = T (D(m) + L(Σ) + β²)
//! - Eq. 15, exactly: Σ = AΣA + (λ²/B)(D(m) + L(Σ)) + λTβ² with A = 1 − λ(H + α)
//! - momentum, Eqs. 16 and 45, exactly: the same with the state (θ, v)
//!
//! The mean of a normal law is the case x = 1 (`gaussian_mean`).

use nalgebra::{DMatrix, DVector};

use super::dynamics::Dynamics;
use crate::error::{Error, Result};
use crate::optim::Form;

/// A training or test set with a quadratic loss.
#[derive(Clone, Debug)]
pub(super) struct Quadratic {
    /// The features, an example per row.
    pub(super) x: DMatrix<f64>,
    pub(super) y: DVector<f64>,
    /// H = E[xx′].
    pub(super) h: DMatrix<f64>,
    /// c = `E[xy]`.
    pub(super) c: DVector<f64>,
    /// `E[y²]`.
    pub(super) y2: f64,
}

/// Mean and covariance of θ.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub(super) mean: DVector<f64>,
    pub(super) covariance: DMatrix<f64>,
}

impl Moments {
    /// Mean and variance of each parameter.
    pub(super) fn diagonal(&self) -> (Vec<f64>, Vec<f64>) {
        (self.mean.iter().copied().collect(), self.covariance.diagonal().iter().copied().collect())
    }
}

/// SGD as it is run: Eq. 15, 16 or 45.
#[derive(Clone, Copy, Debug)]
pub(super) struct Discrete {
    pub(super) lr: f64,
    /// B. A diffusion knows it by T alone, so it need not be whole.
    pub(super) batch: f64,
    pub(super) alpha: f64,
    pub(super) beta: f64,
    pub(super) momentum: f64,
    pub(super) form: Form,
}

impl Discrete {
    /// T, α, β.
    pub(super) fn dynamics(&self) -> Dynamics {
        Dynamics { temperature: self.lr / self.batch, alpha: self.alpha, beta: self.beta }
    }
}

impl Quadratic {
    pub(super) fn new(x: DMatrix<f64>, y: DVector<f64>) -> Self {
        let n = x.nrows() as f64;
        let (h, c, y2) = (x.tr_mul(&x) / n, x.tr_mul(&y) / n, y.norm_squared() / n);
        Self { x, y, h, c, y2 }
    }

    /// Of l = ½(θ − x)².
    pub(super) fn of_mean(x: &[f64]) -> Self {
        Self::new(DMatrix::from_element(x.len(), 1, 1.0), DVector::from_column_slice(x))
    }

    fn dim(&self) -> usize {
        self.h.nrows()
    }

    /// H + α.
    fn stiffness(&self, alpha: f64) -> DMatrix<f64> {
        &self.h + DMatrix::identity(self.dim(), self.dim()) * alpha
    }

    /// The stationary mean.
    pub(super) fn mean(&self, alpha: f64) -> Result<DVector<f64>> {
        let singular = || {
            Error::invalid(format!(
                "H or D is singular ({} parameters, {} examples) and alpha is {alpha}: Eq. 18 is no density; write alpha > 0 or more examples \
                 than parameters",
                self.dim(),
                self.x.nrows()
            ))
        };
        let stiffness = self.stiffness(alpha);
        let eigenvalues = stiffness.clone().symmetric_eigenvalues();
        // With as many parameters as examples all residuals vanish, and D with them.
        if alpha == 0.0 && self.dim() >= self.x.nrows() && self.dim() > 1
            || eigenvalues.min() <= 1e-12 * eigenvalues.max()
        {
            return Err(singular());
        }
        stiffness.cholesky().map(|cholesky| cholesky.solve(&self.c)).ok_or_else(singular)
    }

    /// D at a θ: the covariance of the examples' gradients.
    pub(super) fn noise_at(&self, theta: &DVector<f64>) -> DMatrix<f64> {
        let residuals = &self.x * theta - &self.y;
        let gradients = DMatrix::from_fn(self.x.nrows(), self.dim(), |row, column| {
            self.x[(row, column)] * residuals[row]
        });
        let mean = &self.h * theta - &self.c;
        gradients.tr_mul(&gradients) / self.x.nrows() as f64 - &mean * mean.transpose()
    }

    /// The matrix of Σ ↦ L(Σ) on columns put below one another: E[(x⊗x)(x⊗x)′] − H⊗H.
    fn noise_operator(&self) -> DMatrix<f64> {
        let d = self.dim();
        let squares =
            DMatrix::from_fn(self.x.nrows(), d * d, |row, k| self.x[(row, k % d)] * self.x[(row, k / d)]);
        squares.tr_mul(&squares) / self.x.nrows() as f64 - self.h.kronecker(&self.h)
    }

    /// ⟨D⟩ where θ has these moments, by the examples' residuals: what [`Quadratic::diffusion`]
    /// solves for is not used.
    pub(super) fn mean_noise(&self, moments: &Moments) -> DMatrix<f64> {
        let Moments { mean, covariance } = moments;
        let (n, gradient) = (self.x.nrows() as f64, &self.h * mean - &self.c);
        let mut noise = -(&gradient * gradient.transpose() + &self.h * covariance * &self.h);
        for (x, y) in self.x.row_iter().zip(self.y.iter()) {
            let x = x.transpose();
            let residual = x.dot(mean) - y;
            noise += &x * x.transpose() * ((residual * residual + x.dot(&(covariance * &x))) / n);
        }
        noise
    }

    /// ⟨U⟩ where θ has these moments.
    pub(super) fn loss(&self, moments: &Moments) -> f64 {
        let square = &moments.covariance + &moments.mean * moments.mean.transpose();
        0.5 * (self.h.component_mul(&square).sum() - 2.0 * self.c.dot(&moments.mean) + self.y2)
    }

    /// The stationary moments of Eq. 17.
    pub(super) fn diffusion(&self, dynamics: &Dynamics) -> Result<Moments> {
        let Dynamics { temperature, alpha, beta } = *dynamics;
        let (d, mean) = (self.dim(), self.mean(alpha)?);
        let one = DMatrix::<f64>::identity(d, d);
        let k = self.stiffness(alpha);
        let left = k.kronecker(&one) + one.kronecker(&k) - self.noise_operator() * temperature;
        let right = (self.noise_at(&mean) + &one * (beta * beta)) * temperature;
        let covariance = solved(left, &right, || {
            format!(
                "the noise D grows like θ², and at temperature {temperature} it feeds itself; write a lower one"
            )
        })?;
        Ok(Moments { mean, covariance })
    }

    /// The stationary moments of the diffusion of SGD with momentum in the time λt: Eq. 44 or 46,
    /// without β as there.
    ///
    /// A step's gradient noise ξ enters θ as −λξ and Eq. 16's v as +ξ. The paper's Eq. 41, and with
    /// it Eqs. 42 to 44, has the same sign for both; `printed` keeps that.
    pub(super) fn momentum_diffusion(&self, sgd: &Discrete, printed: bool) -> Result<Moments> {
        let Discrete { lr, alpha, momentum, form, .. } = *sgd;
        let (d, mean, t) = (self.dim(), self.mean(alpha)?, sgd.dynamics().temperature);
        let (one, zero) = (DMatrix::<f64>::identity(d, d), DMatrix::<f64>::zeros(d, d));
        let k = self.stiffness(alpha);
        let (blocks, [on_theta, on_v]) = match form {
            Form::Pytorch => (
                [[-&k, &one * -momentum], [&k / lr, &one * ((momentum - 1.0) / lr)]],
                [if printed { t.sqrt() } else { -t.sqrt() }, t.sqrt() / lr],
            ),
            Form::Sutskever => {
                ([[-&k, &one * (momentum / lr)], [-&k, &one * ((momentum - 1.0) / lr)]], [t.sqrt(), t.sqrt()])
            }
        };
        let rows = blocks.map(|[left, right]| stack_columns(&left, &right));
        let a = stack_columns(&rows[0].transpose(), &rows[1].transpose()).transpose();
        let enters = stack_columns(&(&one * on_theta), &(&one * on_v)).transpose();
        let select = stack_columns(&one, &zero);
        let identity = DMatrix::<f64>::identity(2 * d, 2 * d);
        let noise = enters.kronecker(&enters) * self.noise_operator() * select.kronecker(&select);
        let left = -(a.kronecker(&identity) + identity.kronecker(&a) + noise);
        let right = &enters * self.noise_at(&mean) * enters.transpose();
        let covariance =
            solved(left, &right, || "the diffusion of momentum has no stationary law here".to_owned())?;
        Ok(Moments { mean, covariance: covariance.view((0, 0), (d, d)).into_owned() })
    }

    /// The stationary moments of SGD as it is run, with batches drawn with replacement.
    pub(super) fn discrete(&self, sgd: &Discrete) -> Result<Moments> {
        let Discrete { lr, batch, alpha, beta, momentum, form } = *sgd;
        let (d, mean) = (self.dim(), self.mean(alpha)?);
        let (one, zero) = (DMatrix::<f64>::identity(d, d), DMatrix::<f64>::zeros(d, d));
        let k = self.stiffness(alpha);
        // The state (θ − m, v): θ and v of the next step, and how a gradient's noise enters both.
        let (matrix, [on_theta, on_v]) = match form {
            Form::Pytorch => {
                ([[&one - &k * lr, &one * (-lr * momentum)], [k.clone(), &one * momentum]], [-lr, 1.0])
            }
            Form::Sutskever => ([[&one - &k * lr, &one * momentum], [&k * -lr, &one * momentum]], [-lr, -lr]),
        };
        let size = if momentum == 0.0 { d } else { 2 * d };
        let mut a = DMatrix::zeros(2 * d, 2 * d);
        let mut enters = DMatrix::zeros(2 * d, d);
        for (row, blocks) in matrix.iter().enumerate() {
            for (column, block) in blocks.iter().enumerate() {
                a.view_mut((row * d, column * d), (d, d)).copy_from(block);
            }
            enters.view_mut((row * d, 0), (d, d)).copy_from(&(&one * [on_theta, on_v][row]));
        }
        let (a, enters) = (a.view((0, 0), (size, size)).into_owned(), enters.rows(0, size).into_owned());
        let select = if size == d { one.clone() } else { stack_columns(&one, &zero) };
        // Of the state's covariance the θ part makes noise.
        let of_theta = select.kronecker(&select);
        let noise = enters.kronecker(&enters) * self.noise_operator() * of_theta / batch;
        let left = DMatrix::identity(size * size, size * size) - a.kronecker(&a) - noise;
        let isotropic = select.transpose() * &select * (lr * lr / batch * beta * beta);
        let right = &enters * self.noise_at(&mean) * enters.transpose() / batch + isotropic;
        let covariance =
            solved(left, &right, || format!("SGD diverges at lr {lr}; write a lower learning rate"))?;
        Ok(Moments { mean, covariance: covariance.view((0, 0), (d, d)).into_owned() })
    }
}

/// Two matrices side by side.
fn stack_columns(left: &DMatrix<f64>, right: &DMatrix<f64>) -> DMatrix<f64> {
    let mut both = DMatrix::zeros(left.nrows(), left.ncols() + right.ncols());
    both.columns_mut(0, left.ncols()).copy_from(left);
    both.columns_mut(left.ncols(), right.ncols()).copy_from(right);
    both
}

/// The covariance that solves the equations, or why there is none.
fn solved(left: DMatrix<f64>, right: &DMatrix<f64>, reason: impl Fn() -> String) -> Result<DMatrix<f64>> {
    let size = right.nrows();
    let none = || Error::invalid(format!("the stationary variance is infinite: {}", reason()));
    let vector = DVector::from_column_slice(right.as_slice());
    let solution = left.lu().solve(&vector).ok_or_else(none)?;
    let covariance = DMatrix::from_column_slice(size, size, solution.as_slice());
    let covariance = (&covariance + covariance.transpose()) * 0.5;
    let eigenvalues = covariance.clone().symmetric_eigenvalues();
    // Beyond the threshold the equations still have a solution, which is no covariance.
    if eigenvalues.iter().any(|value| !value.is_finite())
        || eigenvalues.min() < -1e-9 * eigenvalues.max().abs()
    {
        return Err(none());
    }
    Ok(covariance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::LinearRegression;
    use crate::theory::law::DataSetKey;

    const SGD: Discrete =
        Discrete { lr: 0.1, batch: 4.0, alpha: 0.2, beta: 0.5, momentum: 0.0, form: Form::Pytorch };

    fn sample(dim: usize) -> Quadratic {
        let law = LinearRegression { dim, spread: 0.5, ..LinearRegression::default() };
        law.data_set(&DataSetKey::train(40, 2, 0))
    }

    #[test]
    fn of_the_gaussian_mean_both_variances_have_closed_forms() {
        let data = Quadratic::of_mean(&[1.0, 2.0, 6.0]);
        let (s2, t, k) = (14.0 / 3.0, 0.1 / 4.0, 1.2);
        let diffusion = data.diffusion(&SGD.dynamics()).unwrap();
        assert!((diffusion.mean[0] - 3.0 / k).abs() < 1e-12);
        assert!((diffusion.covariance[0] - t * (s2 + 0.25) / (2.0 * k)).abs() < 1e-12);
        let exact = data.discrete(&SGD).unwrap().covariance[0];
        assert!((exact - t * (s2 + 0.25) / (k * (2.0 - 0.1 * k))).abs() < 1e-12, "{exact}");
    }

    #[test]
    fn the_covariance_obeys_its_lyapunov_equation() {
        let (data, dynamics) = (sample(3), Dynamics { temperature: 0.05, alpha: 0.1, beta: 0.3 });
        let Moments { mean, covariance } = data.diffusion(&dynamics).unwrap();
        let k = data.stiffness(dynamics.alpha);
        // ⟨D⟩ from two points on either side along each principal axis: exact for a quadratic
        // function.
        let eigen = covariance.clone().symmetric_eigen();
        let mut noise = data.noise_at(&mean);
        for (value, axis) in eigen.eigenvalues.iter().zip(eigen.eigenvectors.column_iter()) {
            let step = axis * value.sqrt();
            let sides = data.noise_at(&(&mean + &step)) + data.noise_at(&(&mean - &step));
            noise += (sides - data.noise_at(&mean) * 2.0) * 0.5;
        }
        noise += DMatrix::identity(3, 3) * 0.09;
        let difference = &k * &covariance + &covariance * &k - noise * dynamics.temperature;
        assert!(difference.abs().max() < 1e-12, "{difference}");
    }

    #[test]
    fn small_steps_of_sgd_reach_the_diffusion_and_momentum_rescales_the_temperature() {
        let data = sample(2);
        let trace = |moments: Moments| moments.covariance.trace();
        let small = Discrete { lr: 1e-5, batch: 1.0, ..SGD };
        let ratio = trace(data.discrete(&small).unwrap()) / trace(data.diffusion(&small.dynamics()).unwrap());
        assert!((ratio - 1.0).abs() < 1e-4, "{ratio}");
        // To first order in λ, momentum μ is plain SGD with λ / (1 − μ).
        let heavy = Discrete { momentum: 0.9, beta: 0.0, ..small };
        let plain = Discrete { lr: 1e-4, beta: 0.0, ..small };
        let ratio = trace(data.discrete(&heavy).unwrap()) / trace(data.discrete(&plain).unwrap());
        assert!((ratio - 1.0).abs() < 1e-3, "{ratio}");
        // With a constant learning rate both forms are the same algorithm.
        let other = Discrete { form: Form::Sutskever, ..heavy };
        let ratio = trace(data.discrete(&heavy).unwrap()) / trace(data.discrete(&other).unwrap());
        assert!((ratio - 1.0).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn both_forms_of_momentum_have_one_diffusion_only_with_opposite_signs() {
        let data = Quadratic::of_mean(&[1.0, 2.0, 6.0]);
        let heavy = Discrete { lr: 0.01, batch: 1.0, beta: 0.0, momentum: 0.9, ..SGD };
        let variance = |sgd: &Discrete, printed| data.momentum_diffusion(sgd, printed).unwrap().covariance[0];
        let sutskever = variance(&Discrete { form: Form::Sutskever, ..heavy }, false);
        let mended = variance(&heavy, false);
        assert!((mended / sutskever - 1.0).abs() < 1e-9, "{mended} {sutskever}");
        // The paper's signs are those of another process.
        let printed = variance(&heavy, true);
        assert!((printed / sutskever - 1.0).abs() > 0.01, "{printed} {sutskever}");
        let exact = data.discrete(&heavy).unwrap().covariance[0];
        assert!(
            (mended / exact - 1.0).abs() < 0.3 * (printed / exact - 1.0).abs(),
            "{mended} {printed} {exact}"
        );
    }

    #[test]
    fn where_no_stationary_distribution_exists_it_says_why() {
        let wide = LinearRegression { dim: 8, ..LinearRegression::default() };
        let data = wide.data_set(&DataSetKey::train(5, 1, 0));
        let dynamics = Dynamics { temperature: 0.01, alpha: 0.0, beta: 1.0 };
        let error = data.diffusion(&dynamics).unwrap_err().to_string();
        assert!(error.contains("singular (8 parameters, 5 examples)"), "{error}");
        assert!(data.diffusion(&Dynamics { alpha: 0.1, ..dynamics }).is_ok());
        let error = sample(2).diffusion(&Dynamics { temperature: 10.0, ..dynamics }).unwrap_err().to_string();
        assert!(error.contains("lower one"), "{error}");
        let error = sample(2).discrete(&Discrete { lr: 3.0, ..SGD }).unwrap_err().to_string();
        assert!(error.contains("diverges at lr 3"), "{error}");
    }
}
