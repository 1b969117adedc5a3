# One door for people and for CI. Needs Python 3.11 or newer and make; everything else goes into $(VENV).

PYTHON ?= python3
VENV ?= .venv
CONFIG ?= parallel_config.json

BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help setup train test check clean
.NOTPARALLEL:

help:
	@echo 'make train   install what training needs and train on $(CONFIG) (CONFIG=... for another file)'
	@echo 'make test    install what the tests need and run them'
	@echo 'make check   format, lint, types, import layers, documentation examples, then the tests'
	@echo 'make setup   only install, for development'
	@echo 'make clean   remove $(VENV) and caches; runs/ stays'

setup: $(VENV)/.dev

train: $(VENV)/.learn
	$(BIN)/fuelbreak train --config $(CONFIG)

# Two at a time, since on a fresh clone half of the time goes to compiling; a file's tests stay together, in order.
test: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --doctest-modules --doctest-glob=README.md src/fuelbreak README.md
	$(MAKE) test

clean:
	rm -rf $(VENV) build dist src/fuelbreak.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks docs -type d -name __pycache__ -prune -exec rm -rf {} +

# Stamps: nothing is installed again until pyproject.toml or constraints.txt changes.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("fuelbreak needs Python 3.11 or newer, $(PYTHON) is %d.%d; name another one: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.learn: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e '.[learn]'
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) -e '.[learn,ray,parquet,interop,dev]'
	@touch $(VENV)/.learn $@
