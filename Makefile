# The three things people do first. `make help` lists them.
PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
# Commands and tests start many processes: what one has compiled, the next need not.
unexport PYTHONDONTWRITEBYTECODE
export IMGDIFF_HOME ?= $(CURDIR)/imgdiff_home

.PHONY: help demo test test-slow test-long test-gpu ui check docs wheel trainers clean

help:
	@echo "make demo       install, then run the whole graph on the captions shipped with the package"
	@echo "make test       install, then run the tests, but for the slow ones, in $(JOBS) processes (JOBS=4 for four)"
	@echo "make test-slow  install, then run the slow tests: they rarely fail, or look longer at what another also covers"
	@echo "make test-long  install, then run those of half a minute and more, before a release"
	@echo "make test-gpu   install, then run those that need a GPU; without one they are skipped"
	@echo "make ui         install, then open the graph in Dagster's web UI (Ctrl-C stops it)"
	@echo "make check      linters, types, and whether the definitions load"
	@echo "make docs       install, then write the documentation as a site: build/site/index.html"
	@echo "make wheel      install, then run the demo from the wheel, in an environment of its own"
	@echo "make trainers   install, run the demo, then let trainers and readers of each form of export have what it made"
	@echo "make clean      remove what demo and test made (IMGDIFF_HOME is $(IMGDIFF_HOME))"

demo: .venv/installed
	$(BIN)/imgdiff demo

test: .venv/installed
	$(PYTEST)

test-slow: .venv/installed
	$(PYTEST) -m "slow and not long"

test-long: .venv/installed
	$(PYTEST) -m long

# In one process: the others would wait for the card.
test-gpu: .venv/installed
	$(BIN)/python -m pytest -m gpu -v

ui: .venv/installed
	$(BIN)/imgdiff ui

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/dagster definitions validate -w workspace.yaml

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "build/site/index.html"

wheel: .venv/installed
	.ci/wheel

trainers: demo
	$(BIN)/python -m benchmarks.trainers --home $(IMGDIFF_HOME)

clean:
	rm -rf $(IMGDIFF_HOME) build .pytest_cache .hypothesis .mypy_cache .ruff_cache

# About 5.5 GB: PyTorch's ordinary wheels, which run with and without a GPU.
.venv/installed: pyproject.toml requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the pinned dependencies into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[dev,ui]"
	@touch $@
