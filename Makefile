# make serve   set up .venv and start lictor        (ARGS="--port 4300" adds flags)
# make test    set up everything and run the linter, both type checkers and all tests
# make soak    200 clients for a minute, and every crash point under a seed of its own (SEED=...)
# make soak-served  kills the server under fifty flows of real Prefect clients (twenty minutes)
# make measure-schedules  how soon runs are handed out, what idling costs, how soon changes act
# make simulate  many histories of all actors in virtual time (FIRST=... SEEDS=2000)
# make lock    resolve the dependencies anew into requirements*.lock
# make docs    write docs/settings.md and docs/state-machine.md from what they describe

PYTHON ?= python3
ARGS ?=
SHELL := /bin/sh
VENV := .venv
PREFECT_VENV := .venv-prefect
PREFECT_VERSION := 3.9.1
UV := $(shell command -v uv 2>/dev/null)

ifdef UV
make_venv = $(UV) venv --quiet --allow-existing --python "$(PYTHON)" $(1)
install = $(UV) pip install --quiet --python $(VENV)/bin/python
else
make_venv = "$(PYTHON)" -m venv $(1) || { rm -rf $(1); echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }
install = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: serve test lint types tests soak soak-served measure-schedules simulate lock docs clean

serve: $(VENV)/installed
	exec $(VENV)/bin/lictor serve $(ARGS)

test: lint types tests

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .

types: $(VENV)/installed-dev
	$(VENV)/bin/mypy -p lictor
	$(VENV)/bin/pyright

tests: $(VENV)/installed-dev $(PREFECT_VENV)/installed
	$(VENV)/bin/pytest $(ARGS)

SEED ?= $(shell date +%s)

soak: $(VENV)/installed-dev
	LICTOR_SOAK_S=60 LICTOR_CRASH_SEED=$(SEED) $(VENV)/bin/pytest -s tests/soak tests/crash $(ARGS)

soak-served: $(VENV)/installed-dev $(PREFECT_VENV)/installed
	$(VENV)/bin/python tests/soak/served_flows.py --seed $(SEED) $(ARGS)
	$(VENV)/bin/python tests/soak/served_flows.py --seed $(SEED) --held $(ARGS)

measure-schedules: $(VENV)/installed-dev
	$(VENV)/bin/python tests/soak/schedules.py $(ARGS)

FIRST ?= $(SEED)
SEEDS ?= 2000

simulate: $(VENV)/installed-dev
	$(VENV)/bin/python -m tests.simulation --first $(FIRST) --seeds $(SEEDS) $(ARGS)

$(VENV)/bin/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "lictor needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(call make_venv,$(VENV))

# --no-build-isolation: setuptools, too, is the locked one.
$(VENV)/installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(install) --require-hashes -r requirements.lock
	$(install) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed
	$(install) --require-hashes -r requirements-dev.lock
	@touch $@

# The unmodified client that tests/client run against lictor, apart from lictor's own environment.
$(PREFECT_VENV)/installed: .dev/prefect-overrides.txt | $(VENV)/installed-dev
	$(VENV)/bin/uv venv --quiet --allow-existing --python $(VENV)/bin/python $(PREFECT_VENV)
	$(VENV)/bin/uv pip install --quiet --python $(PREFECT_VENV)/bin/python \
		--override .dev/prefect-overrides.txt "prefect==$(PREFECT_VERSION)"
	@touch $@

# uv writes no address of an index unless it is told to; tests/tidy checks that none is inside.
LOCK = $(VENV)/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header

lock: $(VENV)/installed-dev
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group dev --output-file requirements-dev.lock

docs: $(VENV)/installed
	$(VENV)/bin/lictor settings > docs/settings.md
	$(VENV)/bin/python -m lictor.schema.rules.document > docs/state-machine.md

clean:
	rm -rf $(VENV) $(PREFECT_VENV) build dist *.egg-info
