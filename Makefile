# weaverec: `make reproduce` is the main job, `make test` the tests; `make help` lists the rest.
SHELL := /bin/bash
PROFILE ?= quick
DATA ?=
WORK ?= runs/$(PROFILE)
RESULTS ?= results/$(PROFILE)
RAW ?=
DATASET ?= movielens-100k
OUT ?= prepared

CARGO ?= cargo
# Always the whole workspace: building one package alone unifies features differently and rebuilds for minutes.
BUILD := $(CARGO) build --locked --workspace --bins
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
WEAVEREC := $(TARGET)/debug/weaverec

.PHONY: help build reproduce report prepare test bench lint ci

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo
	@echo "  make reproduce PROFILE=small DATA=<folder of raw logs>   SmolLM2-135M on real logs"
	@echo "  make reproduce DATA=synthetic                            generated logs only, no download"

build: ## Build the weaverec binary (the first time: about half an hour on two cores)
	$(BUILD)

reproduce: build ## Run a profile (PROFILE=quick) from raw logs to the report in results/
	$(WEAVEREC) reproduce --profile $(PROFILE) --data "$(DATA)" --work "$(WORK)" --out "$(RESULTS)"

report: build ## Write a finished profile's report again, from its run records
	$(WEAVEREC) report --profile $(PROFILE) --data "$(DATA)" --work "$(WORK)" --out "$(RESULTS)"

prepare: build ## Prepare one data set: DATASET=<name or TOML> RAW=<folder> OUT=<folder>
	$(WEAVEREC) prepare $(DATASET) --raw "$(if $(RAW),$(RAW),$$($(WEAVEREC) datasets fetch $(DATASET)))" --out "$(OUT)"

test: ## Run all tests
	$(CARGO) test --locked --workspace

bench: ## Measure training, ranking and the pipeline
	$(CARGO) bench --locked --workspace --bench engine --profile dev

lint: ## Check formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

ci: ## Everything that continuous integration runs
	bash .ci/run
