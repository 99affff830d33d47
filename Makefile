# What people and machines do with this project. `make help` lists it.
SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The interpreter of the daemon and of the tests, 3.11 or newer; of the example, 3.10 or newer.
PYTHON ?= python3
PHOTOS_PYTHON ?= $(PYTHON)
# Where the databases' server programs are, for those who have them somewhere else: the directory of initdb.
PG_BIN ?=
PYTEST_ARGS ?=
# Where `make run` serves its page, if not on 8000.
PORT ?=

VENV := .venv
EXAMPLE := examples/photos
EXAMPLE_VENV := $(EXAMPLE)/.venv
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --no-input

export PIP_ROOT_USER_ACTION := ignore

.PHONY: help
help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS='	' read -r name words; do
		printf '  make %-11s %s\n' "$$name" "$$words"
	done

.PHONY: run
run: $(VENV)/daemon.stamp $(EXAMPLE_VENV)/installed.stamp ## Run the example; ONCE=1 ends when all is done, PHOTOS=folder takes your pictures
	@exec $(VENV)/bin/python $(EXAMPLE)/run.py $(if $(filter-out 0,$(ONCE)),--once) $(if $(PHOTOS),--pictures "$$PHOTOS") $(if $(PORT),--port $(PORT))

.PHONY: test
test: $(VENV)/test.stamp ## Run the tests; PYTEST_ARGS='-k name' chooses, PYTEST_ARGS=-n0 runs one at a time
	@PG_BIN=$$(PG_BIN='$(PG_BIN)' $(VENV)/bin/python scripts/get_postgresql.py)
	export PG_BIN
	# The tests start a thousand interpreters: each would compile the whole package anew.
	unset PYTHONDONTWRITEBYTECODE
	exec $(VENV)/bin/python -m pytest -n auto --dist loadgroup $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/lint.stamp ## Check style, types and the direction of imports
	@$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

.PHONY: bench
bench: $(VENV)/test.stamp ## Measure, and print one table
	@PG_BIN=$$(PG_BIN='$(PG_BIN)' $(VENV)/bin/python scripts/get_postgresql.py)
	export PG_BIN
	exec $(VENV)/bin/python bench/run $(BENCH_ARGS)

.PHONY: bench-peers
bench-peers: $(VENV)/test.stamp ## Install other queues, measure them and this one, and print one table
	@PG_BIN=$$(PG_BIN='$(PG_BIN)' $(VENV)/bin/python scripts/get_postgresql.py)
	export PG_BIN
	exec $(VENV)/bin/python bench/compare $(BENCH_ARGS)

.PHONY: deb
deb: ## Build the Debian packages into dist; as root it installs what it needs
	@exec bash packaging/deb/build

.PHONY: repo
repo: deb ## Build the packages and a signed apt repository of them, dist/apt
	@exec bash packaging/deb/repository

.PHONY: deb-check
deb-check: ## Check the packages in dist: lintian, install, upgrade, remove, purge, two builds alike
	@exec bash packaging/deb/check

.PHONY: system
system: $(VENV)/test.stamp ## Boot Debian hosts that use the packages in dist/apt, break them, mend them; only root can
	@if [ "$$(id -u)" = 0 ] && [ ! -e dist/apt/queued.sources ]; then $(MAKE) repo; fi
	exec $(VENV)/bin/python -m pytest tests/system $(PYTEST_ARGS)

.PHONY: clean
clean: ## Remove what was built: virtual environments, caches, the example's data
	rm -rf $(VENV) $(EXAMPLE_VENV) $(EXAMPLE)/data build dist daemon/*.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# One virtual environment for daemon, tests and lint; a stamp for each set of packages in it.
EXTRAS_daemon := daemon
EXTRAS_test := daemon,test
EXTRAS_lint := daemon,test,lint
$(VENV)/%.stamp: pyproject.toml constraints.txt scripts/make_venv
	@sh scripts/make_venv '$(PYTHON)' $(VENV) 3.11
	echo 'Installing the packages for $* into $(VENV) ...'
	$(VENV)/bin/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[$(EXTRAS_$*)]'
	touch $@

# The example has its own, as any application has: other packages, and another Python if you like.
$(EXAMPLE_VENV)/installed.stamp: $(EXAMPLE)/requirements.txt pyproject.toml scripts/make_venv
	@sh scripts/make_venv '$(PHOTOS_PYTHON)' $(EXAMPLE_VENV)
	echo 'Installing the packages of the example into $(EXAMPLE_VENV) ...'
	$(EXAMPLE_VENV)/bin/python $(PIP_INSTALL) --requirement $(EXAMPLE)/requirements.txt --editable .
	touch $@
