# make report: from a fresh clone to report/build/dlapps-report.pdf.  PROFILE=smoke|quick|full, quick by default.
PROFILE ?= quick
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: help report publish html test lab check format clean
.DEFAULT_GOAL := help

help: ## list these targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo 'dlapps: expected Python 3.10 or newer as "$(PYTHON)"; name one with make PYTHON=python3.12 ...'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || report/install-packages python3-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

report: $(INSTALLED) ## set up what is missing, run the notebooks, build the PDF
	@report/install-packages tex
	@$(BIN)/dlapps report --profile $(PROFILE)

publish: ## the report with the papers' settings, into report/ to be committed
	@$(MAKE) report PROFILE=full
	cp report/build/dlapps-report.pdf report/build/results.json report/

html: $(INSTALLED) ## the same as pages of HTML, report/build/html/index.html
	@command -v pandoc >/dev/null || report/install-packages pandoc
	@$(BIN)/dlapps html --profile $(PROFILE)

test: $(INSTALLED) ## lint and test, a smoke-profile build of the report included
	@report/install-packages tex
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(BIN)/dlapps data fetch --embedded
	$(BIN)/python -m pytest -q

lab: $(INSTALLED) ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

check: $(INSTALLED) ## unanswered questions, unused numbers, figures never referred to
	@$(BIN)/dlapps check

format: $(INSTALLED) ## format and fix the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove what was built or cached; fetched assets stay
	rm -rf report/build data/cache .pytest_cache .ruff_cache figures/*.pdf figures/*.gif
