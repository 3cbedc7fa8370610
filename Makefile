# Every target makes .venv with what it needs from the package index, once; the second time it starts at once.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
# These run a second time as plain Python, where an index out of bounds is an error and not another item's distance.
KERNEL_TESTS := $(addprefix tests/test_,trees_stored.py trees_place.py trees_merges.py data_metrics.py \
	data_rows.py runtime_kernel.py trees_order.py cuts_stable.py trees_assign.py judge_silhouette.py centers_update.py \
	centers_line.py centers_limits.py centers_split.py centers_seeding.py centers_lloyd.py centers_sparse.py \
	centers_stream.py centers_medoids.py centers_kernelized.py graphs_eigen.py)

.PHONY: help demo test lint bench clean

help:
	@echo "make demo    cluster real data and write pictures and tables to demo-output/"
	@echo "make test    lint, types and all tests"
	@echo "make lint    lint and types only"
	@echo "make bench   measure side by side with the peers (minutes; leave the machine alone meanwhile)"
	@echo "make clean   remove .venv, caches and demo-output/"

.venv/python: 
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Shoal needs Python 3.11 or later; this is %s. Try: make PYTHON=python3.12" % sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

.venv/user: .venv/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	@touch $@

.venv/dev: .venv/user
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

.venv/bench: .venv/user
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@touch $@

demo: .venv/user
	$(BIN)/shoal cluster examples/data/usarrests.csv --id state --scale standard -k 4 --out demo-output --force

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n $(WORKERS)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -n $(WORKERS) -q -m "not large" $(KERNEL_TESTS)

bench: .venv/bench
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
