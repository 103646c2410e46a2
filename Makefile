# `make` lists the targets. `make demo` and `make test` set up everything from a bare machine with Python 3.11.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help demo up test check format clean

help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pinwheel needs Python 3.11 or newer, not " + sys.version)'
	$(PYTHON) -m venv $(VENV)

# What runs Pinwheel on one machine; and on top of it what tests it.
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[app,worker,local,onnx,estimator]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[app,worker,local,dev]'
	@touch $@

demo: $(VENV)/.installed ## Train on hand-written digits, write pictures and features to demo/, serve (ARGS=--exit ends)
	$(BIN)/pinwheel demo $(ARGS)

up: $(VENV)/.installed ## Serve on this machine until Ctrl-C (ARGS="--port 9000")
	$(BIN)/pinwheel up $(ARGS)

test: $(VENV)/.installed-dev ## Run the whole test suite, two files at a time (ARGS="-n 0 tests/app" one by one)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(VENV)/.installed-dev ## Format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## Put the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove what was built, trained and installed here
	rm -rf $(VENV) demo pinwheel-data .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
