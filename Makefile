# make quickstart: set up and run the main job on the embedded defaults.   make test: the tests.
EXTRA ?= cpu
PYTHON ?= python3.11
VENV ?= .venv
# Where pip takes torch from; a CPU-only machine sets TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# A file of `make lock`: nothing is installed that has not the hash in it.
LOCK ?=
PORT ?= 5000
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(EXTRA)

.PHONY: install lock quickstart test e2e test-ray test-slow test-long fuzz fuzz-models fuzz-data mutants families test-gpu dist test-dist lint bench soak docs ui clean

install: $(STAMP)

# torch first: with it there, the rest takes no other build of it. A lock before it: torch then finds what it needs.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(if $(LOCK),$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r $(LOCK))
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt $(if $(LOCK),--no-deps --no-build-isolation) -e ".[$(EXTRA),train,minilm,dev]"
	@if [ "$(EXTRA)" = cpu ] && $(BIN)/python -c 'import sys, torch; sys.exit(torch.version.cuda is None)'; then \
		echo "note: torch came with CUDA although [cpu] was asked; a smaller install: make install TORCH_INDEX=https://download.pytorch.org/whl/cpu"; fi
	@rm -f $(VENV)/.installed-*
	@touch $@

# The hashes of what is installed, for make install LOCK=requirements.lock (docs/install.md).
lock: install
	$(BIN)/python -m tests.support.lock requirements.lock

quickstart: install
	$(BIN)/python -m tablert_dist.tune --config quickstart --space smoke $(if $(wildcard runs/quickstart),--resume,--name) quickstart

# The tests of a file stay together: they share what is slow to make.
test: install
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# Two files at a time: a cluster waits more than it computes.
test-ray: install
	$(BIN)/python -m pytest -m "ray and not alone and not long" --numprocesses 2 --dist loadfile
	$(BIN)/python -m pytest -m "ray and alone"

# Every command of docs/guides/own-data.md and transcript.md, trainings ended by signals, and what else takes half a minute. In the
# order of the files: tests/e2e, with the longest, begins.
test-slow: install
	$(BIN)/python -m pytest -m "slow and not long" --numprocesses 2 --dist loadfile --no-loadscope-reorder

# What CI does not wait for: faults on clusters of several nodes, other heads and stores, the longest benches' smokes. CONTRIBUTING
# has the last run.
test-long: install
	$(BIN)/python -m pytest -m long --numprocesses 2 --dist loadfile

# The quickstart, and what README and docs print of its model.
e2e: install
	$(BIN)/python -m pytest -m quickstart

# What is damaged works or is refused in a sentence (docs/guides/reliability.md).
fuzz: fuzz-models fuzz-data

# Ten thousand damaged bundles and checkpoints.
fuzz-models: install
	$(BIN)/python -m tests.support.fuzz --count 10000 --seed 2026

# Damaged data files of every format for FUZZ_MINUTES; FUZZ_SEED=2 has others. The last line is JSON.
FUZZ_MINUTES ?= 10
FUZZ_SEED ?= 1
fuzz-data: install
	$(BIN)/python -m tests.support.fuzz_readers --minutes $(FUZZ_MINUTES) --seed $(FUZZ_SEED)

# MUTANTS=40 altered copies of each module of tests/support/mutants.toml, or MUTANTS=all: does a test fail? MODULE=FILE tries
# one of them. The last line is JSON; it fails below a share of 0.9 killed. An environment of its own on top of .venv.
MUTANTS ?= 40
MODULE ?=
MUTATED := $(VENV)-mutants
$(MUTATED)/.installed: $(STAMP)
	$(PYTHON) -m venv $(MUTATED)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $(MUTATED)/below.pth
	mv $(MUTATED)/below.pth $$($(MUTATED)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/
	$(MUTATED)/bin/python -m pip install --quiet -c constraints.txt -e ".[mutants]"
	@touch $@

mutants: $(MUTATED)/.installed
	$(MUTATED)/bin/python -m tests.support.mutants --count $(MUTANTS) $(if $(MODULE),--module $(MODULE))

# Every family of encoders, exported too: the table of docs/guides/encoders.md.
families: install
	$(BIN)/python -m tests.support.families

# On a machine with a card; elsewhere every one of them is skipped.
test-gpu: install
	$(BIN)/python -m pytest -m gpu tests/unit/gpu/test_gpu.py

# Wheel and sdist in dist/.
dist: install
	rm -rf dist build
	$(BIN)/python -m build --quiet

# The wheel with [cpu] in an environment of its own: it predicts, without torch, Ray and MLflow.
test-dist: dist
	$(BIN)/python -m pytest -m dist

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/deptry .
	$(BIN)/codespell --skip '*.json,docs/study,*/sample/names.py' tablert_dist export tune_spaces bench docs *.md *.toml *.yaml

# Twenty minutes of 1.5 times the load that the server can take, of the quickstart's bundle: make quickstart soak.
soak: install
	$(BIN)/python -m bench.soak --bundle runs/quickstart/bundle $(SOAK)

bench: install
	$(BIN)/python -m bench

# The site in site/: strict, links and anchors checked, nothing in it comes from the network. An environment of its own,
# without torch: the reference pages are made from the sources.
DOCS := $(VENV)-docs
$(DOCS)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	@touch $@

docs: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

# PORT=5001 where 5000 is taken.
ui: install
	$(BIN)/tablert ui --port $(PORT)

clean:
	rm -rf $(VENV) $(DOCS) $(MUTATED) site build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
