# `make` lists what there is. Needs Python 3.10 or newer with its venv module; nothing is installed outside this folder.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE # the tests start many processes, which should start as fast as an installed tool does

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(shell sha256sum <requirements.txt | cut -c1-16)
UV := $(BIN)/uv --quiet pip install --python $(BIN)/python
LOCK := $(BIN)/uv --quiet pip compile --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header
TOOL_LOCK := builder/image/tool-requirements
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadgroup
SERVICES := registry base docker buildkit s3 mlflow slurm charliecloud cluster kueue

env: $(READY) ## only make the virtual environment

demo: $(READY) ## install into .venv, build an image of every commit of an example, fine-tune two of them
	@$(BIN)/builder demo

test: $(READY) ## run every test that needs no server (and those whose servers are up)
	@$(PYTEST) $(ARGS)

test-all: $(READY) ## start the servers (root, Debian), run every test, stop them again
	@tests/services/status >/dev/null || trap tests/services/down EXIT
	tests/services/up $(SERVICES)
	BUILDER_TEST_REQUIRE=all BUILDER_TEST_MINUTES=1 $(PYTEST) $(ARGS)

test-slurm: $(READY) ## start Slurm (root, Debian), run what needs it and no cluster, stop it again
	@tests/services/status | grep -q '^slurm-ctld up' || { tests/services/status >/dev/null || trap tests/services/down EXIT; tests/services/up slurm; }
	BUILDER_TEST_REQUIRE=slurm $(PYTEST) -m 'slurm and not cluster' $(ARGS)

e2e: $(READY) ## start a cluster with Argo (root, Debian), run commits on it from end to end, stop it again
	@tests/services/status >/dev/null || trap tests/services/down EXIT
	tests/services/up $(SERVICES)
	BUILDER_TEST_REQUIRE=all BUILDER_TEST_MINUTES=1 $(PYTEST) --numprocesses 3 tests/e2e $(ARGS)

bench: $(READY) ## measure against Docker, BuildKit and crane, and runs on a cluster (starts the servers; half an hour)
	@tests/services/status >/dev/null || trap tests/services/down EXIT
	tests/services/up $(SERVICES) base --size 2G
	source <(tests/services/status --env)
	$(BIN)/python tests/benchmarks/run.py $(ARGS)

lint: $(READY) ## ruff, mypy and the import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(READY) ## write docs/reference anew from the commands' help
	@$(BIN)/python -m builder.cli.reference docs/reference

docs-check: $(READY) ## fail when docs/reference is not what `make docs` writes
	@$(BIN)/python -m builder.cli.reference --check docs/reference

lock: $(READY) ## resolve the dependencies anew into requirements.txt (ARGS=--upgrade takes newer ones)
	@$(LOCK) $(ARGS) --group dev pyproject.toml --output-file requirements.txt

tool-lock: $(READY) ## resolve what the tool needs inside images, in the versions of requirements.txt
	@$(LOCK) $(ARGS) --no-annotate --constraint requirements.txt $(TOOL_LOCK).in --output-file $(TOOL_LOCK).txt

clean: ## remove the virtual environment, caches and what builder wrote here
	@rm -rf $(VENV) .builder .hypothesis .mypy_cache .ruff_cache .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo "Python 3.10 or newer is needed, and $(PYTHON) is none: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv"; exit 1; }
	@echo "making $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@awk '/^[^ #]/ { keep = /^uv==/ } keep' requirements.txt >$(VENV)/uv.txt # pip brings uv, uv the rest: 8 s instead of 25
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(VENV)/uv.txt
	@$(UV) --require-hashes --requirement requirements.txt
	@$(UV) --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.ready-* && touch $@

.ONESHELL:
.PHONY: env demo test test-all test-slurm e2e bench lint docs docs-check lock tool-lock clean help
