# The two ways in are `make demo` and `make test`; everything else serves them.
SHELL  := /bin/sh
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
JOBS   ?= auto
MESSAGES ?= 2000
KILLS  ?= 20
SEED   ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test failpoints soak bench check lint types contracts format peers docs lock wheel docker-test clean

help:                   ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|'

demo: $(VENV)/runtime   ## the main job on real mail, in a throw-away place
	@$(BIN)/smimegw demo

test: $(VENV)/dev peers ## the whole suite against real peers
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

failpoints: $(VENV)/dev  ## kill, break and hang a gateway at every named point; half an hour, prints a table
	@$(BIN)/python -m tests.failpoints

soak: $(VENV)/dev        ## mixed mail through two nodes with random kills; MESSAGES=2000 KILLS=20 SEED=1
	@$(BIN)/python -m tests.soak --messages $(MESSAGES) --kills $(KILLS) --seed $(SEED)

bench: $(VENV)/dev       ## measure speed and memory beside the baselines; an hour, writes docs/performance.md
	@$(BIN)/python -m tests.bench

check: lint types contracts docs  ## lint, types, import contracts, generated documents

lint: $(VENV)/dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet . && echo "lint: fine"

types: $(VENV)/dev
	@$(BIN)/mypy

contracts: $(VENV)/dev
	@$(BIN)/lint-imports --no-cache

docs: $(VENV)/dev
	@$(BIN)/python tests/make/documents.py --check

format: $(VENV)/dev     ## put the code into its usual form, and make the generated documents anew
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .
	@$(BIN)/python tests/make/documents.py

peers:                  ## install the real programs that the tests talk to (root), or print the line
	@sh tests/make/peers.sh

wheel: $(VENV)/dev      ## build the wheel into dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null && ls dist/*.whl

docker-test:            ## bring the compose file up in a private Docker Engine and pass a mail through
	@sh tests/make/docker-test.sh

lock: $(VENV)/dev       ## resolve the dependencies anew, with hashes
	@sh tests/make/lock.sh

clean:                  ## remove what the other targets made
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@sh tests/make/venv.sh $(PYTHON) $(VENV)

$(VENV)/runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing smimegw into $(VENV) (once, a minute or two)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps -e .
	@touch $@

$(VENV)/dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "installing smimegw and its development tools into $(VENV) (once, a minute or two)"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/runtime
