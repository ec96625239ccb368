# Everything installs what it needs into .venv (and .venv-sam) by itself.
PYTHON ?= python3
BIN := .venv/bin
HOST ?= 127.0.0.1
PORT ?= 4566
PARAMETERS ?=
BEHAVIOUR ?=
EMPTY ?=
WORKER ?=
# Many tests wait: three keep two cores busy. Files go in their order: those with the fewest tests,
# which would else be the last, take the longest.
WORKERS ?= 3
JOBS ?= 200
SEED ?= 1
RATE ?= 0.1

.PHONY: help demo local test faults chaos bench check fix build clean

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /	/' | expand -t 10

demo: .venv/installed ## Run a pipeline with all three outcomes on the local stack and check it
	@$(BIN)/python -m local demo

local: .venv/installed ## Serve the local stack until Ctrl-C: PORT=4566 HOST=127.0.0.1 PARAMETERS="Name=value …" BEHAVIOUR="name=value …" WORKER=module:name EMPTY=1
	@$(BIN)/python -m local serve --host "$(HOST)" --port "$(PORT)" \
		$(foreach parameter,$(PARAMETERS),--parameter "$(parameter)") \
		$(foreach switch,$(BEHAVIOUR),--behaviour "$(switch)") $(if $(EMPTY),--empty) \
		$(if $(WORKER),--worker "$(WORKER)")

test: .venv/installed .venv-sam/installed ## Run the tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

faults: .venv/installed ## Break each AWS call on a job's way in turn: FAULTS=some, every (in every world) or write (the table)
	@FAULTS="$(or $(FAULTS),some)" $(BIN)/python -m pytest tests/resilience/test_faults.py

chaos: .venv/installed ## Run many jobs while everything goes wrong at random: JOBS=200 SEED=1 RATE=0.1, EVENTS=none to lose all events of AWS services
	@$(BIN)/python -m tests.resilience.chaos --jobs "$(JOBS)" --seed "$(SEED)" --rate "$(RATE)" \
		$(if $(filter none,$(EVENTS)),--no-events)

bench: .venv/installed ## Measure what is claimed of speed and cost, and hold the README's table to it: BENCH="intake stack" for some, BENCH=--write to write it
	@$(BIN)/python -m benchmarks $(BENCH)

check: .venv/installed .venv-sam/installed .venv-checkov/installed ## Lint, format, types, template; changes nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/cfn-lint template.yaml examples/*/template.yaml
	@SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam validate --lint
	@LOG_LEVEL=ERROR .venv-checkov/bin/checkov --config-file .checkov.yaml

fix: .venv/installed ## Mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

build: .venv-sam/installed ## Package the functions for Lambda with sam build; have python3.13 on the PATH, it compiles them
	@.venv-sam/bin/sam build

clean: ## Remove what was built and installed
	rm -rf .venv .venv-sam .venv-checkov .aws-sam packages/moto-codepipeline/tests/conformance/awscli/.venv packages/moto-codepipeline/tests/conformance/js/node_modules

# pip from outside the environment: Debian's Python has no ensurepip to put one in.
.venv/installed: requirements-dev.txt functions/requirements.txt packages/acknowledger-worker/pyproject.toml packages/moto-codepipeline/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.13 …")'
	@echo "Installing what the local stack and the tests need into .venv …"
	@$(PYTHON) -m venv --without-pip .venv
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.venv-%/installed: requirements-%.txt
	@echo "Installing what is in $< into $(@D) …"
	@$(PYTHON) -m venv --without-pip $(@D)
	@$(PYTHON) -m pip --python $(@D)/bin/python install --quiet --disable-pip-version-check -r $<
	@touch $@
