# Everything a person or a build machine runs. Each target sets up what it needs; the second run is
# quick. `make` alone lists the targets.

SHELL := /bin/bash
PYTHON := .venv/bin/python
# Most tests wait for others most of the time, so two cores bear three at once.
AT_ONCE := -n 3 --dist loadfile
.DEFAULT_GOAL := help
.PHONY: help setup demo test full lint format docs bench bench-relay fuzz lab screenshots clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup-%:
	@tools/setup.sh $*

setup: setup-demo ## Install what is missing into .venv, nothing else

demo: setup-demo ## Start a relay and two connected people, and open their pages
	@.venv/bin/volok demo

test: lint ## Lint, then every test that is not full size (under ten minutes on two cores)
	@$(PYTHON) -m pytest -m "not full" $(AT_ONCE)

full: lint ## Lint, then every test at full size
	@$(PYTHON) -m pytest --timeout 3600

lint: setup-test ## Style, types and the rules on who may import whom
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

format: setup-test ## Put the code into the house style
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

docs: setup-demo ## Write docs/cli.md, docs/settings.md and the tables of figures anew
	@$(PYTHON) tools/cli_docs.py
	@$(PYTHON) tools/settings_docs.py
	@$(PYTHON) tools/figures.py
	@$(PYTHON) tools/lab_results.py

bench: setup-bench ## Measure; writes bench/results.json and the tables made from it
	@$(PYTHON) -m bench
	@$(PYTHON) tools/figures.py

bench-relay: setup-bench ## Measure the relay beside others; PEERS='--peer NAME=URL' adds more
	@$(PYTHON) -m bench.relay_figures --write $(PEERS)

lab: setup-lab ## Censor a small world in every known way; shows what gets through (ten minutes)
	@$(PYTHON) -m lab run --at-once 3

fuzz: setup-fuzz ## Let every parser meet garbage for 60 seconds each, or SECONDS_EACH=…
	@$(PYTHON) fuzz/run.py --seconds $(or $(SECONDS_EACH),60)

screenshots: setup-test ## Photograph every page and state into screenshots/
	@$(PYTHON) -m tests.app.web.screenshots screenshots

clean: ## Remove what the other targets made, .venv included
	rm -rf .venv node_modules build dist screenshots src/volok/app/web/vendor
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
