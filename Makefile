# Every target does its own set-up: a virtual environment in .venv with the versions of constraints.txt.
#   make demo | test | test-all | bench | peers | lint | format | clean | clean-kernels
# PYTHON=python3.12 chooses an interpreter; WORKERS=4 the number of test processes.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
INSTALL := -m pip --disable-pip-version-check install --quiet
PIP := $(BIN)/python $(INSTALL)
PYTEST := $(BIN)/python -m pytest

HAS_PYTHON = if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	echo "make: no Python 3.11 or newer found (PYTHON='$(PYTHON)'). Install one, or: make PYTHON=/path/to/python3.12" >&2; \
	exit 1; fi

.PHONY: demo test test-all bench peers lint format clean clean-kernels
.DELETE_ON_ERROR:

demo: $(READY)
	@$(BIN)/python -m qtrain.demo

test: lint
	$(PYTEST) -n $(WORKERS) --dist loadfile

test-all: lint
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "not benchmark"

bench: $(READY)
	$(PYTEST) -m benchmark -s -p no:cacheprovider tests/benchmarks
	$(BIN)/python tests/benchmarks/mapped_fidelity.py
	$(BIN)/python tests/benchmarks/compile_quality.py
	$(BIN)/python tests/benchmarks/planted_swaps.py
	$(BIN)/python tests/benchmarks/binding.py
	$(BIN)/python tests/benchmarks/estimate_accuracy.py
	$(BIN)/python tests/benchmarks/estimate_ranking.py
	$(BIN)/python tests/benchmarks/expectation_accuracy.py
	$(BIN)/python tests/benchmarks/digits_accuracy.py
	$(BIN)/python tests/benchmarks/warm_start.py
	$(BIN)/python -m tests.benchmarks.chip_overhead

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch comes first and pinned: an unpinned one may bring gigabytes of GPU libraries.
$(READY): pyproject.toml constraints.txt
	@$(HAS_PYTHON)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	@echo "Installing the versions of constraints.txt into $(VENV); this takes a few minutes once."
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -r constraints.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# The simulators that the gradient benchmarks measure against, apart from the project and its versions.
peers: $(PEERS)/.ready

$(PEERS)/.ready: constraints-peers.txt
	@$(HAS_PYTHON)
	@$(PEERS)/bin/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(PEERS)
	@echo "Installing the versions of constraints-peers.txt into $(PEERS); this takes a few minutes once."
	$(PEERS)/bin/python $(INSTALL) "$$(grep '^torch==' constraints-peers.txt)"
	$(PEERS)/bin/python $(INSTALL) -r constraints-peers.txt
	@touch $@

# numba knows the file of a kernel, not the files that it calls
clean-kernels:
	find qcompile qtrain \( -name '*.nbi' -o -name '*.nbc' \) -delete

clean:
	rm -rf $(VENV) $(PEERS) build dist out .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find qcompile qtrain tests -name __pycache__ -prune -exec rm -rf {} +
