# Two commands do it: `make demo` and `make test`. Everything else is for those who build Loopwire.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ONCE ?=

.PHONY: demo test check faults schemas wheel format clean
.DEFAULT_GOAL := demo

demo: .venv/demo.stamp
	exec $(BIN)/loopwire up --demo $(if $(filter-out 0,$(ONCE)),--once)

test: .venv/dev.stamp .venv/postgres.stamp
	$(BIN)/python -m pytest

check: .venv/dev.stamp
	$(BIN)/ruff format --check pipeline tests
	$(BIN)/ruff check pipeline tests
	$(BIN)/mypy
	$(BIN)/loopwire schemas check

faults: .venv/dev.stamp
	$(BIN)/python -m pytest -m faults

schemas: .venv/dev.stamp
	$(BIN)/loopwire schemas write

# The wheel, proved where no checkout is near: its own venv, an empty folder, the demo to its end.
wheel: .venv/dev.stamp
	rm -rf dist && $(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	set -e; away=$$(mktemp -d); trap 'rm -rf "$$away"' EXIT; \
	$(PYTHON) -m venv "$$away/venv"; \
	"$$away/venv/bin/pip" install --quiet --disable-pip-version-check "$$(echo $(CURDIR)/dist/loopwire-*.whl)[local]"; \
	cd "$$away"; export LOOPWIRE_DATA="$$away/data"; \
	venv/bin/loopwire map; \
	venv/bin/loopwire up --demo --once; \
	echo "wheel: $$(ls $(CURDIR)/dist) works from $$away"

format: .venv/dev.stamp
	$(BIN)/ruff format pipeline tests
	$(BIN)/ruff check --fix pipeline tests

clean:
	rm -rf .venv .loopwire build dist .mypy_cache .ruff_cache .pytest_cache

# Debian's Python may come without venv; as root we install it, else we say so.
.venv/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Loopwire needs Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -m venv .venv 2>/dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qqy python3-venv; $(PYTHON) -m venv .venv; }
	@touch $@

# The console's store is tested on PostgreSQL too. Without it those tests are skipped, and say so; in CI they fail.
.venv/postgres.stamp: .venv/made.stamp
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	{ test "$$(id -u)" = 0 && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy postgresql; } || \
	echo "no PostgreSQL: its tests are skipped; apt-get install postgresql brings it"
	@touch $@

.venv/demo.stamp: .venv/made.stamp pyproject.toml
	@echo "installing Loopwire into .venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[local]'
	@touch $@

.venv/dev.stamp: .venv/made.stamp pyproject.toml
	@echo "installing Loopwire and its tools into .venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ .venv/demo.stamp
