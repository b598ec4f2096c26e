# `make demo` and `make test` set up what they need; everything else is for contributors.

FEDCXR_VENV ?= .venv
PYTHON ?= python3
BIN := $(FEDCXR_VENV)/bin
STAMP := $(FEDCXR_VENV)/.fedcxr-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
RUN ?= runs/demo

# One process more than there are cores, and five at most: some tests wait. A file stays in one process, for the
# sake of its fixtures; tests/conftest.py puts the longest first.
WORKERS ?= $(shell cores=$$(nproc 2>/dev/null || echo 2); echo $$((cores < 4 ? cores + 1 : 5)))
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

export PYTHONPATH := $(CURDIR)
export FLWR_TELEMETRY_ENABLED := 0
export RAY_USAGE_STATS_ENABLED := 0
unexport PYTHONDONTWRITEBYTECODE  # tests start some hundred processes; each would compile fedcxr again

.PHONY: demo test test-fast mutants coverage lint format bench contracts contracts-check setup clean

demo: setup
	$(BIN)/python -m fedcxr demo --out $(RUN)

test: setup contracts/node_modules
	$(BIN)/python -m pytest $(PARALLEL)

# Every package, but nothing that takes over a second: an answer within three minutes on two cores.
test-fast: setup contracts/node_modules
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

# Breaks a line at a time, and expects the tests nearest to it to fail: tests/mutants.toml. JOBS=2, ONLY=word.
mutants: setup contracts/node_modules
	$(BIN)/python tests/mutants.py $(if $(JOBS),--jobs $(JOBS)) $(if $(ONLY),--only "$(ONLY)")

# Those of `make test`, traced: twice as long, for py-evm is Python.
coverage: setup contracts/node_modules
	$(BIN)/python -m pytest $(PARALLEL) \
		--cov=fedcxr --cov=clients --cov=server --cov-report=term:skip-covered

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m fedcxr bench round

contracts: setup contracts/node_modules
	$(BIN)/python -m fedcxr contracts build

contracts-check: setup contracts/node_modules
	PYTHON=$(abspath $(BIN))/python contracts/check

setup: $(STAMP)

# The stamp is named for what it installed, so that a shared environment serves every checkout.
$(STAMP):
	test -x $(BIN)/python || $(PYTHON) -m venv $(FEDCXR_VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The Solidity compiler comes from npm; only the test that recompiles the contract needs it.
contracts/node_modules: contracts/package-lock.json
	if command -v npm >/dev/null; then npm ci --prefix contracts --no-fund --no-audit --silent; fi
	mkdir -p $@ && touch $@

clean:
	rm -rf contracts/out contracts/cache build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage
