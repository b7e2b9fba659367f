# Two commands for newcomers: `make demo` and `make test`. Everything goes into .venv and build/; nothing else is touched.
PYTHON ?= python3
VENV   := .venv
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check

SOURCES := $(shell find toolchain export runtime targets -type f \( -name '*.py' -o -name '*.cc' -o -name '*.h' \
             -o -name '*.inc' -o -name '*.html' -o -name '*.j2' -o -name '*.json' -o -name '*.txt' -o -name '*.map' \) 2>/dev/null)

.PHONY: demo test lint format clean

demo: $(VENV)/installed            ## train, export, compile, validate, profile and report, in a few minutes
	$(VENV)/bin/sanp demo --output demo

test: $(VENV)/tested lint          ## lint, types and the whole test suite
	$(VENV)/bin/python -m pytest

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
