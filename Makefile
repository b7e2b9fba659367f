# Two commands for newcomers: `make demo` and `make test`. Everything goes into .venv and build/; nothing else is touched.
PYTHON ?= python3
VENV   := .venv
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check

SOURCES := $(shell find toolchain export runtime targets -type f \( -name '*.py' -o -name '*.cc' -o -name '*.h' \
             -o -name '*.inc' -o -name '*.cu' -o -name '*.html' -o -name '*.j2' -o -name '*.json' -o -name '*.txt' -o -name '*.map' \) 2>/dev/null)

TEST_PYTHON = $(if $(wildcard $(VENV)/bin/python),$(VENV)/bin/python,$(PYTHON))

.PHONY: demo test test-gpu test-tensorrt tensorrt-root lint format clean

demo: $(VENV)/installed            ## train, export, compile, validate, profile and report, in a few minutes
	$(VENV)/bin/sanp demo --output demo

test: $(VENV)/tested lint          ## lint, types and the whole test suite
	$(VENV)/bin/python -m pytest

define TENSORRT_HELP
TENSORRT_ROOT is not set. The tests need TensorRT's public headers, and fetch TensorRT-RTX (140 MB) by themselves:
  for tag in 8.5.2 v8.6.1 v10.3.0 v10.13.3 v10.16 v11.1; do
    git clone --depth 1 --branch $$tag https://github.com/NVIDIA/TensorRT tensorrt/$${tag#v}; done
  make test-tensorrt TENSORRT_ROOT=$$PWD/tensorrt
CUDA headers are looked for in CUDA_HOME and /usr/local/cuda.
endef
export TENSORRT_HELP

# On any CPU: header matrix, a program that plays TensorRT, and TensorRT-RTX, whose builder needs no GPU.
test-tensorrt: tensorrt-root $(VENV)/tested  ## the TensorRT plugin, with NVIDIA's headers and TensorRT-RTX
	SANP_FETCH_RTX=1 TENSORRT_ROOT="$(TENSORRT_ROOT)" $(VENV)/bin/python -m pytest \
	  tests/native/test_trt_core.py tests/native/test_trt_mock.py tests/native/test_trt_rtx.py

tensorrt-root:
	@test -n "$(TENSORRT_ROOT)" || { printf '%s\n' "$$TENSORRT_HELP"; exit 2; }

# Without .venv the python3 of the machine is used: boards bring their own PyTorch.
test-gpu:                          ## the CUDA kernels on the GPU of this machine; says what it lacks and skips otherwise
	$(TEST_PYTHON) -m pytest -m gpu -rs tests/gpu $(wildcard tests/native/test_trt_*.py tests/native/test_ort_cuda.py)

lint: $(VENV)/tested
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/tested
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The package is installed, not linked: what the tests see is what a user gets.
$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt $(SOURCES)
	$(PIP) install --quiet -c constraints.txt ".[all]"
	touch $@

$(VENV)/tested: $(VENV)/bin/python pyproject.toml constraints.txt $(SOURCES)
	$(PIP) install --quiet -c constraints.txt ".[dev]"
	touch $(VENV)/installed $@

clean:
	rm -rf $(VENV) build dist demo
