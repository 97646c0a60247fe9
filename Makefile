# Every target sets up .venv by itself; python3 (3.11 or newer) and make are all that is assumed.
#
#   make demo    fit the bundled example, start to finish
#   make test    all tests, the slow ones included
#   make check   what to run before a commit: lint, format, types, quick tests
#   make wheel   dist/fewfit-*.whl
#   make clean   remove what was built, .venv included

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Two workers of one thread each: a lane runs bit-equal on one thread, and the threads of two would fight over the cores.
WORKERS ?= 2
PYTEST  := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

.PHONY: demo test check wheel clean

demo: $(VENV)/.use
	$(BIN)/fewfit demo

test: $(VENV)/.develop
	$(PYTEST)

check: $(VENV)/.develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not slow"

wheel: $(BIN)/pip
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the last thing that venv writes, so a set-up that was cut short is begun again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "fewfit needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.use: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.develop: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,dev]'
	touch $@
