# Needs Python 3.11 or newer, make and pip; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests run real models on the CPU; pinned, because a later torch brings gigabytes of CUDA.
TORCH ?= torch==2.13.0

.PHONY: demo test test-full test-real lint clean

PYTEST := $(BIN)/python -m pytest -q
WORKERS ?= $(shell $(PYTHON) -c "import os; print(min(16, 2 * (os.cpu_count() or 1)))")

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check '$(TORCH)'
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,hf]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python -m benchmarks.demo

lint: $(VENV)/.installed
	$(BIN)/ruff check loadgen tests benchmarks
	$(BIN)/mypy

# Tests mostly wait for what they started: two workers a core. Those marked quiet run alone, when all others are done.
test: lint
	$(PYTEST) -n $(WORKERS) tests/unit --cov
	$(PYTEST) -n $(WORKERS) -m "not real and not slow and not quiet" tests/integration tests/e2e
	$(PYTEST) -m "quiet and not slow and not real"

# Everything that needs no real server: also full counts of random cases, and captures cut at every byte twice.
test-full: lint
	LOADGEN_TESTS=full $(PYTEST) -n $(WORKERS) -m "not real and not quiet"
	$(PYTEST) -m "quiet and not real"

# Installs Chromium, and vLLM and transformers into .real, 3 GB; LOADGEN_REAL_VLLM and LOADGEN_REAL_HF name environments
# to use instead.
test-real: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[real]'
	$(PYTEST) -m real tests/real

clean:
	rm -rf $(VENV) .real build dist *.egg-info
