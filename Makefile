# make race    install, run the suite `quick`, verify what it compares, write the report
# make verify  prove everything that the frameworks compute, not only what a suite compares
# make test    install the tests' requirements and run all tests but those of the next two, two
#              files at a time
# make test-cluster   run those: several drivers at once, killed workers, Ray, a stand-in for SLURM
# make test-guard     run those of installing, the action's steps, bisection, history, asv, profilers
# make check   ruff, ruff format and mypy
# make asv     the nightly suites for the current commit under asv, pages in results/asv-html
# make clean   remove the environment, builds and results; baselines stay
PYTHON ?= python3
VENV   ?= .venv
OUTPUT ?= results
BIN    := $(VENV)/bin
PIP    := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=constraints.txt $(BIN)/pip

.PHONY: race verify test test-cluster test-guard check asv clean

race: $(VENV)/installed
	$(BIN)/gradrace run quick --output $(OUTPUT)

verify: $(VENV)/installed
	$(BIN)/gradrace verify --output $(OUTPUT)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore=tests/cluster \
	  --ignore=tests/guard

test-cluster: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/cluster

test-guard: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/guard

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/typing build/lib && $(PIP) install --quiet --no-deps --no-compile --target build/typing .
	$(BIN)/mypy --cache-dir build/mypy build/typing/gradrace

# asv uses the project's own environment: nothing is built, and the working tree is measured.
asv: $(VENV)/installed-dev
	test -z "$$(git status --porcelain)" || \
	  echo "asv: the working tree has changes that are not in $$(git rev-parse --short HEAD)" >&2
	test -f "$$HOME/.asv-machine.json" || $(BIN)/python -m asv machine --yes > /dev/null
	status=0; \
	$(BIN)/python -m asv run --python=same --set-commit-hash "$$(git rev-parse HEAD)" \
	  --record-samples --show-stderr || status=$$?; \
	$(BIN)/python -m asv publish --no-pull && exit $$status

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(\
	  "gradrace needs Python 3.11 or newer; try make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --editable '.[all]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install --quiet --editable '.[all,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .asv
	rm -rf results/runs results/html results/asv results/asv-html
	rm -f results/verify.json results/.verified.json
