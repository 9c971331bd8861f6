# Two commands matter: `make demo` and `make test`. Each does all of its own set-up, into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MUTATION_STAMP := $(VENV)/.installed-mutation
LOAD := .venv-load
LOAD_STAMP := $(LOAD)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long faults bench bench-api bench-scale mutation check format requirements schemas texts clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP)  ## install everything into .venv

# Pinned with hashes; pip refuses anything else. The package itself is installed editable.
$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Points Ledger needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@echo "setting up $(VENV) (once; a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: $(STAMP)  ## load a year of a real grocer and check every member's balance (ARGS="--households 100")
	@$(BIN)/points demo $(ARGS)

test: check  ## style, types, import rules, and every test but the long ones
	$(BIN)/python -m pytest -m "not long" $(ARGS)

test-long: check  ## the long tests too
	$(BIN)/python -m pytest $(ARGS)

faults: $(STAMP)  ## kill, freeze, cut and restart what it runs on (ARGS="--minutes 20 --seed 1")
	@$(BIN)/python -m tests.faults $(ARGS)

bench: $(STAMP)  ## measure it against its floor and stock parts (ARGS="--only decide --json"); thirteen minutes
	@$(BIN)/python -m benchmarks $(ARGS)

bench-scale: $(STAMP)  ## audit, replay, rebuild and back-test of twenty million events (ARGS="--events 200000 --members 10000")
	@$(BIN)/python -m benchmarks.scale $(ARGS)

$(LOAD_STAMP): requirements/load.txt
	@$(PYTHON) -m venv $(LOAD)
	@$(LOAD)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/load.txt
	@touch $(LOAD_STAMP)

bench-api: $(STAMP) $(LOAD_STAMP)  ## measure the HTTP API beside a busy worker (ARGS="--json"); three minutes
	@$(BIN)/python -m benchmarks.api $(ARGS)

# mutmut's operators and coverage come on top: nothing else needs them.
$(MUTATION_STAMP): requirements/mutation.txt $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mutation.txt
	@touch $(MUTATION_STAMP)

mutation: $(MUTATION_STAMP)  ## plant mistakes, see which the tests notice (ARGS="--sample 300 --seed 1 --only ledger/core")
	@$(BIN)/python -m tests.mutation $(ARGS)

check: $(STAMP)  ## ruff, ruff format, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(STAMP)  ## write the JSON Schema and AsyncAPI files again from the types
	$(BIN)/points schemas

texts: $(STAMP)  ## gather the sentences for the translations and compile the catalogues
	$(BIN)/python -m audit.catalogues

requirements:  ## pin the dependencies again (needs uv)
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra dev --no-annotate --no-header pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra analytics --extra console --no-annotate --no-header -c requirements/dev.txt pyproject.toml -o requirements/runtime.txt
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra mutation --no-annotate --no-header -c requirements/dev.txt pyproject.toml -o requirements/mutation.txt
	echo locust | uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate --no-header -c requirements/dev.txt - -o requirements/load.txt
	echo hatchling | uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate --no-header -c requirements/dev.txt - -o requirements/build.txt

clean:  ## remove .venv and caches (not .points, which holds data)
	rm -rf $(VENV) $(LOAD) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
