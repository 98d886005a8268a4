# Needs Python 3.11 or newer, make and pip; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests run real models on the CPU; pinned, because a later torch brings gigabytes of CUDA.
TORCH ?= torch==2.13.0

.PHONY: demo test test-real lint clean

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

test: lint
	$(BIN)/python -m pytest -q

# Installs vLLM and transformers into .real, 3 GB; LOADGEN_REAL_VLLM and LOADGEN_REAL_HF name environments to use instead.
test-real: $(VENV)/.installed
	$(BIN)/python -m pytest -q -m real tests/real

clean:
	rm -rf $(VENV) .real build dist *.egg-info
