# Needs Python 3.11 or newer and a package index known to pip; everything goes into .venv.
#
# On Linux, plain torch from an index brings gigabytes of CUDA libraries. This project needs the
# CPU build only: where pip's own settings do not find it, name it, as a file or with pip's options:
#   make demo TORCH=torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl
#   make demo TORCH='--index-url <index of CPU builds> torch==2.13.0'

PYTHON ?= python3
TORCH ?= torch==2.13.0

BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test browser lint bench-check

demo: $(INSTALLED)
	$(BIN)/bitryoshka demo

# small matrices: a second thread gains nothing, and loses much on a machine that is busy
test: $(INSTALLED) browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# the report's page is tested in the system's Chromium, driven by its own chromedriver
browser:
	@if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update && apt-get install -y --no-install-recommends chromium chromium-driver; \
		else \
			echo 'error: the tests need the commands chromium and chromedriver' >&2; exit 1; \
		fi; \
	fi

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench-check: $(INSTALLED)
	$(BIN)/python -m benchmarks.check

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install $(TORCH)
	$(BIN)/python -m pip install -e '.[all]' --group dev --group bench
	touch $@
