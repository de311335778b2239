# make demo | make test set everything up first; `make help` lists the rest.

PYTHON ?= python3
# What pip installs as PyTorch. Before everything else, so that nothing later chooses another one.
TORCH ?= torch==2.13.0
# The Qt binding of the development environment: pyqt6 or pyside6.
QT ?= pyqt6
# A stack for `make demo`; empty: the sample.
INPUT ?=
# More arguments for pytest, e.g. ARGS="-k session -x".
ARGS ?=

VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
STAMP := $(VENV)/.stamp

.DEFAULT_GOAL := help
TESTS = $(BIN)/python -m pytest -q -m "not slow and not gpu"
# Two parts at a time, in this order, which ends with both at work.
PARTS = test-rest test-window-1 test-window-3 test-tracking test-window-2

.PHONY: help install demo test $(PARTS) lint format parity bench bench-full docs screenshots clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP)  ## Set up .venv with the package (editable) and everything the tests need

$(STAMP): pyproject.toml tools/install.sh tools/constraints.txt tools/system_packages.sh
	@PYTHON="$(PYTHON)" TORCH="$(TORCH)" QT="$(QT)" VENV="$(VENV)" BIN="$(BIN)" sh tools/install.sh
	@touch $@

demo: install  ## Track the sample (or INPUT=stack.tif) and show the result
	$(BIN)/napari-sam2 demo $(if $(INPUT),"$(INPUT)")

ifdef ARGS
test: install  ## Run the tests, without the slow ones
	$(TESTS) $(ARGS)
else
test: install
	OMP_NUM_THREADS=1 $(MAKE) --no-print-directory -j2 -k --output-sync=target $(PARTS)
endif

test-window-1:
	$(TESTS) $(wildcard tests/widgets/test_[a-l]*.py)

test-window-2:
	$(TESTS) $(wildcard tests/widgets/test_[m-r]*.py)

test-window-3:
	$(TESTS) $(wildcard tests/widgets/test_[s-z]*.py)

test-tracking:
	$(TESTS) tests/tracking

test-rest:
	$(TESTS) --ignore tests/widgets --ignore tests/tracking

# Only Linux gives each a screen of its own (pytest-xvfb); two windows on one take the focus away.
ifneq ($(shell uname -s),Linux)
test-window-2: test-window-1
test-window-3: test-window-2
endif

lint: install  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

parity: install  ## Compare with the reference, all variants; writes docs/parity.md
	$(BIN)/python -m pytest -q -m "slow or not slow" tests/parity $(ARGS)

bench: install  ## Time everything in its short form
	@for script in benchmarks/[a-z]*.py; do $(BIN)/python "$$script" --quick $(ARGS) || exit 1; done

bench-full: install  ## Time everything against the reference; writes docs/performance.md
	@for script in benchmarks/[a-z]*.py; do $(BIN)/python "$$script" $(ARGS) || exit 1; done

docs: install  ## Build the documentation into out/site, links checked
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	$(BIN)/mkdocs build --strict --quiet

screenshots: install  ## Take the pictures of the documentation anew
	$(if $(DISPLAY)$(WAYLAND_DISPLAY),,xvfb-run -a -s "-screen 0 1600x1000x24") $(BIN)/python tools/screenshots.py

clean:  ## Remove the environment and everything that was made
	rm -rf $(VENV) out .mypy_cache .pytest_cache .ruff_cache
