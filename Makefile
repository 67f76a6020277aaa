# Commands for developers. They install into .venv and build into build; they change nothing outside this checkout.

PYTHON ?= python3
BIN := .venv/bin
NIGHTLY := nightly-seeds nightly-pairs nightly-mutants nightly-chaos nightly-slow nightly-deployed \
  nightly-browser nightly-emulator

.PHONY: help demo test check simulate mutants scale browser emulator nightly $(NIGHTLY) audit deployed format lock clean

help:  ## List the commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/demo  ## Count the words of some files in this checkout, and print the most common ones.
	@rm -rf build/demo
	@$(BIN)/s3mr run examples/wordcount.py LICENSE CONTRIBUTING.md docs/glossary.md --output build/demo
	@cat build/demo/part-* | LC_ALL=C sort -t "$$(printf '\t')" -k 2,2nr -k 1,1 | sed 20q

test: .venv/dev .venv/sam/.done  ## Run all tests.
	@$(BIN)/python .ci/gate.py tests

check: .venv/dev .venv/sam/.done .venv/docs/.done  ## Run the gate: format, lint, types, import contracts, the site, tests.
	@$(BIN)/python .ci/gate.py

SEEDS ?= 3000
SEED ?= 1
PROCESSES ?= 1

simulate: .venv/dev  ## Run the simulator with SEEDS=n seeds, starting at SEED=s. Exit with 1 if an invariant breaks.
	@$(BIN)/python -m tests.simulation seeds --seeds $(SEEDS) --seed $(SEED) --processes $(PROCESSES)

mutants: .venv/dev  ## Break the protocol in every known way, and check that the simulator detects each one.
	@$(BIN)/python -m tests.simulation mutants --processes $(PROCESSES)

scale: .venv/dev  ## Drive jobs of up to 100,000 tasks in virtual time, and print the coordinator's load.
	@$(BIN)/python -m tests.simulation.scale

SCALE ?= 1
RUNS ?= 3
PEERS ?=

.PHONY: bench bench-quick bench-peers
bench: .venv/dev  ## Compare s3mr with the floor and with PEERS=dask,lithops,mrjob,spark. SCALE=0.1 RUNS=1 is faster.
	@$(BIN)/python -m benchmarks --scale $(SCALE) --runs $(RUNS) --peers "$(PEERS)"

bench-quick: .venv/dev  ## Measure small inputs, and compare with the recorded ratios, with some tolerance.
	@$(BIN)/python -m benchmarks --quick

bench-peers:  ## Install the peers in a separate environment.
	$(PYTHON) -m venv build/benchmarks/peers
	build/benchmarks/peers/bin/python -m pip install --quiet --disable-pip-version-check '.[local,peers]'

nightly: .venv/dev .venv/sam/.done .venv/emulator/.done  ## Run the tests that take hours: 100,000 seeds, all pairs of deaths, mutants, long chaos, slow tests.
	@failed=; for step in $(NIGHTLY); do $(MAKE) $$step || failed="$$failed $$step"; done; \
	  test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

nightly-seeds:
	$(BIN)/python -m tests.simulation seeds --seeds 100000 --seed $(SEED) --processes 2

nightly-pairs:
	$(BIN)/python -m tests.simulation pairs --processes 2

nightly-mutants:
	$(BIN)/python -m tests.simulation mutants --processes 2

nightly-chaos:
	CHAOS_RUNS=50 CHAOS_SEED=$(SEED)000 $(BIN)/python -m pytest -q -n 2 tests/chaos

nightly-slow:
	S3MR_SLOW=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --timeout 7200 tests \
	  --ignore tests/emulator --ignore tests/deployed

nightly-deployed:
	S3MR_SLOW=1 $(BIN)/python -m pytest -q --timeout 7200 tests/deployed

browser: .venv/dev  ## Test with Chromium that web pages cannot reach the embedded cloud.
	@$(MAKE) --no-print-directory nightly-browser

nightly-browser:
	S3MR_BROWSER=1 $(BIN)/python -m pytest -q tests/integration/test_browser.py

emulator: .venv/dev .venv/sam/.done .venv/emulator/.done  ## Deploy to a third-party AWS emulator, and run jobs there. Takes minutes; Linux only.
	@$(MAKE) --no-print-directory nightly-emulator

nightly-emulator:
	S3MR_EMULATOR=1 $(BIN)/python -m pytest -q tests/emulator

.PHONY: docs site
docs: .venv/dev .venv/docs/.done  ## Update the generated parts of the documents, and build the site: build/site/index.html.
	$(BIN)/python -m docs.generate
	@$(MAKE) --no-print-directory site

site: .venv/dev .venv/docs/.done  ## Build the site from the documents as they are, with warnings as errors, and check it.
	$(BIN)/python -m docs.generate --stage build/docs
	.venv/docs/bin/zensical build --clean --strict
	S3MR_SITE=build/site $(BIN)/python -m pytest -q tests/docs/test_site.py

audit: .venv/audit/.done  ## Check all locked packages for known vulnerabilities. Needs the network.
	$(BIN)/python .ci/audit.py .venv/audit/bin/pip-audit

deployed: .venv/dev .venv/sam/.done  ## Run JOB=FILE on the built template, as AWS would, from INPUT=FOLDER to OUTPUT=FOLDER.
	@test -n "$(JOB)" -a -n "$(INPUT)" -a -n "$(OUTPUT)" || \
	  (echo "make deployed JOB=FILE INPUT=FOLDER OUTPUT=FOLDER [ARGS='options of s3mr run']"; exit 2)
	@$(BIN)/python -m tests.deployed.run "$(JOB)" "$(INPUT)" "$(OUTPUT)" $(ARGS)

format: .venv/dev  ## Format the code, and fix what the linter can fix.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/dev  ## Update the locks of everything that CI and the functions install.
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	  --extra local --extra dev --upgrade --output-file .ci/requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	  --group docs --upgrade --output-file .ci/docs.txt
	echo aws-sam-cli | $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	  --upgrade --output-file .ci/sam.txt -
	echo pip-audit | $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	  --upgrade --output-file .ci/audit.txt -
	printf 'ministack==1.5.33\naws-sam-translator\nbotocore\n' | $(BIN)/uv pip compile --quiet --universal --generate-hashes \
	  --python-version 3.11 --upgrade --output-file .ci/emulator.txt -
	$(BIN)/uv pip compile --quiet --universal --no-annotate --no-header --python-version 3.11 \
	  --upgrade lambdas/pyproject.toml > lambdas/pins
	(echo '# What the functions install: this project and its dependencies, at locked versions (make lock).'; \
	  echo ./lambdas; cat lambdas/pins) > lambdas/requirements.txt && rm lambdas/pins

# Each of these tools has its own environment, because it needs other versions than s3mr.
.venv/sam/.done .venv/docs/.done .venv/audit/.done .venv/emulator/.done: .venv/%/.done: .ci/%.txt .venv/bin/python
	$(BIN)/python -m venv .venv/$*
	.venv/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r $<
	@touch $@

clean:  ## Remove everything that these commands created.
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "s3mr needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local]'
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml .ci/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r .ci/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
