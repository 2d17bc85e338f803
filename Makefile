# tickgate: every target sets up what it needs. Needs make and Python 3.11 to 3.14 with venv.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
# The first of these that the pinned versions have wheels for, else whatever python3 is;
# `make venv PYTHON=/path/to/python3` to choose another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null \
	&& echo "$$p" && exit; done; echo python3)
# Test runs are measured when COVERAGE is set; `make coverage` reports.
RUN := $(if $(COVERAGE),$(BIN)/python -m coverage run,$(BIN)/python)
PIP = PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip
ARGS ?=
JS := tests/js
# Of make faults: which (all, if none are named), and with how many seeds each.
FAULTS ?=
SEEDS ?= 20

.PHONY: help
help: ## Show this help
	@echo "usage: make TARGET [ARGS='...']"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(VENV)/.program ## Install the program into .venv (.venv/bin/tickgate)

.PHONY: demo
demo: venv ## Run tickgate dev: every role, embedded servers, a simulated market
	@exec $(BIN)/tickgate dev $(ARGS)

.PHONY: tools
tools: $(VENV)/.tools $(JS)/node_modules/.package-lock.json ## Install what tests and lint need, too

.PHONY: test
test: $(VENV)/.tools ## Run the tests; ARGS='-k bars' passes options to pytest
	$(RUN) -m pytest $(ARGS)

.PHONY: lint
lint: $(VENV)/.tools ## Check format, style, types, layers and generated pages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tickgate.docs --check

.PHONY: format
format: $(VENV)/.tools ## Format the code, mend what ruff can mend, write the generated pages
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/python -m tickgate.docs

.PHONY: coverage
coverage: $(VENV)/.tools ## Run the tests and hold coverage: 90 % in all, 100 % on pure modules
	rm -f .coverage .coverage.*
	$(MAKE) test COVERAGE=1
	$(MAKE) coverage-check

.PHONY: coverage-check
coverage-check: $(VENV)/.tools
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage json -q -o .coverage.json
	$(BIN)/python scripts/check_coverage.py .coverage.json

.PHONY: timescaledb
timescaledb: ## Install and start a real TimescaleDB on Debian, outside the repository (root)
	bash scripts/timescaledb.sh start

.PHONY: autobahn
autobahn: $(VENV)/.tools ## Autobahn's fuzzing client against the gateway; needs a Python 2.7
	$(BIN)/python -m pytest tests/conformance $(ARGS)

.PHONY: loadtest
loadtest: $(VENV)/.tools ## Locust users against a tickgate dev of its own: ARGS='--seconds 60'
	$(BIN)/python -m loadtest $(ARGS)

.PHONY: bench
bench: $(VENV)/.tools ## Measure speed and memory into docs/benchmarks.md; BENCH_SECONDS=60
	$(BIN)/python -m tests.bench $(ARGS)

.PHONY: bench-fanout
bench-fanout: $(VENV)/.tools ## Measure fan-out beside other servers and with crowds; FANOUT_ROUNDS=9
	$(BIN)/python -m tests.bench.fanout $(ARGS)

.PHONY: bench-storage
bench-storage: $(VENV)/.tools ## Measure writing bars to PostgreSQL and TimescaleDB; ARGS='--rounds 9'
	$(BIN)/python -m tests.bench.storage $(ARGS)

.PHONY: bench-http
bench-http: $(VENV)/.tools ## Measure the HTTP API beside FastAPI + asyncpg; HTTP_ROUNDS=5, ARGS=--quick
	@$(PIP) install -q -e '.[bench]'
	$(BIN)/python -m tests.bench.http $(ARGS)

.PHONY: faults
faults: $(VENV)/.tools ## Break everything, often: FAULTS='cut kill_redis' SEEDS=5 ARGS=--go-on
	$(BIN)/python -m tests.faults $(FAULTS) --seeds $(SEEDS) $(ARGS)

.PHONY: wheel
wheel: $(VENV)/.tools ## Build the wheels into dist/: all of it, and the client alone
	$(BIN)/python -m build --wheel --outdir dist
	$(BIN)/python -m build --wheel --outdir dist packaging/client

.PHONY: constraints
constraints: ## Resolve every dependency anew and write constraints.txt
	PYTHON='$(PYTHON)' sh scripts/constraints.sh

.PHONY: clean
clean: ## Remove .venv, caches and built files (not data directories)
	rm -rf $(VENV) dist build htmlcov .coverage .coverage.* .mypy_cache .pytest_cache \
		.ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# What the tests need of npm; they fetch it themselves where this has not.
$(JS)/node_modules/.package-lock.json: $(JS)/package-lock.json
	@if command -v npm >/dev/null; then \
		echo "Installing the JavaScript SDK and axe-core into $(JS) ..."; \
		cd $(JS) && npm ci --ignore-scripts --no-audit --no-fund --silent && touch node_modules/.package-lock.json; \
	else echo "no npm: tests with the JavaScript SDK or axe-core will be skipped"; fi

# The program alone, from the pinned versions; and with what tests and lint need on top. What is
# not compiled here is compiled when it is first used, and most of it never is.
$(VENV)/.program: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tickgate into $(VENV) ..."
	@$(PIP) install -q --no-compile -e .
	@touch $@

# With tools the program comes along: one call instead of two.
$(VENV)/.tools: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tickgate and what tests and lint need into $(VENV) ..."
	@$(PIP) install -q --no-compile -e '.[test,lint]'
	@touch $(VENV)/.program $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "tickgate needs Python 3.11 or newer; $(PYTHON) is not:" >&2; \
		$(PYTHON) --version >&2; \
		echo "Name another one: make venv PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) could not make a virtual environment (Debian: install python3-venv)" >&2; \
		exit 1; }
