# Two commands for newcomers: `make demo` and `make test`. Everything goes into .venv and build/; nothing else is touched.
PYTHON ?= python3
VENV   := .venv
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check
# One test process a core; `make test JOBS=0` runs them one after another in this one.
JOBS   ?= auto

SOURCES := $(shell find toolchain export runtime targets -type f \( -name '*.py' -o -name '*.cc' -o -name '*.h' -o -name '*.inc' \
             -o -name '*.cu' -o -name '*.html' -o -name '*.j2' -o -name '*.json' -o -name '*.toml' -o -name '*.txt' -o -name '*.map' \) \
             -not -path '*/_native/*' 2>/dev/null)
NATIVE_SOURCES := $(shell find runtime/native benchmarks -name '*.cc' -o -name '*.h' -o -name '*.cu')
TREE := toolchain:export:runtime:targets

TEST_PYTHON = $(if $(wildcard $(VENV)/bin/python),$(VENV)/bin/python,$(PYTHON))

.PHONY: help demo test quick test-gpu gpu-first-run test-tensorrt tensorrt-root lint format native picture clean

help:                              ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## *(.*)/  make \1\t\2/' | expand -t 22

demo: $(VENV)/installed            ## train, export, compile, validate, profile and report, in a few minutes
	$(VENV)/bin/sanp demo --output demo --replace

test: $(VENV)/tested lint          ## lint, types and the whole test suite, on the installed package; what CI runs
	$(VENV)/bin/python -m pytest -n $(JOBS)

# The source tree comes first in the path: an edit is tested without an installation.
quick: $(VENV)/dependencies native ## the fast tests on the source tree, in under three minutes
	PYTHONPATH=$(TREE) $(VENV)/bin/python -m pytest -n $(JOBS) -q -m "not slow and not gpu"

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

gpu-first-run:                     ## everything that only a GPU answers, in 13 minutes: build/gpu-first-run/summary.txt
	PYTHONPATH=$(TREE) $(TEST_PYTHON) -m benchmarks.gpu.first_run

lint: $(VENV)/dependencies         ## style of Python and C++, and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/clang-format --dry-run -Werror $(NATIVE_SOURCES)
	$(VENV)/bin/mypy

format: $(VENV)/dependencies       ## let ruff and clang-format fix what they can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/clang-format -i $(NATIVE_SOURCES)

native: $(VENV)/dependencies       ## the operator library, built where the source tree looks for it
	cmake -S runtime/native -B build/native -DCMAKE_BUILD_TYPE=Release > build/native.log 2>&1 || { cat build/native.log; exit 1; }
	cmake --build build/native -j
	mkdir -p runtime/sanp_runtime/_native
	ln -sf ../../../build/native/libsanp_ops.so runtime/sanp_runtime/_native/libsanp_ops.so

picture:                           ## draw the README's picture from its source; needs Graphviz
	dot -Tsvg docs/pipeline.dot -o docs/pipeline.svg

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# What the tree needs from others, in the tested versions; renewed when these two files change.
$(VENV)/dependencies: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt ".[dev]"
	mkdir -p build
	touch $@

# The package is installed, not linked: what the tests see is what a user gets.
$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt $(SOURCES)
	$(PIP) install --quiet -c constraints.txt ".[all]"
	touch $@

$(VENV)/tested: $(VENV)/bin/python pyproject.toml constraints.txt $(SOURCES)
	$(PIP) install --quiet -c constraints.txt ".[dev]"
	mkdir -p build
	touch $(VENV)/installed $(VENV)/dependencies $@

clean:                             ## remove the environment, builds and the demo
	rm -rf $(VENV) build dist demo runtime/sanp_runtime/_native
