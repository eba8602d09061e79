# What a machine needs for this: Python 3.11 to 3.13 with venv, and make. The rest is set up in .venv.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: help setup serve test check bench browser lock clean

help:
	@echo "make serve    an address that answers chats: sets up what is missing, fetches the default model (95 MB)"
	@echo "make test     the tests"
	@echo "make check    formatting, lint, types, and who may import whom"
	@echo "make bench    the benchmarks, against OpenVINO GenAI too"
	@echo "make setup    .venv with the tertulia command in it"
	@echo "make lock     pin the dependencies anew (needs uv)"

setup: .venv/.runtime
	@echo "Ready: $(BIN)/tertulia --help"

serve: .venv/.runtime
	@$(BIN)/tertulia serve $(ARGS)

# The tests with a real model need the default one, those with JavaScript clients node 20 and npm, those of the pages
# Chromium; without them they are skipped, by name. Pages are waited for more than worked on: two at a time. With ARGS
# it is one run of what they say.
test: .venv/.dev
	@$(BIN)/tertulia pull smollm2 || echo "Going on without the default model."
	@$(MAKE) -s tests/js/node_modules/.ready || echo "Going on without the JavaScript clients."
	@$(MAKE) -s browser || echo "Going on without the tests of the pages."
	$(BIN)/python -m pytest -q $(or $(ARGS),--ignore=tests/web)
	$(if $(ARGS),,$(BIN)/python -m pytest -q -n 2 --dist worksteal tests/web)

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

# LiteLLM and nginx (apt-get install nginx-light) run beside the gateway where they can be had.
bench: .venv-bench/.ready
	@$(MAKE) -s .venv-litellm/.ready || echo "Going on without LiteLLM."
	.venv-bench/bin/python -m bench $(ARGS)

# The machine's Chromium, or Debian's, or else the one that playwright fetches.
browser: .venv/.dev
	@for name in chromium-headless-shell chromium chromium-browser google-chrome; do command -v $$name > /dev/null && exit; done; \
	if command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ]; \
	then apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium-headless-shell fonts-dejavu-core > /dev/null; \
	else $(BIN)/playwright install chromium; fi

lock:
	uv pip compile -q pyproject.toml --group build --universal --generate-hashes --python-version 3.11 \
		--no-header --no-annotate -o requirements.lock
	uv pip compile -q pyproject.toml --group build --group dev --universal --generate-hashes --python-version 3.11 \
		--no-header --no-annotate -c requirements.lock -o requirements-dev.lock

.venv-litellm/.ready: bench/litellm.txt
	$(PYTHON) -m venv .venv-litellm
	.venv-litellm/bin/python -m pip install -q --disable-pip-version-check -r bench/litellm.txt
	@touch $@

clean:
	rm -rf .venv .venv-bench .venv-litellm tests/js/node_modules

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Python 3.11 to 3.13 is needed: make PYTHON=python3.12 setup"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "python3-venv is needed: apt-get install python3-venv"; exit 1; }

.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

tests/js/node_modules/.ready: tests/js/package.json tests/js/package-lock.json
	cd tests/js && npm ci --silent
	@touch $@

.venv-bench/.ready: requirements.lock bench/requirements.txt bench/schemas.txt pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	.venv-bench/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	.venv-bench/bin/python -m pip install -q --disable-pip-version-check -r bench/requirements.txt
	.venv-bench/bin/python -m pip install -q --disable-pip-version-check --no-deps -r bench/schemas.txt
	@touch $@
