# Every target makes what it needs: a virtual environment in .venv, then the packages.
#   make demo            train a network on the CPU
#   make test            the tests (make test-all: the slow ones too)
#   make check           ruff and mypy
#   make bench           timings, beside PyTorch where .venv has it (ARGS=layers: a part)
#   make matrix          every OpenCL driver here: kernels compiled, self-test, training, memory
#   make mutants         changes of the checker that its tests have to see (ARGS="--sample 500")
#   make coverage        lines and branches that the fast tests run, by package
#   make generate        rewrite generated/ from the definitions
#   make clean           remove what these targets wrote, .venv included
# PYTHON chooses the interpreter of a new .venv; ARGS is handed to the command that runs.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
# compat: a path entry, so that this package is found before a mere folder named gradproof
EDITABLE := $(PIP) --config-settings editable_mode=compat
PYTEST := $(BIN)/python -m pytest -rs -n 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all check bench matrix mutants coverage generate clean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

demo: .venv/stamp-run
	$(BIN)/gradproof demo $(ARGS)

test: .venv/stamp-dev
	$(PYTEST) -m "not slow" $(ARGS)

test-all: .venv/stamp-dev
	$(PYTEST) $(ARGS)

check: .venv/stamp-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/stamp-run
	$(BIN)/python benchmarks/vs_torch.py $(ARGS)

matrix: .venv/stamp-dev
	$(BIN)/python benchmarks/matrix.py $(ARGS)

mutants: .venv/stamp-mutants
	$(BIN)/python benchmarks/mutants.py $(ARGS)

# A new cache folder: what is found in an old one is not derived or planned again.
coverage: .venv/stamp-coverage
	rm -f .coverage .coverage.*
	cache=$$(mktemp -d) && ROOT=$(CURDIR) COVERAGE_FILE=$(CURDIR)/.coverage \
	    GRADPROOF_CACHE_DIR=$$cache $(BIN)/coverage run -m pytest -n 2 -m "not slow" $(ARGS); \
	    status=$$?; rm -rf "$$cache"; exit $$status
	$(BIN)/python benchmarks/covered.py

generate: .venv/stamp-dev
	$(BIN)/gradproof generate $(ARGS)

clean:
	rm -rf .venv build dist *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so a step that was interrupted is done again.
.venv/stamp-venv:
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo "gradproof needs Python 3.11 or newer, and '$(PYTHON)' was not found:" \
	        "make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
	    "gradproof needs Python 3.11 or newer, and %s is %d.%d: make PYTHON=/path/to/python3.11" \
	    % (sys.executable, *sys.version_info[:2]))'
	"$(PYTHON)" -m venv .venv
	@touch $@

.venv/stamp-run: pyproject.toml .venv/stamp-venv
	$(EDITABLE) -e '.[cpu]'
	@touch $@

.venv/stamp-dev: pyproject.toml .venv/stamp-venv
	$(EDITABLE) -e '.[cpu,dev,oclgrind,prove]'
	@touch .venv/stamp-run $@

# What some tests need and are skipped without. Where .venv has PyTorch, its tests run too.
.venv/stamp-coverage: .venv/stamp-dev
	$(EDITABLE) -e '.[cpu,dev,oclgrind,prove,crosscheck,onnx]'
	$(PIP) onnxruntime
	@touch $@

.venv/stamp-mutants: .venv/stamp-dev
	$(EDITABLE) -e '.[cpu,dev,oclgrind,prove,mutation]'
	@touch $@
