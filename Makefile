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
# a process for each processor; a file's tests share its fixtures, and so its process. In their own
# order, since the files with the fewest tests, which would come last, are not the shortest
PYTEST := python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

# small matrices: a second thread gains nothing, and loses much on a machine that is busy
test test-sqlalchemy20 test-postgres16 test-engines test-extras: export OMP_NUM_THREADS = 1

.PHONY: demo test test-sqlalchemy20 test-postgres16 test-engines test-extras programs java lint docs \
	bench-check

demo: $(INSTALLED)
	$(BIN)/bitryoshka demo

test: $(INSTALLED) programs
	$(BIN)/$(PYTEST)

# the tests of the ORM and of migrations again, on the older of the two versions of SQLAlchemy and of
# pgvector's Python package, which gave arrays where the newer gives lists; and of what reads vectors
test-sqlalchemy20: .venv20/.installed
	BITRYOSHKA_TEST_SQLALCHEMY=2.0 .venv20/bin/$(PYTEST) tests/test_sqlalchemy*.py tests/test_alembic*.py \
		tests/test_llama_index.py

# what the database does, again on the older of the two servers in the embedded one's wheel
POSTGRES := additive attach column_search functions installation lasting publications restores \
	roles settings
test-postgres16: $(INSTALLED) programs
	PGSERVER_POSTGRES_VERSION=16 $(BIN)/$(PYTEST) $(POSTGRES:%=tests/test_postgres_%.py) \
		tests/test_tutorial.py tests/test_living_page.py

# loads by Ray and Spark, which no other test needs
test-engines: .venv-engines/.installed java
	.venv-engines/bin/python -m pytest tests/loads_by_engines.py

# the page of each extra in an environment of its own; PAGES=django tries one
test-extras: $(INSTALLED)
	PYTHONPATH=.:tests $(BIN)/python -m tests.fresh_pages $(PAGES)

# from the system: Chromium and its own chromedriver, for the report's page; a pooler
programs:
	@missing=$$(for name in chromium chromedriver pgbouncer; do \
		PATH="$$PATH:/usr/sbin" command -v $$name >/dev/null || echo $$name; \
	done); \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update && apt-get install -y --no-install-recommends \
				chromium chromium-driver pgbouncer; \
		else \
			echo 'error: the tests need these commands:' $$missing >&2; exit 1; \
		fi; \
	fi

# from the system, for Spark; a slim Debian lacks the folder that the package links manuals into
java:
	@if ! command -v java >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		mkdir -p /usr/share/man/man1 && apt-get update && \
			apt-get install -y --no-install-recommends default-jre-headless; \
	fi
	@found=$$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'); \
	if [ "$${found:-0}" -lt 17 ]; then \
		echo "error: Spark needs the command java, 17 or newer, found: $${found:-none}" >&2; exit 1; \
	fi

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# the site, into build/docs; links and anchors within it are checked, others are left alone
docs: $(INSTALLED)
	$(BIN)/python -m sphinx --jobs auto --fail-on-warning --keep-going --quiet docs build/docs

bench-check: $(INSTALLED)
	$(BIN)/python -m benchmarks.check

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --no-compile $(TORCH)
	$(BIN)/python -m pip install --no-compile -e '.[all]' --group dev --group docs --group bench
	# by all processors; some packages bring files for other versions of Python
	-$(BIN)/python -W ignore -m compileall -qq -j 0 .venv/lib
	touch $@

# holds these two alone, and finds everything else in .venv, after its own packages
.venv20/.installed: $(INSTALLED)
	$(BIN)/python -m venv --clear --without-pip .venv20
	$(BIN)/python -m pip --python .venv20/bin/python install 'sqlalchemy~=2.0.0'
	$(BIN)/python -m pip --python .venv20/bin/python install --no-deps 'pgvector~=0.4.2'
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> "$$(.venv20/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
	touch $@

# holds the engines, with the pandas that Spark supports, and finds everything else in .venv, after
# its own packages
.venv-engines/.installed: $(INSTALLED)
	$(BIN)/python -m venv --clear .venv-engines
	.venv-engines/bin/python -m pip install 'ray[data]~=2.60.0' 'pyspark~=4.3.0' 'pandas~=2.3'
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> "$$(.venv-engines/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
	touch $@
