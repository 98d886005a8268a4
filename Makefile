# Needs Python 3.11 or newer, make and pip; everything else goes into .venv, and for the demo into .demo.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= .demo
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

# What `pip install .` brings and no more: no torch, no test tools. Not compiled ahead: that is 90 MB and some seconds.
$(DEMO)/.installed: pyproject.toml
	@echo "Installing loadgen into $(DEMO): about a minute and 450 MB, the first time only."
	@$(PYTHON) -m venv $(DEMO)
	@$(DEMO)/bin/pip install -qq --disable-pip-version-check --no-compile -e .
	@touch $@

demo: $(DEMO)/.installed
	@$(DEMO)/bin/python -m benchmarks.demo

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
	rm -rf $(VENV) $(DEMO) .real build dist *.egg-info
