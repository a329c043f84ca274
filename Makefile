# What a builder does with Goni. `make help` lists it; the work itself is in image/ and tests/.

PROFILE ?= reference
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PYTHONPATH := services:.

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  PROFILE=reference (default) or minimal; PORT=8443 for make run"

.PHONY: setup
setup: ## Install what is needed, make .venv, the engine and the embedding model for this machine
	@$(PYTHON) -m image.setup

.PHONY: clients
clients: setup ## Install what only the tests need: a browser and other people's clients
	@$(PY) -m image.clients

.PHONY: image
image: setup ## Build the signed image: out/goni_<version>_x86-64.raw and what belongs to it
	@$(PY) -m image.build --profile $(PROFILE) $(if $(RELEASE),--release) $(if $(KEYS),--keys $(KEYS))

.PHONY: flash
flash: setup ## Write the image to a stick: asks which, or DEVICE=/dev/sdX PRESEED=goni.yaml (as root)
	@$(PY) -m goni_flash "$(or $(IMAGE),$$($(PY) -m image.build --print-path --profile $(PROFILE)))" \
		$(DEVICE) $(if $(PRESEED),--preseed $(PRESEED)) $(if $(KEY),--key $(KEY))

.PHONY: flash-wheel
flash-wheel: setup ## goni-flash as one installable wheel that trusts this build's key: out/wheels
	@$(PY) -m image.flash_wheel $(if $(KEY),--certificate $(KEY))

.PHONY: release
release: setup ## Sign the built image as release VERSION=... for CHANNEL=stable or beta: out/release
	@$(PY) -m image.release publish $(VERSION) --channel $(or $(CHANNEL),stable) --profile $(PROFILE) \
		$(if $(RELEASE),--release) $(if $(KEYS),--keys $(KEYS)) $(if $(NOTES),--notes $(NOTES)) \
		$(if $(MINIMUM),--minimum $(MINIMUM)) $(if $(ROLLOUT),--rollout $(ROLLOUT))

.PHONY: reproduce
reproduce: setup ## Build twice and compare what isn't signed: out/reproduce; PROFILE=minimal is quicker
	@$(PY) -m image.reproduce --profile $(PROFILE)

.PHONY: run
run: setup ## Boot the image in QEMU with the setup page on a loopback port; prints address and PIN
	@test -e "$$($(PY) -m image.build --print-path --profile $(PROFILE))" || $(MAKE) image
	@$(PY) -m image.vm run --profile $(PROFILE) $(if $(PORT),--port $(PORT)) $(if $(FRESH),--fresh)

.PHONY: test
test: clients lint ## Linters, types and all tests; the last of them boot the minimal image in a virtual machine
	@$(PY) -m image.build --profile minimal >/dev/null
	@GONI_PROFILE=minimal $(PY) -m pytest tests/unit tests/integration tests/browser tests/vm/test_appliance.py

.PHONY: lint
lint: setup ## ruff and mypy
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

.PHONY: unit
unit: setup ## Unit tests alone
	@$(PY) -m pytest tests/unit

.PHONY: integration
integration: clients ## The services together, on this machine
	@$(PY) -m pytest tests/integration

.PHONY: browser
browser: clients ## The pages in a real browser; pictures of them in out/screenshots
	@$(PY) -m pytest tests/browser

.PHONY: vm-test
vm-test: setup ## The minimal image in a virtual machine alone, and the harness that tests it
	@$(PY) -m image.build --profile minimal >/dev/null
	@GONI_PROFILE=minimal $(PY) -m pytest tests/vm/test_appliance.py tests/vm/test_machine.py

.PHONY: vm-test-full
vm-test-full: setup ## The virtual machine tests on the minimal and on the reference image
	@for profile in minimal reference; do \
		$(PY) -m image.build --profile $$profile >/dev/null && \
		GONI_PROFILE=$$profile $(PY) -m pytest tests/vm/test_appliance.py tests/vm/test_machine.py || exit 1; \
	done

.PHONY: vm-test-update
vm-test-update: setup ## Updates and USB sticks in a virtual machine; takes hours, and not proven yet
	@$(PY) -m image.build --profile minimal >/dev/null
	@GONI_PROFILE=minimal $(PY) -m pytest tests/vm/test_update.py tests/vm/test_stick.py

.PHONY: bench-image
bench-image: setup ## Boot time and sizes: out/bench/image.json
	@$(PY) -m tests.bench.image

.PHONY: bench-engine
bench-engine: setup ## Chat: latency, speed, memory, failures: out/bench/engine.json and engine.svg
	@$(PY) -m tests.bench.engine $(if $(QUICK),--quick)

.PHONY: bench-flash
bench-flash: setup ## goni-flash against dd and cmp on a loop device, as root: out/bench/flash.json
	@$(PY) -m tests.bench.flash $(if $(QUICK),--quick)

.PHONY: bench-update
bench-update: setup ## Updates: bytes, time and memory: out/bench/update.json
	@$(PY) -m tests.bench.update

.PHONY: bench-mesh
bench-mesh: setup ## Several nodes: routing, failures, splits, discovery: out/bench/mesh.json (as root)
	@$(PY) -m tests.bench.mesh $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

.PHONY: bench-rag
bench-rag: setup ## Documents: rightness, speed, separation: out/bench/rag.json; ONLY="scale kills"
	@$(PY) -m tests.bench.rag $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

.PHONY: bench
bench: bench-image bench-engine bench-rag bench-mesh bench-update bench-flash ## All benches, as one table (as root, for bench-flash)
	@$(PY) -m tests.bench.table

.PHONY: format
format: setup ## Format the Python code
	@$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

.PHONY: clean
clean: ## Remove what was built, but not the caches and keys
	rm -rf out/goni* out/SHA256SUMS* out/run out/vm

.PHONY: distclean
distclean: clean ## Remove everything that make made, but not the keys
	rm -rf out .venv
