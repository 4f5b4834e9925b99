# make report: from a fresh clone to report/build.  PROFILE=smoke|quick|full, quick by default.
PROFILE ?= quick
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
REPORT := $(VENV)/report.installed
DEV := $(VENV)/dev.installed
# Both products; for development with what tests need, or what a class needs.
$(REPORT): PACKAGES = --editable . --editable ./report
$(DEV): PACKAGES = --editable '.[dev]' --editable ./report
%/class.installed: PACKAGES = --editable '.[test]' --editable './report[class]'
BENCH := .venv-bench
VERSIONS := 3.10 3.11 3.12 3.13 3.14
LANGUAGE := codemirror_mode file_extension mimetype nbconvert_exporter pygments_lexer version
STRIP := "$(abspath $(BIN))/python" -m nbstripout --keep-id --extra-keys "$(LANGUAGE:%=metadata.language_info.%) \
    metadata.vscode $(addprefix cell.metadata.,editable jp-MarkdownHeadingCollapsed slideshow vscode)"

.PHONY: help report publish variants html notebooks docs test test-all bench lab check format lock clean
.PRECIOUS: $(VENV)/%.installed
.DEFAULT_GOAL := help

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

# report.installed: what a report needs; dev.installed: what tests and development need besides.
$(VENV)/%.installed: pyproject.toml report/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' \
	    || { echo 'dlapps: expected Python 3.10 to 3.14 as "$(PYTHON)"; name one with make PYTHON=python3.12 ...'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || report/install-packages python3-venv
	@echo 'Setting up $(VENV): PyTorch and what the notebooks need (some minutes; 2 GB, or 6 GB with a PyTorch for graphics cards)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PACKAGES)
	@touch $@

report: $(REPORT) ## set up what is missing, run the notebooks, build PDF, HTML and reading copies
	@report/install-packages tex || echo 'Without TeX there will be all but the PDF.'
	@$(BIN)/labreport report --profile $(PROFILE)

# Links of a copy lead from report/build/notebooks to the notebooks; a published copy lies one folder higher.
publish: $(REPORT) ## the report under the full profile, into report/ to be committed; not where a sentence does not hold
	@report/install-packages tex
	@$(BIN)/labreport report --profile full --strict
	cp -r report/build/report.pdf report/build/results.json report/build/environment.txt report/build/notebooks report/
	sed -i.before 's|(\.\./\.\./\.\./notebooks/|(../../notebooks/|g' report/notebooks/*.ipynb && rm report/notebooks/*.before

variants: $(REPORT) ## the chapters under other seeds, threads, processors and data (half an hour; DLAPPS_DATA names the mirror)
	@cd data && "$(abspath $(BIN))/python" -m studies.variants

html: $(REPORT) ## the HTML pages alone, without TeX, report/build/html/index.html
	@$(BIN)/labreport html --profile $(PROFILE) $(STRICT)

notebooks: $(REPORT) ## the reading copies alone: executed notebooks, numbers filled in, report/build/notebooks/
	@$(BIN)/labreport notebooks --profile $(PROFILE)

docs: $(DEV) ## the functions and classes of the library, report/build/api/index.html
	$(BIN)/pdoc dlapps '!dlapps.cli' labreport.chapter labreport.results labreport.intervals --output-directory report/build/api

# Files of tests share the cores, one thread each, since more threads than cores slow them all down; in their order, the
# longest first.
# With PROGRAMS=none tests see no program of the machine, as where TeX, git and Chromium are not installed.
test: $(DEV) ## lint, types, spelling and tests
	@[ "$(PROGRAMS)" = none ] || report/install-packages tex || echo 'The tests that typeset are skipped.'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	@$(BIN)/dlapps data fetch
	$(if $(filter none,$(PROGRAMS)),DLAPPS_TEST_PATH=$(BIN)) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-all: ## the same with each Python that is found here, then a smoke-profile build, the wheel, solutions, JupyterLab, nbgrader, other libraries
	@for version in $(VERSIONS); do \
	    if python$$version -c '' 2>/dev/null; then \
	        $(MAKE) test PYTHON=python$$version VENV=.venv-$$version || exit 1; \
	    else \
	        echo "Python $$version is not here"; \
	    fi; \
	done
	@$(MAKE) $(DEV)
	$(BIN)/python -m pytest -q -m "wheel or lab or solutions or smoke"
	@$(MAKE) VENV=.venv-class .venv-class/class.installed
	.venv-class/bin/python -m pytest -q -m nbgrader tests/chapters/test_course.py
	@$(MAKE) $(BENCH)/installed
	$(BENCH)/bin/python -m pytest -q -m references tests/test_references.py

bench: $(BENCH)/installed ## time dlapps beside other libraries, write benchmarks/results.md
	@$(BENCH)/bin/python benchmarks/run.py

$(BENCH)/installed: pyproject.toml benchmarks/requirements.txt benchmarks/requirements-no-deps.txt
	@echo 'Setting up $(BENCH): dlapps and the libraries that it is timed beside (about a minute)'
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/pip install --quiet --disable-pip-version-check --editable . --editable ./report --requirement benchmarks/requirements.txt
	@$(BENCH)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement benchmarks/requirements-no-deps.txt
	@touch $@

# The filter leaves out what running a notebook writes, for the files in .gitattributes. The kernel is this environment's.
# In a container the user is root, for whom JupyterLab asks for a flag.
ALLOW_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
lab: $(REPORT) ## open Chapter 1 in JupyterLab; what runs there changes nothing for git
	@! git rev-parse --git-dir >/dev/null 2>&1 || git config filter.nbstripout.clean '$(STRIP)'
	@PYTHONPATH=report JUPYTER_PATH="$(abspath $(VENV))/share/jupyter$${JUPYTER_PATH:+:$$JUPYTER_PATH}" \
	    $(BIN)/jupyter lab $(ALLOW_ROOT) --ContentsManager.post_save_hook=save_hook.refresh notebooks/1_transfer_learning.ipynb

check: $(REPORT) ## mistakes, unanswered questions, figures never referred to
	@$(BIN)/labreport check

format: $(DEV) ## format and fix the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# PyTorch and what its builds bring stay ranges, since they differ by index; pip is the environment's own.
lock: ## renew constraints.txt, the versions that make installs
	@$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet --disable-pip-version-check uv
	@{ echo '# What make installs, for every system and Python 3.10 to 3.14. Renewed by make lock, not by hand.'; \
	    .venv-lock/bin/uv pip compile pyproject.toml report/pyproject.toml --all-extras --universal --python-version 3.10 --upgrade --quiet \
	        --no-header --no-annotate --no-emit-index-url \
	    | grep -vE '^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+|pip|setuptools)==' ; } > constraints.txt.new
	@mv constraints.txt.new constraints.txt

clean: ## remove what was built or cached; fetched assets stay
	rm -rf report/build data/cache .pytest_cache .ruff_cache .mypy_cache figures/*.pdf
