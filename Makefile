# The commands a newcomer needs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRACIENT_HOME ?= $(CURDIR)/var
export TRACIENT_HOME

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.runtime ## Run the main job on a simulated sample (or on what has landed) and print a summary
	@$(BIN)/tracient run

test: $(VENV)/.dev tests/evm/node_modules/.package-lock.json ## Run the whole test suite, browser tests included
	@$(BIN)/python tests/browser/ensure_chromium.py
	@$(BIN)/pytest -n 3 --dist loadgroup --no-loadscope-reorder

# The Solidity compiler and the local chain of the EVM tests; without them those tests say they skip.
tests/evm/node_modules/.package-lock.json: tests/evm/package.json tests/evm/package-lock.json
	@npm ci --prefix tests/evm --ignore-scripts --no-audit --no-fund --fetch-retries=1 --loglevel=error \
	  || echo "npm could not install tests/evm: the tests of the EVM contract will be skipped"

lint: $(VENV)/.dev ## Check style, types and import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/dg check defs

dashboard: $(VENV)/.runtime ## Open the dashboards on http://localhost:8501
	@$(BIN)/tracient dashboard

dagster: $(VENV)/.runtime ## Open the Dagster UI on http://localhost:3000
	@$(BIN)/tracient dagster

bench: $(VENV)/.dev ## Measure the main job and the log, beside alternatives, into var/bench/results.json
	@$(BIN)/tracient bench

pyz: build/ledger-anchor.pyz ## Build the standalone ledger-anchor: one file, checks with any Python from 3.11

build/ledger-anchor.pyz: $(shell find ledger_anchor -name '*.py' -o -name '*.html' -o -name '*.json') | $(BIN)/python
	@$(BIN)/python -m ledger_anchor.standalone $@

docs: $(VENV)/.dev ## Build the documentation site into site/
	@$(BIN)/mkdocs build --strict

lock: ## Compile the dependency locks again (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-emit-index-url --no-annotate --no-strip-extras -o requirements.lock
	uv pip compile pyproject.toml --extra dev --extra evm --extra objects -c requirements.lock --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url --no-annotate --no-strip-extras -o requirements-dev.lock

clean: ## Remove the environment and build leftovers; TRACIENT_HOME stays
	rm -rf $(VENV) build site *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Tracient needs Python 3.11 to 3.13; {sys.executable} is {v[0]}.{v[1]}. Set PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV)

# The project itself goes in without build isolation: the build tool comes from the lock too.
define install
	@echo "Installing the locked dependencies ($(1)) into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endef

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.lock)
	@touch $@ $(VENV)/.runtime

.PHONY: help run test lint dashboard dagster bench pyz docs lock clean
