# The front door. Every target sets up what it needs, and a second call does nothing twice; npm scripts only forward here.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:

NODE ?= node
NPM ?= npm
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

SOURCES := $(shell find src -type f)
NATIVE_SOURCES := $(wildcard native/*.c native/*.h native/Makefile)

.PHONY: help setup build native run test unit interop check format lint types bench bench-sim sim clients pack clean distclean bench-wan rfc

help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | while IFS='|' read -r target text; do printf '  make %-10s %s\n' "$$target" "$$text"; done

# --- Building ---------------------------------------------------------------------------------------------------------------

setup: node_modules/.tapstack-installed ## Install the npm packages

# npm may refuse install scripts, and none is needed: every package that has a binary ships it prebuilt.
node_modules/.tapstack-installed: package.json package-lock.json
	@$(NODE) scripts/need-node.mjs
	@if $(NODE) scripts/deps-current.mjs; then :; else $(NPM) ci --ignore-scripts --no-audit --no-fund; fi
	@touch $@

build: setup native dist/.built ## Build the addon and dist/

native: native/build/tapstack.node

native/build/tapstack.node: $(NATIVE_SOURCES)
	@$(MAKE) --no-print-directory -C native
	@touch $@

# Built aside and swapped in, so that a failed build leaves the last good one.
dist/.built: $(SOURCES) tsconfig.json tsconfig.build.json package.json node_modules/.tapstack-installed
	@rm -rf dist.next
	@tsc -p tsconfig.build.json --outDir dist.next || { rm -rf dist.next; exit 1; }
	@chmod +x dist.next/cli/main.js
	@touch dist.next/.built
	@rm -rf dist && mv dist.next dist
	@ln -sfn ../../dist/cli/main.js node_modules/.bin/tapstack # where npx looks first

pack: build ## Make the npm tarball, built addon included
	$(NPM) pack --ignore-scripts

# --- Running ----------------------------------------------------------------------------------------------------------------

run: build ## Start a demo host with POP3, NTP and echo; Ctrl-C removes every trace
	@exec bash scripts/run.sh

# --- Testing ----------------------------------------------------------------------------------------------------------------

clients: ## Install the programs the interop tests talk to (needs root)
	@bash scripts/install-clients.sh

test: build clients ## Set up everything, then run every test
	@$(NODE) scripts/run-tests.mjs unit interop

unit: setup native ## Run the tests that need no root
	@$(NODE) scripts/run-tests.mjs unit

interop: build clients ## Run the tests against real programs (needs root)
	@$(NODE) scripts/run-tests.mjs interop

check: setup lint types test ## What CI runs: format, lint, types, every test

lint: setup ## Check format and lint rules
	biome ci $(if $(CI),--colors=off) .

format: setup ## Rewrite files in the project's format
	biome check --write .

types: setup ## Check types of sources, tests, examples and benchmarks
	tsc -p .

SEEDS ?= 10000

sim: build ## Try random networks on simulated time: SEED=n for one, SEEDS=n for so many
	@if [ -n "$(SEED)" ]; then node dist/cli/main.js sim --seed $(SEED); else node dist/cli/main.js sim --seeds $(SEEDS) --jobs $$(nproc); fi

bench-sim: setup ## Compare the grid of simulated paths with its golden copy (ARGS=--update replaces it)
	@tsx bench/sim/grid.ts $(ARGS)

bench: build ## Measure everything side by side (ROWS=name for some; needs root, 6 minutes)
	@tsx bench/run.ts $(ROWS)

microbench: build ## Run the micro benchmarks
	@for file in bench/micro/*.ts; do echo "# $$file"; tsx "$$file"; done

# --- Cleaning ---------------------------------------------------------------------------------------------------------------

clean: ## Remove everything that was built
	rm -rf dist dist.next native/build coverage demo .test-results *.tgz

distclean: clean ## Remove the npm packages too
	rm -rf node_modules
