# Everything runs in .venv, which these targets create. Only Python 3.11 or 3.12, make and a package registry are needed.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: demo test check clean help
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

FITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
# The first that starts, is in range and can make environments; say PYTHON=... to choose another one.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	if $$p -c '$(FITS)' >/dev/null 2>&1; then command -v $$p; break; fi; done)
PIP := .venv/bin/python -m pip install -qq -c constraints.txt
DEMO := runs/demo
# Processes that run tests, a thread each; a file stays in one of them.
WORKERS ?= 2

demo: .venv/.runtime  ## recognise the synthetic clip; leaves runs/demo/ with video, events and timeline
	@mkdir -p $(DEMO)
	@.venv/bin/tsf-live demo: --events $(DEMO)/events.jsonl --video $(DEMO)/annotated.mp4 \
		--timeline $(DEMO)/timeline.png --no-display

test: check  ## install the development extras, then everything in `check`

check: .venv/.dev  ## format, lint, types, import rules, tests
	@echo '[1/5] ruff format --check'; .venv/bin/ruff format --quiet --check .
	@echo '[2/5] ruff check'; .venv/bin/ruff check --quiet .
	@echo '[3/5] mypy (strict; the first run takes a minute or two)'; .venv/bin/mypy
	@echo '[4/5] import rules'; .venv/bin/lint-imports
	@echo '[5/5] pytest'; OMP_NUM_THREADS=1 .venv/bin/pytest -n $(WORKERS) --dist loadfile

.venv/bin/python:
	@"$(PYTHON)" -c '$(FITS)' 2>/dev/null || { \
		echo 'make: no usable Python found: got "$(PYTHON)", need 3.11 or 3.12 with the venv module' >&2; \
		echo '      (on Debian and Ubuntu: apt-get install python3-venv); or name one: make PYTHON=/path/to/python3.11 ...' >&2; \
		exit 1; }
	@echo 'Creating .venv with $(PYTHON) ...'
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.runtime: pyproject.toml constraints.txt | .venv/bin/python
	@echo 'Installing the runtime (about 1 GB unpacked, a minute or so) ...'
	@$(PIP) -e .
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo 'Installing runtime and development extras (torch included: about 6 GB, a few minutes) ...'
	@$(PIP) -e '.[train,export,rtx,openvino,dev]'
	@touch .venv/.runtime $@

clean:  ## remove .venv, runs/demo, caches and build output; other runs stay
	rm -rf .venv $(DEMO) build dist tsfmicro.egg-info .coverage htmlcov
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find tsfmicro realtime training export benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile
