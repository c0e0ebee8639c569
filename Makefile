# The targets of README and CONTRIBUTING.
# Variables can be overridden: make test PYTHON=python3.12 PYTEST_ARGS="tests/geometry -k align"
PYTHON ?= python3
VENV ?= .venv
DEMO_DIR ?= demo
PYTEST_ARGS ?=
BIN := $(VENV)/bin
CODE := src tests bench scripts

# Pure packages without networks: their tests take seconds.
QUICK_TESTS := tests/core tests/pickles tests/geometry tests/color tests/samples tests/workspace

.PHONY: install install-dev demo test check quick lint types layers format docs clean

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[dev,docs]'
	touch $@ $(VENV)/.installed

demo: install
	$(BIN)/faceloom demo $(DEMO_DIR)

test: install-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Everything that CI runs.
check: install-dev
	VENV=$(VENV) scripts/check

# The part of it that takes less than a minute.
quick: install-dev
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --durations=0 --durations-min=2 $(QUICK_TESTS)

lint: install-dev
	$(BIN)/ruff check $(CODE)

format: install-dev
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

types: install-dev
	$(BIN)/basedpyright

layers: install-dev
	$(BIN)/lint-imports

docs: install-dev
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) $(DEMO_DIR) .pytest_cache .ruff_cache .import_linter_cache site
