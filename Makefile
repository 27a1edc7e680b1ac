# kelvin: everything a user or a developer runs. `make demo` and `make test` need git, cargo, g++, python3
# with pip and venv, and make; they fetch the rest into a cache folder outside the checkout ($KELVIN_CACHE,
# default ~/.cache/kelvin).

PYTHON ?= python3
CARGO ?= cargo
CACHE = $(or $(KELVIN_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kelvin)
KELVIN = target/release/kelvin

.PHONY: help setup build demo test quick stress repl soak bench stacks lint clean

help:
	@echo "make demo    fetch libtorch, build, run scripts/quickstart.rhai"
	@echo "make test    the same set-up, then every test"
	@echo "make quick   the unit tests whose path holds T, as in: make quick T=schedule"
	@echo "make stress  the tests that run alone, ten times on busy cores"
	@echo "make soak    the fault tests in full: hundreds of kills, every file-system call; half an hour or so"
	@echo "make repl    the prompt"
	@echo "make bench   kelvin and eager PyTorch side by side, into results/bench.parquet"
	@echo "make lint    format, clippy, comments, documentation, advisories on crates where they can be had"

setup:
	@$(PYTHON) tools/setup.py

# Where there is an NVIDIA driver, also the library that records runs as CUDA graphs.
build: setup
	$(CARGO) build --release --locked
	@test ! -e /proc/driver/nvidia/version || tools/cuda.sh

demo: build
	$(KELVIN) scripts/quickstart.rhai

repl: build
	$(KELVIN)

# Every test, with the readers that results must open in. Those in modules called `alone`
# (tests/it/main.rs says which those are) come last, one at a time.
TEST = KELVIN_PYTHON="$(CACHE)/readers/bin/python" $(CARGO) test --release --locked --workspace
test: setup
	@$(PYTHON) tools/venv.py readers
	$(TEST) -- --skip alone::
	$(TEST) -- --test-threads=1 alone::

# Tests that are decided by clocks decide the same on a busy machine: those that run alone, or those
# whose path holds T.
stress: setup
	@$(PYTHON) tools/venv.py readers
	$(PYTHON) tools/stress.py 10 env $(TEST) -- --test-threads=1 $(or $(T),alone::)

# kelvin without optimisation, on the dependencies of the release build.
quick: setup
	$(CARGO) test --release --locked --lib --config 'profile.release.package.kelvin.opt-level=0' -- $(T)

# Every fault that the tests know, as often as it takes to be sure.
soak: setup
	@$(PYTHON) tools/venv.py readers
	KELVIN_SOAK=1 KELVIN_PYTHON="$(CACHE)/readers/bin/python" $(CARGO) test --release --locked --test it -- --test-threads=1 --nocapture faults folders received bits slurm interrupts hostile_values

bench: build
	@$(PYTHON) tools/venv.py torch
	$(CARGO) build --release --locked --example bench
	target/release/examples/bench "$(CACHE)/torch/bin/python"

# Measures again which stacks are fastest on this machine, and writes the table that the program reads.
stacks: setup
	$(CARGO) run --release --locked --example measure_stacks > stacks.csv.new
	mv stacks.csv.new src/train/stacks.csv

lint: setup
	$(CARGO) fmt --all --check
	@$(PYTHON) tools/comments.py
	@$(PYTHON) tools/mutate.py --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --release --locked --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links -A rustdoc::invalid_rust_codeblocks" $(CARGO) doc --release --locked --workspace --no-deps --document-private-items
	@$(PYTHON) tools/audit.py

clean:
	rm -rf results
