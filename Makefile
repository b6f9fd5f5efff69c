# What one does with pointweld's checkout. `make` alone lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The pinned NVRTC comes before any toolkit's in the loader's search, unless another one is named.
ifndef POINTWELD_NVRTC
export LD_LIBRARY_PATH := $(CURDIR)/.cache/nvrtc$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))
endif

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | while IFS=$$'\t' read -r name what; do printf '  make %-14s %s\n' "$$name" "$$what"; done

.PHONY: demo
demo: nvrtc ## Compile, explain and run the built-in INT8 model, on the GPU if there is one.
	cargo run --release --quiet -- demo

.PHONY: test
test: nvrtc disassembler models fmt-check lint check-doc ## Run everything that must hold before a change lands.
	cargo test --locked

.PHONY: bench
bench: nvrtc disassembler models ## Measure planning, compiling and the CPU side here (benches/gpu.sh measures on a GPU).
	cargo bench --locked
	cargo build --release --locked --quiet
	python3 benches/models.py target/release/pointweld

.PHONY: gpu-bundle
gpu-bundle: ## Gather in out/gpu what benches/gpu.sh runs on a machine with a GPU and no Rust.
	scripts/gpu_bundle.sh

.PHONY: bench-quant
bench-quant: ## Measure quantized models beside ONNX Runtime's: YOLO, SiLU apart and fused, orientation, digits (some 20 minutes on two cores).
	python3 scripts/fetch_models.py permissive benches images
	python3 -m venv .cache/venv
	.cache/venv/bin/pip install --quiet --disable-pip-version-check -r benches/quant-requirements.txt
	cargo build --release --locked --quiet
	.cache/venv/bin/python benches/quant.py target/release/pointweld --json benches/quant.json

.PHONY: nvrtc
nvrtc: ## Fetch the CUDA run-time compiler into .cache/nvrtc (pinned, 58 MB).
	@scripts/fetch_nvrtc.sh

.PHONY: disassembler
disassembler: ## Fetch nvdisasm and cuobjdump into .cache/disassembler (pinned, 6 MB).
	@scripts/fetch_disassembler.sh

.PHONY: models
models: ## Fetch the models and node tests that the tests use into .cache (pinned).
	@python3 scripts/fetch_models.py permissive extra backend

.PHONY: doc
doc: ## Build the documentation: the crate's page is the specification.
	cargo doc --locked --no-deps
	@echo "target/doc/pointweld/index.html"

.PHONY: fmt
fmt: ## Format the code.
	cargo fmt

.PHONY: fmt-check
fmt-check:
	cargo fmt --check

.PHONY: lint
lint: ## Run clippy; a warning fails.
	cargo clippy --locked --all-targets --quiet -- -D warnings

.PHONY: check-doc
check-doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet

.PHONY: clean-cache
clean-cache: ## Remove what was fetched into .cache. The kernels' own cache is `pointweld cache`'s.
	rm -rf .cache
