# Two commands do it: `make demo` and `make test`. Everything else is for those who build Loopwire.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ONCE ?=
ONLY ?=

.PHONY: demo test check faults chaos bench bench-readme bench-tools schemas screenshots wheel format clean
.DEFAULT_GOAL := demo

demo: .venv/demo.stamp
	exec $(BIN)/loopwire up --demo $(if $(filter-out 0,$(ONCE)),--once)

test: .venv/dev.stamp .venv/postgres.stamp .venv/chromium.stamp
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: .venv/dev.stamp
	$(BIN)/ruff format --check pipeline tests
	$(BIN)/ruff check pipeline tests
	$(BIN)/mypy
	$(BIN)/loopwire schemas check

faults: .venv/dev.stamp
	$(BIN)/python -m pytest -m faults

# Ten minutes of faults on three brokers; the last line on stdout is what was answered, delivered, duplicated and lost.
# SECONDS=60 breaks things for a minute, SEED=... repeats a run's order.
chaos: .venv/dev.stamp
	@$(BIN)/python -m tests.chaos

# One JSON object a line on stdout, all else on stderr. ONLY="enrich line" runs these; QUICK=1 shows that it works.
bench: .venv/dev.stamp bench-tools
	@$(BIN)/python -m tests.bench $(ONLY)

# The same, and the README's table with what was measured.
bench-readme: .venv/dev.stamp bench-tools
	@$(BIN)/python -m tests.bench | $(BIN)/python -m tests.bench.readme

# What capture and deliver are measured with; a benchmark without its tool has no figure, and says so.
bench-tools:
	@PATH="$$PATH:/usr/sbin"; { command -v wrk && command -v nginx; } >/dev/null || \
	{ test "$$(id -u)" = 0 && { apt-get update -qq && apt-get install -qqy wrk nginx-light; } >&2; } || \
	echo "bench: wrk or nginx is missing and can't be installed here: apt-get install wrk nginx-light, as root" >&2

schemas: .venv/dev.stamp
	$(BIN)/loopwire schemas write

# What the README shows of the console.
screenshots: .venv/dev.stamp .venv/chromium.stamp
	$(BIN)/python -m tests.browser.screenshots

# The wheel, proved where no checkout is near: its own venv and an empty folder. The map, the topics of an empty broker,
# the demo to its end, and the suite's outside (command line, API, both Kafkas, the story) against what was installed.
wheel: .venv/dev.stamp
	rm -rf dist && $(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	set -e; away=$$(mktemp -d); broker=; trap 'kill $$broker 2>/dev/null || true; rm -rf "$$away"' EXIT; \
	$(PYTHON) -m venv "$$away/venv"; \
	"$$away/venv/bin/pip" install --quiet --disable-pip-version-check "$$(echo $(CURDIR)/dist/loopwire-*.whl)[dev]"; \
	cp -r tests pyproject.toml "$$away"; mkdir "$$away/schemas"; cp -r schemas/examples "$$away/schemas"; \
	cd "$$away"; export LOOPWIRE_DATA="$$away/data"; \
	venv/bin/loopwire map; \
	venv/bin/loopwire broker & broker=$$!; \
	until venv/bin/loopwire topics plan; do kill -0 $$broker; done; \
	venv/bin/loopwire topics apply; kill $$broker; wait $$broker; \
	venv/bin/loopwire up --demo --once; \
	venv/bin/python -m pytest tests/story tests/cli tests/console tests/kafka; \
	echo "wheel: $$(ls $(CURDIR)/dist) works from $$away"

format: .venv/dev.stamp
	$(BIN)/ruff format pipeline tests
	$(BIN)/ruff check --fix pipeline tests

clean:
	rm -rf .venv .loopwire build dist .mypy_cache .ruff_cache .pytest_cache

# Debian's Python may come without venv; as root we install it, else we say so.
.venv/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Loopwire needs Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -m venv .venv 2>/dev/null || { { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qqy python3-venv; } >&2; $(PYTHON) -m venv .venv; }
	@touch $@

# The console's store is tested on PostgreSQL too. Without it those tests are skipped, and say so; in CI they fail.
.venv/postgres.stamp: .venv/made.stamp
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
	{ test "$$(id -u)" = 0 && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy postgresql; } || \
	echo "no PostgreSQL: its tests are skipped; apt-get install postgresql brings it"
	@touch $@

.venv/chromium.stamp: .venv/made.stamp
	@command -v chromium >/dev/null || \
	{ test "$$(id -u)" = 0 && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy chromium; } || \
	echo "no Chromium: its tests are skipped; apt-get install chromium brings it"
	@touch $@

.venv/demo.stamp: .venv/made.stamp pyproject.toml
	@echo "installing Loopwire into .venv" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[disk,local]'
	@touch $@

.venv/dev.stamp: .venv/made.stamp pyproject.toml
	@echo "installing Loopwire and its tools into .venv" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ .venv/demo.stamp
