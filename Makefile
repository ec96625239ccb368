# Each target installs what it needs into .venv (and .venv-…).
PYTHON ?= python3
BIN := .venv/bin
PARAMETERS ?=
BEHAVIOUR ?=
BEHAVIOUR_FILE ?=
ORIGINS ?=
EMPTY ?=
ALLOW_NOT_MADE ?=
WORKER ?=
STACK ?= acknowledger
REGION ?= $(or $(AWS_REGION),$(AWS_DEFAULT_REGION))
OUTPUT ?= behaviour.toml
CONFORMANCE := packages/moto-codepipeline/tests/conformance
# Tests often wait, so three workers keep two cores busy. Files run in the order of collection: otherwise those
# with the fewest tests, which take the longest, would run last.
WORKERS ?= 3
TEST := $(BIN)/python -m pytest -p tests.shares -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Otherwise each process would compile every module again.
unexport PYTHONDONTWRITEBYTECODE
# They would change where Python looks for modules.
unexport PYTHONHOME PYTHONSAFEPATH
JOBS ?= 200
SEED ?= 1
RATE ?= 0.1

.PHONY: help demo local event probe smoke test test-all coverage faults chaos explore moto-tests bench pictures docs check fix lock build release clean

help:
	@sed -nE 's/^## ?//p; s/^([a-z-]+):[^#]*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 13

## To use it:
demo: .venv/installed ## Run a pipeline with all three outcomes, and check it
	@$(BIN)/python -m local demo

# The values are read from the environment, which keeps quotes and spaces. exec, here and below: otherwise
# a shell would get make's signals, and leave the program running.
local: .venv/installed ## Serve the local stack until Ctrl-C:
##               PORT=4566 HOST=127.0.0.1 EMPTY=1 WORKER=module:name
##               PARAMETERS="Name=value …" BEHAVIOUR="name=value …"
##               BEHAVIOUR_FILE=behaviour.toml
##               ORIGINS="http://localhost:3000 …"
##               ALLOW_NOT_MADE=1 to leave out resources that it can't create
	@exec $(BIN)/python -m local serve --host="$${HOST-127.0.0.1}" --port="$${PORT-4566}" \
		--origins="$$ORIGINS" --parameters="$$PARAMETERS" --behaviour="$$BEHAVIOUR" \
		--behaviour-file="$$BEHAVIOUR_FILE" \
		--worker="$$WORKER" $(if $(filter-out 0,$(EMPTY)),--empty) \
		$(if $(filter-out 0,$(ALLOW_NOT_MADE)),--allow-not-made)

event: .venv/installed ## Create a waiting job on a running make local, and the
##               event that acknowledges it: PORT=4566
	@$(BIN)/python -m local event --port="$${PORT-4566}"

probe: .venv/installed ## Ask AWS how CodePipeline behaves, and write the answers
##               to a file: REGION=eu-west-1 ONLY="name …" OUTPUT=behaviour.toml
##               LONG=1 AGAIN=1 YES=1 CLEAN=1 PREFIX=codepipeline-probe
##               PARTNER_TYPE=CATEGORY/PROVIDER/VERSION ENDPOINT=…
	@exec $(BIN)/python -m moto_codepipeline.probe --region="$(REGION)" --output="$(OUTPUT)" \
		--only="$(ONLY)" $(if $(ENDPOINT),--endpoint-url="$(ENDPOINT)") $(if $(filter-out 0,$(LONG)),--long) \
		$(if $(filter-out 0,$(AGAIN)),--again) $(if $(filter-out 0,$(YES)),--yes) \
		$(if $(filter-out 0,$(CLEAN)),--clean) \
		$(if $(PREFIX),--prefix="$(PREFIX)") $(if $(PARTNER_TYPE),--partner-type="$(PARTNER_TYPE)")

smoke: .venv/installed ## Run a dozen jobs through a deployed stack:
##               STACK=acknowledger REGION=eu-west-1 YES=1 ENDPOINT=…
##               ACTION_TYPE=Custom/CATEGORY/PROVIDER/VERSION SECONDS=300
	@exec $(BIN)/python -m tools.smoke --stack="$(STACK)" --region="$(REGION)" \
		$(if $(ENDPOINT),--endpoint-url="$(ENDPOINT)") $(if $(filter-out 0,$(YES)),--yes) \
		$(if $(ACTION_TYPE),--action-type="$(ACTION_TYPE)") $(if $(SECONDS),--seconds="$(SECONDS)")

build: .venv-sam/installed ## Package the functions with sam build; needs python3.13
	@.venv-sam/bin/sam build

release: .venv/installed .venv-release/installed .venv-sam/installed ## Build and check the files of a release, in dist/
	@.venv-release/bin/python tools/release.py dist
	@RELEASE=dist $(BIN)/python -m pytest -q tests/release

clean: ## Remove everything that was built and installed
	rm -rf .venv .venv-* .aws-sam dist site $(CONFORMANCE)/awscli/.venv $(CONFORMANCE)/js/node_modules tests/local/axe/node_modules

## To work on it:
test: .venv/installed ## Run the tests, except slow ones
	@$(TEST) -m "not slow" tests packages/acknowledger-worker

