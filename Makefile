# deepstorm3d: every target makes its own virtual environment first. `make help` lists them.

PYTHON    ?= python3
VENV      ?= .venv
EXTRAS    ?= dev,compressed
PIP_FLAGS ?=
DEMO_OUT  ?= demo-out
FOLDER    ?= .
# Tests that run at once; each with one thread.
WORKERS   ?= auto
CLIENTS   ?= .venv-clients
# The environments of wheel-test and test-lowest, made anew each time.
FRESH     ?= .venv-wheel
LOWEST    ?= .venv-lowest
LOWEST_EXTRAS := compressed,io,fabrication,cluster,tracks
LOWEST_TESTS  := tests/test_cli*.py tests/test_spec.py tests/test_kinds.py tests/test_camera.py tests/test_emitters.py \
    tests/io tests/localizer tests/optics/test_optics_scalar.py tests/optics/test_optics_masks.py \
    tests/analysis/test_analysis_matching.py tests/analysis/test_analysis_metrics.py \
    tests/analysis/test_analysis_drift.py tests/jobs/test_jobs_localize.py tests/jobs/test_jobs_cluster.py \
    tests/jobs/test_jobs_track.py tests/jobs/test_jobs_report.py

BIN       := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.installed-docs
# The Python that has the other programs of test-interop: one of your own, or the one that is made for them.
ifndef DEEPSTORM3D_CLIENTS
DEEPSTORM3D_CLIENTS := $(CLIENTS)/bin/python
CLIENTS_INSTALLED   := $(CLIENTS)/.installed
endif

# A new environment, and its pip. A Python without `ensurepip` (Debian without python3-venv) still makes an
# environment; its own pip then installs into it.
environment = $(PYTHON) -m venv $(1) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(1)
pip_of = $$($(1)/bin/python -m pip --version >/dev/null 2>&1 && echo $(1)/bin/python -m pip || \
    echo $(PYTHON) -m pip --python $(1)/bin/python)

.DEFAULT_GOAL := help
.PHONY: help demo studio test test-browser test-slow test-gpu test-interop wheel-test test-lowest check lint format bench docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile
	@echo "  Another Python: make PYTHON=python3.12 demo.  Options for pip: PIP_FLAGS=..."

demo: $(INSTALLED)  ## simulate, localize, evaluate and draw the built-in example, into demo-out/
	$(BIN)/deepstorm3d demo --out $(DEMO_OUT)

studio: $(INSTALLED)  ## open the studio in the browser, over FOLDER (this one where left out)
	$(BIN)/deepstorm3d studio $(FOLDER)

test: $(INSTALLED)  ## all tests but those that take minutes, a browser or other programs
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-browser: $(INSTALLED)  ## the tests of the studio's pages in Chromium (skipped where it is not installed)
	$(BIN)/python -m pytest tests/studio -m browser -n $(WORKERS) --dist loadfile -rs $(PYTEST_ARGS)

test-slow: $(INSTALLED)  ## the tests that train a network (tens of minutes)
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

test-gpu: $(INSTALLED)  ## those for the device cuda alone (pretended where there is none)
	$(BIN)/python -m pytest -m gpu $(PYTEST_ARGS)

test-interop: $(INSTALLED) $(CLIENTS_INSTALLED)  ## the tests with Picasso, locan, smappy, napari-storm and COMET (1 GB)
	DEEPSTORM3D_CLIENTS=$(abspath $(DEEPSTORM3D_CLIENTS)) $(BIN)/python -m pytest -m interop tests/interop -rs $(PYTEST_ARGS)

# The wheel is built from the source archive, so that both are whole. A short demo, from an empty folder.
wheel-test: $(INSTALLED)  ## build the wheel, install it into a fresh environment and run the demo there (2 minutes)
	rm -rf dist $(FRESH)
	$(BIN)/python -m hatchling build -t sdist -d dist
	$(call pip_of,$(VENV)) wheel $(PIP_FLAGS) --no-deps --no-build-isolation -w dist dist/*.tar.gz
	$(call environment,$(FRESH))
	$(call pip_of,$(FRESH)) install $(PIP_FLAGS) -c constraints.txt dist/*.whl
	mkdir $(FRESH)/empty
	cd $(FRESH)/empty && ../bin/deepstorm3d --info && ../bin/deepstorm3d demo --frames 20
	rm -rf $(FRESH)

# What the declared lower bounds promise, of the libraries and of the tools of the tests.
test-lowest:  ## a part of the tests with the lowest versions that pyproject.toml allows (about 10 minutes)
	rm -rf $(LOWEST)
	$(call environment,$(LOWEST))
	$(call pip_of,$(LOWEST)) install $(PIP_FLAGS) --prefer-binary -c constraints-lowest.txt \
	    -e '.[$(LOWEST_EXTRAS)]' pytest pytest-xdist hypothesis
	$(LOWEST)/bin/python -m pytest $(LOWEST_TESTS) $(PYTEST_ARGS)

check: lint  ## style, types and layers
	$(BIN)/python -m pytest tests/test_architecture.py tests/test_import_time.py

lint: $(INSTALLED)  ## style, types and code that nothing uses
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vulture
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(INSTALLED)  ## let ruff lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## measure the speeds and the accuracy of the built-in model anew (about an hour)
	$(BIN)/python benchmarks/simulation_speed.py --threads 1
	$(BIN)/python benchmarks/network_speed.py
	$(BIN)/python benchmarks/accuracy.py src/deepstorm3d/models/tetrapod.pt

# Pages, links and docstrings are checked strictly; nothing comes from the network.
docs: $(DOCS_INSTALLED)  ## build the documentation into site/, examples run and commands' help written anew
	$(BIN)/python docs/reference/make_cli.py
	$(BIN)/python docs/check_public.py
	$(BIN)/python docs/gallery/make_gallery.py build/gallery
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html in a browser."

clean:  ## remove what make made: the environment, demo-out/, site/, builds and caches (never runs/)
	rm -rf $(VENV) $(CLIENTS) $(FRESH) $(LOWEST) $(DEMO_OUT) site build dist .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed anew only when what it is made from changes.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "deepstorm3d needs Python 3.11 or newer; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1 | head -n 1)."; \
	    echo "Name another one:  make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(call environment,$(VENV))
	$(call pip_of,$(VENV)) install $(PIP_FLAGS) -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	$(call pip_of,$(VENV)) install $(PIP_FLAGS) -c constraints.txt -e '.[docs]'
	@touch $@

# The clients' requirements contradict ours and each other's: an environment of their own, and their own lists
# overruled. One that cannot be installed is left out, and its tests are skipped.
$(CLIENTS)/.installed: tests/interop/requirements.txt tests/interop/clients.txt
	@$(call environment,$(CLIENTS))
	@pip="$(call pip_of,$(CLIENTS))"; \
	set -ex; $$pip install $(PIP_FLAGS) -r tests/interop/requirements.txt; \
	while read -r client; do \
	    $$pip install $(PIP_FLAGS) -c tests/interop/requirements.txt $$client || echo "without $$client"; \
	done < tests/interop/clients.txt
	@touch $@
