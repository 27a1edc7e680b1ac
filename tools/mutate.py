#!/usr/bin/env python3
"""Breaks the formulas of src/theory one by one, and sees that a test of the theory fails each time.

    tools/mutate.py [TEXT]           the mutations below, or those whose file or text holds TEXT
    tools/mutate.py --network        what is measured along networks, in a copy of the checkout: minutes each
    tools/mutate.py --lanes          the kernels that train replicas in vector lanes, in the same way
    tools/mutate.py --check          whether every text of these lists stands in its file once; builds nothing
    tools/mutate.py --each FILE…     every + - * / of a file (FILE:LINE: from a line on) the other way round, every sign left out,
                                     every number 1.3 times as large, every power one higher, one at a time

The theory with its tests is built as a crate of its own in a temporary folder (the ground floor that it stands
on is replaced by a few lines), so that a mutation takes seconds: first the quick tests, unoptimised, then, if those pass,
every test. Ends with 1 if a mutation survives; of --each not all are mistakes (steps, tolerances, words).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

CARGO = """[package]
name = "theory"
version = "0.0.0"
edition = "2024"
[dependencies]
nalgebra = { version = "0.34", default-features = false, features = ["std"] }
rand_core = "0.9"
rand_chacha = { version = "0.9", default-features = false }
[dev-dependencies]
serde = { version = "1", features = ["derive"] }
serde_json = "1"
[profile.dev]
debug = false
[profile.dev.package."*"]
opt-level = 2
[profile.release]
opt-level = 2
codegen-units = 16
incremental = true
"""

LIB = """#![allow(dead_code)]
pub mod error {
    pub type Result<T> = std::result::Result<T, Error>;
    #[derive(Debug)]
    pub enum Error { Invalid(String), Interrupted }
    impl Error { pub fn invalid(message: impl Into<String>) -> Self { Self::Invalid(message.into()) } }
    pub fn nearest<'a>(_: &str, _: impl IntoIterator<Item = &'a str>) -> Option<&'a str> { None }
    pub fn suggestion<'a>(_: &str, _: impl IntoIterator<Item = &'a str> + Clone) -> String { String::new() }
    impl std::fmt::Display for Error {
        fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            match self { Self::Invalid(text) => f.write_str(text), Self::Interrupted => f.write_str("interrupted") }
        }
    }
}
pub mod interrupt {
    pub fn check() -> crate::error::Result<()> { Ok(()) }
    pub fn scope() -> Option<u8> { None }
    pub fn work_for(_: Option<u8>) {}
}
pub mod threads {
    use std::thread::{Scope, ScopedJoinHandle};
    pub fn start<'s, T: Send + 's>(
        scope: &'s Scope<'s, '_>, work: impl FnOnce() -> T + Send + 's,
    ) -> crate::error::Result<ScopedJoinHandle<'s, T>> { Ok(scope.spawn(work)) }
}
pub mod optim {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Form { Pytorch, Sutskever }
    impl Form {
        pub const ALL: [(&'static str, Self); 2] = [("pytorch", Self::Pytorch), ("sutskever", Self::Sutskever)];
    }
}
pub mod table {
    #[derive(Clone, Debug, PartialEq)]
    pub enum Cell { Null, Bool(bool), Int(i64), Float(f64), Text(String) }
    impl Cell { pub fn number(value: f64) -> Self { if value.is_nan() { Self::Null } else { Self::Float(value) } } }
}
pub mod decimal;
pub mod options;
pub mod rng;
pub mod theory;
"""

# Tests of the theory that take no time, unoptimised.
QUICK = ["reference", "away_from_rest", "verdicts", "jackknife", "every_law", "running_integral"]

# File, what stands there (once), what it becomes.
MUTATIONS = [
    ("gaussian_mean.rs", "0.5 * (d2 + s2)", "0.5 * (d2 - s2)"),
    ("gaussian_mean.rs", "s2 * d2 + 0.5 * s2 * s2", "s2 * d2 + s2 * s2"),
    ("double_well.rs", "gradient: (square - 1.0) * theta + x", "gradient: (square - 1.0) * theta - x"),
    ("double_well.rs", "(self.sigma * theta).powi(2)", "self.sigma.powi(2)"),
    ("double_well.rs", "curvature: 3.0 * square - 1.0", "curvature: 3.0 * square + 1.0"),
    ("logistic.rs", "curvature: m * m * wrong * (1.0 - wrong)", "curvature: m * wrong * (1.0 - wrong)"),
    ("logistic.rs", "-m / (1.0 + (m * theta).exp())", "-m / (1.0 + (-m * theta).exp())"),
    ("logistic.rs", "let weight = step * 2.0", "let weight = step"),
    ("linear_regression.rs", "0.5 * variance * variance", "variance * variance"),
    ("linear_regression.rs", "self.noise.powi(2) + (theta", "self.noise.powi(2) - (theta"),
    ("law.rs", "noise_slope: 2.0 * (product", "noise_slope: (product"),
    ("law.rs", "noise: (square - g * g).max(0.0),", "noise: (square - 0.5 * g * g).max(0.0),"),
    ("density.rs", "(local.gradient + alpha * theta) / noise)", "(local.gradient - alpha * theta) / noise)"),
    ("density.rs", "(value / noise[reference]).ln()", "-(value / noise[reference]).ln()"),
    ("density.rs", "2.0 * v / temperature + a).collect()", "v / temperature + a).collect()"),
    ("density.rs", "local.noise + beta * beta).collect()", "local.noise - beta * beta).collect()"),
    ("ensemble.rs", "unbiased * (product - a * b)", "unbiased * (product + a * b)"),
    ("ensemble.rs", "self.datasets / (self.datasets - 1.0)", "2.0"),
    ("ensemble.rs", "2.0 * mean(&|point| drift(point)", "mean(&|point| drift(point)"),
    ("ensemble.rs", "temperature * mean(&noise)", "0.5 * temperature * mean(&noise)"),
    ("ensemble.rs", "0.5 * temperature * mean(&|point| local(point).curvature", "temperature * mean(&|point| local(point).curvature"),
    ("ensemble.rs", "0.5 * temperature * mean(&|point| tests[point].curvature", "temperature * mean(&|point| tests[point].curvature"),
    ("ensemble.rs", "(2.0 * EPSILON * temperature)", "(EPSILON * temperature)"),
    ("ensemble.rs", "constant: 0.5 * temperature * density.log_z", "constant: -0.5 * temperature * density.log_z"),
    ("ensemble.rs", "((b - 1.0) / b * without", "(without"),
    ("equations.rs", "one.loss.powi(2) + one.loss_variance / n)", "one.loss.powi(2))"),
    ("equations.rs", '("6", "gap as a covariance", Equal, gap, -covariance)', '("6", "gap as a covariance", Equal, gap, covariance)'),
    ("equations.rs", '("3", "train loss", Equal, train_loss, covariance + test_loss)', '("3", "train loss", Equal, train_loss, test_loss - covariance)'),
    ("equations.rs", "b * (v - cov_v) + a - cov_a", "b * (v + cov_v) + a + cov_a"),
    ("equations.rs", "v - cov_v + (a - cov_a) / b", "v + cov_v + (a + cov_a) / b"),
    ("potential.rs", "sum + 2.0 * b * va", "sum + b * va"),
    ("potential.rs", "b * vu + au);\n        let g2", "b * vu - au);\n        let g2"),
    ("equations.rs", "rho * rho * g2.exp_m1()", "rho * rho * g2.exp()"),
    ("equations.rs", "-u * (-e).exp_m1()", "u * (-e).exp()"),
    ("equations.rs", "let half_g2: Vec<f64> = p.g2.iter().map(|g2| 0.5 * g2)", "let half_g2: Vec<f64> = p.g2.iter().map(|g2| 5.0 * g2)"),
    ("equations.rs", "b * under(&p.vu) + under(&p.au)", "b * under(&p.vu) - under(&p.au)"),
    ("equations.rs", "b * over(&p.vu) + over(&p.au) + small_extra", "b * over(&p.vu) - over(&p.au) + small_extra"),
    ("equations.rs", "0.5 * b * b * (one.v_train - one.v * one.train)", "b * b * (one.v_train - one.v * one.train)"),
    ("equations.rs", "variance.max(0.0).sqrt() * sigma", "0.5 * variance.max(0.0).sqrt() * sigma"),
    ("equations.rs", "0.5 * b * b * (cov_u(", "b * b * (cov_u("),
    ("equations.rs", "- own(&q.v2)));", "+ own(&q.v2)));"),
    ("equations.rs", "0.5 * there.curvature * (variance", "there.curvature * (variance"),
    ("equations.rs", "exponent(b), loss", "exponent(1.0), loss"),
    ("quadratic.rs", "- self.h.kronecker(&self.h)", "+ self.h.kronecker(&self.h)"),
    ("quadratic.rs", "let right = (self.noise_at(&mean) + &one * (beta * beta)) * temperature", "let right = (self.noise_at(&mean) + &one * (beta * beta)) * (0.5 * temperature)"),
    ("quadratic.rs", "[&one - &k * lr, &one * (-lr * momentum)]", "[&one - &k * lr, &one * (lr * momentum)]"),
    ("quadratic.rs", "(lr * lr / batch * beta * beta)", "(lr * lr * beta * beta)"),
    ("quadratic.rs", "if printed { t.sqrt() } else { -t.sqrt() }", "if printed { -t.sqrt() } else { t.sqrt() }"),
    ("chains.rs", "theta[lane] -= lr * v[lane]", "theta[lane] -= 1.05 * lr * v[lane]"),
    ("chains.rs", "scale * gradient[lane] + alpha * theta[lane]", "scale * gradient[lane] - alpha * theta[lane]"),
    ("chains.rs", "let isotropic = beta * (lr * lr * scale).sqrt();", "let isotropic = beta * lr;"),
    ("chains.rs", "(u64::from(word) * n) >> 32", "(u64::from(word) * n) >> 33"),
    ("langevin.rs", "(-drift * step + kick, 0.0)", "(-drift * step + 1.1 * kick, 0.0)"),
    ("langevin.rs", "+ if printed { kick } else { -kick }", "+ if printed { -kick } else { kick }"),
    ("langevin.rs", "(momentum / lr * v - drift) * step + kick", "(momentum / lr * v - drift) * step - kick"),
    ("fokker_planck.rs", "half_t * local.noise_slope", "-half_t * local.noise_slope"),
    ("fokker_planck.rs", "rate * bernoulli(x), rate * bernoulli(-x)", "rate * bernoulli(-x), rate * bernoulli(x)"),
    ("fokker_planck.rs", "let half_t = 0.5 * temperature", "let half_t = temperature"),
    ("fokker_planck.rs", "change[i + 1] += current", "change[i + 1] += 0.9999 * current"),
    ("moments.rs", "- 2.0 * all.c.dot(&all.mean) / (n * n)", "+ 2.0 * all.c.dot(&all.mean) / (n * n)"),
    ("optimum.rs", "0.5 * (left - right) / (left - 2.0 * middle + right)", "5.0 * (left - right) / (left - 2.0 * middle + right)"),
]


# The same for what is measured along networks: file, text, instead, arguments of cargo test.
MEASURE, REST = ["--test", "it", "measure"], ["--lib", "stationarity"]
NETWORK = [
    ("train/measure/gradients.rs", "(dot(sum, sum) - squares[r]) / (m * (m - 1.0))", "(dot(sum, sum) - squares[r]) / (m * m)", MEASURE),
    ("train/measure/gradients.rs", "scale * (squares[r] - dot(sum, sum) / m) / (m - 1.0)", "scale * (squares[r] - dot(sum, sum) / m) / m", MEASURE),
    ("train/measure/gradients.rs", "products + short * noise", "products - short * noise", MEASURE),
    ("train/measure/curvature.rs", "0.5 * scale * dot(&difference[r], &along[r])", "scale * dot(&difference[r], &along[r])", MEASURE),
    ("train/measure/hessian.rs", "{ 0.5 / steps[r] }", "{ 0.6 / steps[r] }", MEASURE),
    ("train/measure/gradients.rs", "sign * (sum / m + alpha * theta)", "sign * (sum / m - alpha * theta)", MEASURE),
    ("train/measure/gradients.rs", "dot(theta, sum) / m)", "dot(theta, sum) / (m + 1.0))", MEASURE),
    ("train/measure/gradients.rs", "dot(sum, &test_sums[r]) / (m * tests)", "dot(sum, &test_sums[r]) / m", MEASURE),
    ("train/measure/gradients.rs", "dot(theta, &test_sums[r]) / tests", "-dot(theta, &test_sums[r]) / tests", MEASURE),
    ("train/measure/spectrum.rs", "matrices[r][(step, step)] = dot(", "matrices[r][(step, step)] = 0.9 * dot(", MEASURE),
    ("train/measure/curvature.rs", "traces[r][usize::from(test)].push(dot(", "traces[r][usize::from(test)].push(1.1 * dot(", MEASURE),
    ("analysis/stationarity.rs", 'self.get("theta_grad") + self.get("weight_decay")', 'self.get("theta_grad") - self.get("weight_decay")', REST),
    ("analysis/stationarity.rs", '0.5 * self.get("lr_now") * (drift', 'self.get("lr_now") * (drift', REST),
    ("analysis/stationarity.rs", "+ 2.0 * alpha * self.get", "+ alpha * self.get", REST),
    ("analysis/stationarity.rs", "0.5 * at.temperature() * noise]", "at.temperature() * noise]", REST),
    ("analysis/stationarity.rs", 'at.get("grad_norm2") + at.get', 'at.get("grad_norm2") - at.get', REST),
    ("analysis/stationarity.rs", 'at.get("test_grad_dot") + at.get', 'at.get("test_grad_dot") - at.get', REST),
    ("analysis/stationarity.rs", '-at.get("lr_now") * (at.dissipation()', 'at.get("lr_now") * (at.dissipation()', REST),
    ("analysis/stationarity.rs", '0.5 * difference("theta_norm2")', 'difference("theta_norm2")', REST),
    ("analysis/stationarity.rs", "(variance / m).sqrt()", "variance.sqrt()", REST),
]

# The same for the kernels of vector lanes.
KERNELS = ["--lib", "lanes"]
LANES = [
    ("train/lanes/links.rs", "(row * stride + tap / kernel).wrapping_sub", "(row * stride + tap % kernel).wrapping_sub", KERNELS),
    ("train/lanes/direct.rs", "let sum = [sum.fold(R)];", "let sum = [*sum];", KERNELS),
    ("train/lanes/direct.rs", "*weight = weight.add(*sum);", "*weight = *sum;", KERNELS),
    ("train/lanes/direct.rs", "gradient[weight(o, i)] += *added;", "gradient[weight(o, i)] = *added;", KERNELS),
    ("train/lanes/vector/lane.rs", "V::quarters(V::halves(a, b), V::halves(c, d))", "V::quarters(V::halves(b, a), V::halves(c, d))", KERNELS),
    ("train/lanes/bf16.rs", "_mm256_permute4x64_epi64::<0b11_01_10_00>(halves)", "_mm256_permute4x64_epi64::<0b11_10_01_00>(halves)", KERNELS),
    ("train/lanes/bf16.rs", "self.0.map(|value| (rounded(value) >> 16) as u16)", "self.0.map(|value| (value.to_bits() >> 16) as u16)", KERNELS),
    ("train/lanes/winograd/transforms.rs", "c.sub(b), b.sub(d)]", "b.sub(c), b.sub(d)]", KERNELS),
    ("train/lanes/winograd/transforms.rs", "b.sub(c).sub(d)]", "b.sub(c).add(d)]", KERNELS),
    ("train/lanes/winograd/transforms.rs", "a.sub(b), V::zero().sub(b)]", "a.sub(b), b]", KERNELS),
    ("train/lanes/winograd/transforms.rs", "outer.sub(b).mul(half), c]", "outer.sub(b), c]", KERNELS),
    ("train/lanes/winograd/transforms.rs", "b.sub(c).mul(half), inner.mul_add(half, d)]", "b.sub(c).mul(half), inner.mul_add(half, a)]", KERNELS),
    ("train/lanes/winograd/mod.rs", "[usize; 4] = [3, 1, 2, 0];", "[usize; 4] = [3, 2, 1, 0];", KERNELS),
    ("train/lanes/winograd/mod.rs", "true => Channels { input: output * R, output: R },", "true => Channels { input: R, output: output * R },", KERNELS),
    ("train/lanes/operands.rs", "Self::Existing => own.value().add(value)", "Self::Existing => value", KERNELS),
    ("train/lanes/operands.rs", "Self::Other(base) => base[index].value().add(value)", "Self::Other(_) => value", KERNELS),
    ("train/lanes/winograd/products.rs", "let mut distance = V::LANES / 8;", "let mut distance = V::LANES / 16;", KERNELS),
    ("train/lanes/winograd/products.rs", "zip(sums) {\n                *own += *sum;", "zip(sums) {\n                *own = *sum;", KERNELS),
    ("train/lanes/winograd/products.rs", "zip(sums) {\n            *own += *sum;", "zip(sums) {\n            *own = *sum;", KERNELS),
    ("train/lanes/vector/pair.rs", "Self(V::halves(first.0, first.1), V::halves(second.0, second.1))",
     "Self(V::halves(first.0, second.1), V::halves(second.0, first.1))", KERNELS),
    ("train/lanes/norm.rs", ".add(there.where_positive(f(value.value())));", ".add(f(value.value()));", KERNELS),
    ("train/lanes/norm.rs", "*gradient = V::Kept::keep(there.where_positive(gradient.value()));", "*gradient = *gradient;", KERNELS),
    ("train/lanes/norm.rs", "value = value.add(around[index].value());", "value = around[index].value();", KERNELS),
    ("train/lanes/norm.rs", "(V::LANES / replicas) - slab.missing;", "(V::LANES / replicas);", KERNELS),
    ("train/lanes/norm.rs", "V::of(count * own / total)", "V::of(own / total)", KERNELS),
    ("train/lanes/norm.rs", "V::of(1.0 / (self.count - 1.0))", "V::of(1.0 / self.count)", KERNELS),
    ("train/lanes/norm.rs", "total(products).fold(replicas)", "total(products)", KERNELS),
    ("train/lanes/norm.rs", ".mul(inverse).mul(inverse).mul(share)", ".mul(inverse).mul(share)", KERNELS),
    ("train/lanes/norm.rs", "gradient[index].value().sub(shift).sub(", "gradient[index].value().sub(", KERNELS),
    ("train/lanes/update.rs", "let gradient = theta.mul_add(decay, gradient);", "let gradient = theta.mul_add(momentum, gradient);", KERNELS),
    ("train/lanes/loss.rs", "(exponential / sum - hit)", "(exponential / sum)", KERNELS),
    ("train/lanes/backward.rs", "conv.backward(shortcut_weights, dy, input, slab.packs, Accumulate::Existing, points);", "conv.backward(shortcut_weights, dy, input, slab.packs, Accumulate::Nothing, points);", KERNELS),
    ("train/lanes/backward.rs", "add(&buffer(thread)[..length], sum);", "let _ = buffer(thread);", KERNELS),
    ("train/lanes/replicas.rs", "1.0 / batch.images as f64", "1.0 / batch.packs as f64", KERNELS),
    # What stacks of tensors do on a GPU, as far as a CPU can see it.
    ("cuda/rounding.rs", "false => state.working > 0,", "false => false,", ["--lib", "only_one_kind"]),
    ("train/batches.rs", "Vec::new(), vec![ABSENT; size])", "Vec::new(), vec![0; size])", ["--lib", "chunks_score"]),
    ("model/weights.rs", "tensor.permute([0, 2, 3, 1]).reshape", "tensor.permute([0, 3, 2, 1]).reshape", ["--lib", "the_order_of_channels"]),
]


def network(mutations):
    """Mutations of NETWORK's kind, in a copy of the files that git knows."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        known = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in [*known.split("\0"), ".cargo/config.toml"]:
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, copy / name)
        seen = survivors = 0
        whole = [tests for index, (*_, tests) in enumerate(mutations) if tests not in [other for *_, other in mutations[:index]]]
        for name, old, new, tests in [*(("", "", "", tests) for tests in whole), *mutations]:
            path = copy / "src" / name
            if name:
                source = path.read_text()
                if source.count(old) != 1:
                    sys.exit(f"{name}: `{old}` stands there {source.count(old)} times, expected once")
                path.write_text(source.replace(old, new))
            command = ["cargo", "test", "--release", "--locked", *tests]
            done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
            if not name and done.returncode != 0:
                sys.exit(f"{' '.join(command)} fails as it is\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
            if "could not compile" in done.stderr:
                sys.exit(f"{name}: `{new}` does not compile\n{done.stderr[-2000:]}")
            if name:
                path.write_text(source)
                failed = [line.split()[1] for line in done.stdout.splitlines() if line.endswith("FAILED") and line.startswith("test ")]
                seen, survivors = seen + (done.returncode != 0), survivors + (done.returncode == 0)
                verdict = f"by {', '.join(failed)}" if done.returncode else ""
                print(f"{'seen    ' if done.returncode else 'SURVIVES'}  {name}: {old}  ->  {new}  {verdict}", flush=True)
        print(f"{seen} seen, {survivors} survive")
        sys.exit(1 if survivors else 0)


def run(crate, *arguments):
    environment = {**os.environ, "CARGO_TARGET_DIR": str(crate / "target")}
    command = ["cargo", "test", "--quiet", "--lib", *arguments]
    limited = ["timeout", "600", *command]
    done = subprocess.run(limited, cwd=crate, env=environment, capture_output=True, text=True)
    failed = ["no end within ten minutes"] if done.returncode == 124 else []
    failed += [line.split()[0] for line in done.stdout.splitlines() if line.strip().endswith("FAILED")]
    failed += [line.strip() for line in done.stdout.splitlines() if line.startswith("    theory::")]
    return done.returncode, sorted(set(failed)), done.stdout + done.stderr


def test(crate):
    first = run(crate, "--", *QUICK)
    return first if first[0] != 0 else run(crate, "--release", "theory")


def each(name):
    """Every place of a file's formulas with what it becomes: (file, line, from, to, text there, text instead)."""
    other = {"+": "-", "-": "+", "*": "/", "/": "*"}
    source = (ROOT / "src/theory" / name).read_text().split("#[cfg(test)]")[0]
    rules = [
        (r"(?<= )[-+*/](?==? )", lambda found: other[found]),
        (r"(?<=[ (|=,])-(?=[a-z(])", lambda found: ""),
        (r"(?<![\w.])\d+\.\d+(?![\w.])", lambda found: repr(1.3 * float(found) or 0.3)),
        (r"(?<=powi\()\d", lambda found: str(int(found) + 1)),
    ]
    start = 0
    for number, line in enumerate(source.splitlines(keepends=True), 1):
        code = re.sub(r'"[^"]*"', lambda text: '"' + " " * (len(text[0]) - 2) + '"', line.split("//")[0])
        for pattern, instead in rules:
            for found in re.finditer(pattern, code):
                at = start + found.start()
                yield number, line.strip(), at, found[0], instead(found[0])
        start += len(line)


def mutations(wanted):
    """File, whole new text, words."""
    if wanted[:1] == ["--each"]:
        for name in wanted[1:]:
            name, _, first = name.partition(":")
            source = (ROOT / "src/theory" / name).read_text()
            for number, line, at, old, new in each(name):
                if number < int(first or 0):
                    continue
                words = f"{name}:{number}: {old} -> {new or 'nothing'} in {line}"
                yield name, source[:at] + new + source[at + len(old) :], words
        return
    for name, old, new in MUTATIONS:
        if wanted and wanted[0] not in name + old + new:
            continue
        source = (ROOT / "src/theory" / name).read_text()
        if source.count(old) != 1:
            sys.exit(f"{name}: `{old}` stands there {source.count(old)} times, expected once")
        yield name, source.replace(old, new), f"{name}: {old}  ->  {new}"


def check():
    """Every text that a list wants to change, and that its file does not hold once."""
    lists = [(f"theory/{name}", old) for name, old, _ in MUTATIONS] + [(name, old) for name, old, *_ in NETWORK + LANES]
    for name, old in lists:
        path = ROOT / "src" / name
        count = path.read_text().count(old) if path.is_file() else 0
        if count != 1:
            yield f"src/{name}: `{old}` stands there {count} times, expected once"


def main():
    wanted = sys.argv[1:]
    if wanted == ["--check"]:
        gone = list(check())
        print("\n".join(f"mutations: {line}" for line in gone), end="\n" if gone else "")
        sys.exit(1 if gone else 0)
    if wanted in (["--network"], ["--lanes"]):
        network(NETWORK if wanted == ["--network"] else LANES)
    with tempfile.TemporaryDirectory() as folder:
        crate = Path(folder)
        (crate / "src").mkdir()
        (crate / "Cargo.toml").write_text(CARGO)
        (crate / "src/lib.rs").write_text(LIB)
        for name in ["rng.rs", "decimal.rs", "options.rs"]:
            shutil.copy(ROOT / "src" / name, crate / "src")
        shutil.copytree(ROOT / "src/theory", crate / "src/theory")
        (crate / "tests/reference").mkdir(parents=True)
        shutil.copy(ROOT / "tests/reference/theory.json", crate / "tests/reference")
        code, failed, text = test(crate)
        if code != 0:
            sys.exit(f"the tests fail as they are: {failed}\n{text[-3000:]}")
        seen = survivors = 0
        for name, mutated, words in mutations(wanted):
            path = crate / "src/theory" / name
            source = path.read_text()
            path.write_text(mutated)
            code, failed, text = test(crate)
            path.write_text(source)
            if code == 0:
                survivors += 1
                print(f"SURVIVES  {words}", flush=True)
            elif "error: could not compile" in text or "error[" in text:
                if "--each" not in wanted:
                    sys.exit(f"{words} does not compile\n{text[-2000:]}")
            else:
                seen += 1
                tests = ", ".join(part.removeprefix("theory::") for part in failed)
                print(f"seen      {words}  by {tests}", flush=True)
        print(f"{seen} seen, {survivors} survive")
        sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
