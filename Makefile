# make install   set up; the others do this first
# make demo      run the whole workflow on a simulated collection, and write a report
# make benchmark compare all methods at tiny size on a simulated collection, and write a page
# make test      run the tests
# make lint      check style and types
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
DEMO := results/demo
REPORT := $(DEMO)/report.html
QUICK := results/quick

.PHONY: install demo benchmark test test-unit test-workflow test-e2e test-slurm lint clean
.DEFAULT_GOAL := demo

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or later is needed, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

install: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/ssp simulate $(DEMO)/collection --config demo/collection.yaml --workers 2
	$(BIN)/snakemake --cores all --configfile demo/config.yaml --directory $(DEMO)
	@if [ -n "$$(find $(DEMO)/results/report -newer $(REPORT) 2>&1)" ]; then \
		$(BIN)/snakemake --quiet --configfile demo/config.yaml --directory $(DEMO) --report report.html; \
	fi
	@echo "The report: $(REPORT)"

benchmark: $(INSTALLED)
	$(BIN)/ssp simulate $(QUICK)/collection --config benchmark/quick_collection.yaml --workers 2
	$(BIN)/snakemake --cores all --configfile benchmark/quick.yaml --directory $(QUICK) benchmark
	@echo "The page: $(QUICK)/results/report/benchmark.html"

# Four sessions side by side, as many tests wait for a scheduler or a server. Threads that spin while they wait for each
# other would take the cores from the other sessions, which is many times slower: so one thread, and passive waiting.
# A session shows its output when it ends. A single test: .venv/bin/pytest tests/unit/test_log.py
test: $(INSTALLED)
	@$(MAKE) --no-print-directory --jobs --keep-going test-unit test-workflow test-e2e test-slurm

test-unit: TESTS := --ignore=tests/workflow --ignore=tests/e2e
test-workflow: TESTS := tests/workflow
test-e2e: TESTS := tests/e2e --ignore=tests/e2e/test_slurm.py
test-slurm: TESTS := tests/e2e/test_slurm.py
test-unit test-workflow test-e2e test-slurm: $(INSTALLED)
	@mkdir -p results/tests
	@echo "$@: started, to be followed in results/tests/$@.log"
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/pytest -rs --durations=5 $(TESTS) > results/tests/$@.log 2>&1; status=$$?; \
		cat results/tests/$@.log; exit $$status

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

clean:
	rm -rf .venv results/demo results/quick results/tests .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
