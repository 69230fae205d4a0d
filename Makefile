# Both `make demo` and `make test` begin from nothing but make and Python 3.11 or newer.

DATA ?= data
RUNS ?= runs
MINUTES ?= 5
PYTHONS ?= python3.13 python3.12 python3.11 python3

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
TESTING := $(VENV)/testing
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

# Install this checkout and packages, `$(call install,.[test])`, as constraints.txt pins them. uv needs a third of pip's
# time; where it cannot install (a package index that only pip's settings name), pip does.
PINNED := --constraint constraints.txt --editable
define install
$(BIN)/python $(PIP_INSTALL) uv && $(BIN)/uv pip install --quiet --python $(BIN)/python $(PINNED) '$(1)' \
	    || $(BIN)/python $(PIP_INSTALL) $(PINNED) '$(1)'
endef

# uv installs packages without bytecode, which the first start then writes. Where an environment forbids that, as some
# containers do, each start would compile them again, 1 to 2.5 s of CPU. Empty means unset.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo recipes test fuzz lint docs lock clean
.DEFAULT_GOAL := help

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

demo: $(READY) ## show the lungs of three phantoms and of FILE=RADIOGRAPH, then train both networks on phantoms: minutes on a laptop
	$(BIN)/cxrjax demo $(RUNS)/first_look $(if $(FILE),"$(FILE)")
	$(BIN)/python -m data_prep phantom --out=$(DATA)
	$(BIN)/python -m cxrjax.main --config=configs/phantom.py:segment --workdir=$(RUNS)/phantom_segment --config.data.dir=$(DATA)/phantom
	$(BIN)/python -m cxrjax.main --workdir=$(RUNS)/phantom_segment --mode=evaluate --split=test
	$(BIN)/python -m cxrjax.main --config=configs/phantom.py:classify --workdir=$(RUNS)/phantom_classify --config.data.dir=$(DATA)/phantom --config.segmenter.workdir=$(RUNS)/phantom_segment
	$(BIN)/python -m cxrjax.main --workdir=$(RUNS)/phantom_classify --mode=evaluate --split=test
	$(BIN)/python -m cxrjax.main --workdir=$(RUNS)/phantom_classify --mode=report
	@echo "Lungs by the model of the package: $(RUNS)/first_look/lungs"
	@echo "Test phantoms with lungs, prediction and map: $(RUNS)/phantom_classify/evaluation/test/preview.png"
	@echo "All of it on one page: $(RUNS)/phantom_classify/report/index.html"
	@echo "For the commands of README.md, first: . $(VENV)/bin/activate"

recipes: $(READY) ## train every published recipe in the small, side by side: BENCHMARK=TABLE.csv, hours on two cores
	@test -n "$(BENCHMARK)" || { echo "make recipes: name the table of the radiographs, BENCHMARK=TABLE.csv" >&2; exit 1; }
	$(BIN)/python -m data_prep table --csv=$(BENCHMARK) --filter=dataset=openist,jsrt --name=lungs --out=$(DATA)
	$(BIN)/python -m data_prep table --csv=$(BENCHMARK) --filter=dataset=chest_xray,tuberculosis,covid-chestxray-dataset --name=findings --out=$(DATA)
	$(BIN)/python -m cxrjax.main --config=configs/benchmark.py:segment --workdir=$(RUNS)/benchmark_segment --config.data.dir=$(DATA)/lungs
	$(BIN)/python -m benchmarks.recipes --findings=$(DATA)/findings --lungs=$(DATA)/lungs --segmenter=$(RUNS)/benchmark_segment --out=$(RUNS)/recipes

# Three at a time, of which the smallest machine runs two: a test that waits for a process, a signal or a browser leaves
# its core to another one. A file goes to one of them, so that what its tests share is made once.
test: $(TESTING) ## run the tests
	$(BIN)/python -m pytest -n 3 --dist loadfile

fuzz: $(TESTING) ## mutate files until a reader fails: MINUTES=5 for each reader
	$(call install,.[test,fuzz])
	$(BIN)/python -m tests.fuzz --minutes=$(MINUTES)

lint: $(TESTING) ## check the code's form and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python

docs: $(READY) ## build the documentation into build/site
	$(call install,.[docs])
	$(BIN)/mkdocs build --strict

# A release that the oldest Python can install, the newer ones can too; so the pins are resolved on 3.11.
lock: ## renew constraints.txt from the newest releases
	@command -v python3.11 >/dev/null || { echo "make lock: python3.11 is not here; the pins are resolved on the oldest Python" >&2; exit 1; }
	rm -rf build/lock && python3.11 -m venv build/lock
	build/lock/bin/python $(PIP_INSTALL) '.[test]'
	{ echo '# Made by `make lock` on Python 3.11; CONTRIBUTING.md says how. Not to be edited by hand.'; build/lock/bin/python -m pip freeze --exclude cxrjax; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## remove what was built; data and runs stay
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache

# Made anew whenever the requirements or the pins change, so that it never holds a package they no longer name.
$(READY): pyproject.toml constraints.txt
	@for python in $(PYTHONS); do \
	    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    $$python -c 'import ensurepip' 2>/dev/null || { lacking=$$python; continue; }; \
	    echo "$$python -m venv $(VENV)"; exec $$python -m venv --clear $(VENV); \
	done; \
	if [ -n "$$lacking" ]; then echo "make: $$lacking cannot make virtual environments (no ensurepip); on Debian and Ubuntu install python3-venv" >&2; \
	else echo "make: cxrjax needs Python 3.11 or newer, and none of these is: $(PYTHONS)" >&2; fi; exit 1
	$(call install,.)
	@touch $(READY)

$(TESTING): $(READY)
	$(call install,.[test])
	@touch $(TESTING)