test-all: .venv/installed .venv-sam/installed .venv-release/installed ## Run every test, as CI does
	@$(TEST)

faults: .venv/installed ## Make each AWS call of a job fail in turn: FAULTS=some,
##               every (in every world) or write (the table)
	@FAULTS="$(or $(FAULTS),some)" exec $(BIN)/python -m pytest tests/resilience/test_faults.py

chaos: .venv/installed ## Run many jobs with random failures: JOBS=200 SEED=1 RATE=0.1,
##               EVENTS=none to lose all events of AWS services
	@exec $(BIN)/python -m tests.resilience --jobs="$(JOBS)" --seed="$(SEED)" --rate="$(RATE)" --events="$(EVENTS)"

explore: .venv/installed ## Try every order of a job's calls: SCENARIO="one job"
##               BOUND=2,2 (preemptions,faults) STEPS=10 (times the usual)
##               SCHEDULE="7:Acknowledge lost" to print the steps of that one,
##               WRITE=yes to write the result into docs/explorer.md
	@PYTHONPATH=functions exec $(BIN)/python -m tests.resilience.explorer --scenario="$(SCENARIO)" \
		--steps="$(or $(STEPS),1)" $(if $(BOUND),--bound="$(BOUND)") $(if $(WRITE),--write) \
		$(if $(SCHEDULE),--schedule="$(SCHEDULE)")

moto-tests: .venv/installed ## Run moto's own tests with our replacements in moto
	@$(BIN)/python -m tests.moto

bench: .venv/installed ## Measure, and compare with docs/performance.md:
##               BENCH="intake stack" for some, BENCH=--write to write the page
	@$(BIN)/python -m benchmarks $(BENCH)

pictures: .venv/installed ## Take the pictures of the page in docs/, in Chromium
	@$(BIN)/python tools/pictures.py

docs: .venv/installed .venv-docs/installed ## Write docs/parameters.md, check all links and build site/
	@$(BIN)/python tools/parameters.py
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build

coverage: .venv/installed ## Show the lines that unit tests leave out; fails below the limit
	@$(BIN)/coverage run -m pytest -q -m "not slow" tests/unit packages/acknowledger-worker/tests
	@$(BIN)/coverage report

# The packages' tests are checked separately, because modules in both have the same names.
check: .venv/installed .venv-sam/installed .venv-checkov/installed ## Lint, format, types, spelling, prose, template; change nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@for tests in "" packages/*/tests; do $(BIN)/mypy $$tests || exit 1; done
	@$(BIN)/codespell
	@git ls-files -z ':!*.png' ':!tools/prose.py' | xargs -0 $(BIN)/python tools/prose.py
	@$(BIN)/cfn-lint template.yaml examples/*/template.yaml
	@SAM_CLI_TELEMETRY=0 $(BIN)/python -m local.aws.isolation .venv-sam/bin/sam validate --lint
	@LOG_LEVEL=ERROR .venv-checkov/bin/checkov --config-file .checkov.yaml

fix: .venv/installed ## Fix what ruff can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# For every Python from 3.11 on. To get newer versions than the locked ones, delete the locked file first.
# dev.txt has only what local.txt lacks.
lock: .venv-release/installed ## Lock every requirements/*.in, requirements.in and package.json
	@for each in functions/requirements requirements/local \
			$(basename $(filter-out requirements/local.in,$(wildcard requirements/*.in))) \
			$(CONFORMANCE)/awscli/requirements examples/cdk/requirements; do \
		.venv-release/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-annotate \
			--custom-compile-command "make lock" \
			$$([ $$each != requirements/dev ] || sed -nE 's/^([a-z0-9.-]+)==.*/--no-emit-package \1/p' requirements/local.txt) \
			$$each.in --output-file $$each.txt || exit 1; done
	@for each in $(CONFORMANCE)/js tests/local/axe; do \
		npm --prefix=$$each install --package-lock-only --no-audit --no-fund --loglevel=error || exit 1; done

# pip runs from outside the environment, since Debian's Python has no ensurepip. It installs only what has a hash in
# the locked file, which is complete. Our own packages have none, so they are installed separately.
PIP = $(PYTHON) -m pip --python $(@D)/bin/python install --quiet --no-compile --no-deps --disable-pip-version-check
# On all cores; pip would use one.
COMPILE = $(@D)/bin/python -m compileall -qq -j 0 $(@D)/lib || true

.venv/installed: requirements/local.txt requirements/dev.txt packages/acknowledger-worker/pyproject.toml packages/moto-codepipeline/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.13 …")'
	@echo "Installing what the local stack and the tests need into .venv, which takes about a minute …"
	@$(PYTHON) -m venv --without-pip .venv
	@$(PIP) -r requirements/local.txt -r requirements/dev.txt
	@$(PIP) --no-build-isolation -e packages/acknowledger-worker -e packages/moto-codepipeline
	@$(COMPILE)
	@touch $@

.venv-%/installed: requirements/%.txt
	@echo "Installing what is in $< into $(@D), which takes about a minute …"
	@$(PYTHON) -m venv --without-pip $(@D)
	@$(PIP) -r $<
	@$(COMPILE)
	@touch $@
