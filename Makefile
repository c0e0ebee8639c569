# The two commands of the README, and what they stand on.
# Any of these may be overridden: make test PYTHON=python3.12 PYTEST_ARGS="-k geometry"
PYTHON ?= python3
VENV ?= .venv
DEMO_DIR ?= demo
PYTEST_ARGS ?=
BIN := $(VENV)/bin

.PHONY: install install-dev demo test check lint types floors format docs clean

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@ $(VENV)/.installed

demo: install
	$(BIN)/faceloom demo $(DEMO_DIR)

test: install-dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: install-dev
	VENV=$(VENV) scripts/check

lint: install-dev
	$(BIN)/ruff check src tests bench scripts

format: install-dev
	$(BIN)/ruff format src tests bench scripts
	$(BIN)/ruff check --fix src tests bench scripts

types: install-dev
	$(BIN)/basedpyright

floors: install-dev
	$(BIN)/lint-imports

docs: | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) $(DEMO_DIR) .pytest_cache .ruff_cache .import_linter_cache site
