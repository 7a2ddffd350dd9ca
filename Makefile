# make install   set up alone, as the others do first
# make demo      set up, run the whole pipeline on the embedded collection, write a report
# make test      set up, run the tests
# make lint      set up, run the checks of style and types
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
DEMO := results/demo
REPORT := $(DEMO)/report.html

.PHONY: install demo test lint clean
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

test: $(INSTALLED)
	$(BIN)/pytest

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

clean:
	rm -rf .venv results/demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
