# `make demo` and `make test` need nothing but Python 3.11 or 3.12 with venv, and this machine's CPU.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help env speech export demo serve test lint bench lock clean

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
VENV := .venv
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" ORT_DISABLE_TELEMETRY=1
RECIPE ?= offline

help:  ## This list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

env: $(VENV)/.ready  ## The environment, with the versions of requirements.lock
$(VENV)/.ready: requirements.lock client/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 13) else f"Python {sys.version.split()[0]} found; install Python 3.11 or 3.12, or name one: make PYTHON=/path/to/python3.11")'
	@echo "environment: $$($(PYTHON) --version) in $(VENV), $$(grep -c == requirements.lock) packages"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(RUN) python -m pip install --quiet --disable-pip-version-check "$$(grep ^pip== requirements.lock)"
	@$(RUN) python -m pip install $(if $(CI),--quiet --progress-bar=off,) --disable-pip-version-check -r requirements.lock | { grep -v "already satisfied" || true; }
	@$(RUN) python -m pip install --quiet --disable-pip-version-check --no-deps -e client
	@touch $@

speech: env  ## Adds espeak's phonemes, for recipes that ask for them (GPL-3.0, so not part of the environment)
	@$(RUN) python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-speech.txt

export: env  ## Checkpoints to ONNX in model_repository/
	@$(RUN) python -m export --recipe $(RECIPE)

demo: export  ## Three products: real photos in, listing copy out, through Triton
	@$(RUN) python -m samples.demo

serve: export  ## Triton on ports 8000 (HTTP), 8001 (gRPC), 8002 (metrics), until Ctrl-C
	@$(RUN) python -m server

lint: env  ## The graph's edges, the code's style, the types of every room but tests
	@$(RUN) python -m export lint
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy client/vitrina_client graph server decoding stages networks families export benchmarks samples experiments training
	@rm -rf build/adapters && mkdir -p build/adapters  # every adapter is called model.py, which mypy takes for one module
	@for each in model_repository/*/*/1/model.py; do cp $$each build/adapters/$$(cut -d/ -f3 <<< $$each).py; done
	@$(RUN) mypy --allow-any-generics --no-warn-return-any build/adapters/*.py

test: RECIPE := offline-small
test: export lint  ## Every test, with a real Triton and the smaller text decoder
	@$(RUN) OMP_NUM_THREADS=1 python -m pytest --durations=15 -n 2 tests/unit $(ARGS)
	@$(RUN) python -m pytest --durations=15 -n 2 --dist loadfile --no-loadscope-reorder tests/integration tests/e2e $(ARGS)

bench: export  ## Load by Locust: a page with plots in out/bench/
	@$(RUN) python -m benchmarks.load

lock: ## Resolve requirements.in anew into requirements.lock
	@rm -rf build/lock && $(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet -r requirements.in
	@{ echo '# Resolved from requirements.in; `make lock` writes it anew.'; build/lock/bin/pip freeze --all | grep -v '^setuptools==' | sed 's/+cpu$$//'; } > requirements.lock
	@rm -rf build/lock

clean:  ## Removes the environment, what was exported into the repository, and out/ (the cache stays)
	rm -rf $(VENV) out build
	git clean -fdXq model_repository
