# Two commands do it all on a fresh machine: `make run` and `make test`.
SHELL := /bin/bash
PYTHON ?=
BIN := .venv/bin
SAYSO := $(BIN)/sayso
PYTEST := $(BIN)/python -m pytest
# Three for the stacks, which mostly wait (tests/stack_lanes.py), and one for everything else.
WORKERS ?= 4

.PHONY: help run demo stop test check format docs bench faults sagas monitors proof forgeries setup runtime lock clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: .venv/.ready ## Virtual environment with everything in it

.venv/.ready: pyproject.toml uv.lock scripts/setup.sh
	@PYTHON=$(PYTHON) scripts/setup.sh
	@touch $@

runtime: setup ## Find the Dapr runtime, or build it once into the user's cache
	@$(SAYSO) runtime install

run: runtime ## Set up, start the local stack, play the demo, leave the stack up
	@scripts/run.sh || { code=$$?; [ $$code = 130 ] || exit $$code; }

demo: runtime ## The same, then stop everything; exit code 0 only if all went well
	@scripts/demo.sh || { code=$$?; [ $$code = 130 ] || exit $$code; }

stop: setup ## Stop the local stack
	@$(SAYSO) down

test: runtime ## Every test once, on the real parts; what is skipped is said with its reason
	@$(MAKE) --no-print-directory check
	@$(PYTEST) -n $(WORKERS) --dist loadscope -rs --durations=15 tests

check: setup ## Format, lint, types, imports
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup ## Format the code
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

docs: setup ## Generate schemas, AsyncAPI, OpenAPI and tables of settings and events
	@$(BIN)/python -m sayso.schemas docs
	@$(BIN)/python -m sayso_gateway.openapi docs/openapi.json

proof: setup ## Simulate 11 million events and every mutation, resumable, and write docs/proof (PROOF="--deliveries 100000")
	@$(BIN)/python -m sayso.simulator.proof $(PROOF)

bench: runtime ## Compare with a by-hand Dapr app on the same stack (BENCH="--n 500")
	@$(BIN)/python -m benchmarks.run $(BENCH)

faults: runtime ## Kill, pause and cut off the real parts under load (FAULTS="--broker kafka --ledger postgresql --minutes 30 --seed 7")
	@$(BIN)/python -m sayso.testing.fault_run $(FAULTS)

sagas: runtime ## Sagas that fail everywhere and a worker that is killed between steps; the books must balance (SAGAS="--seeds 20")
	@$(BIN)/python -m sayso.testing.saga_run $(SAGAS)

monitors: runtime ## A monitor of 2,000 checks with events all along; writes docs/proof/monitors.md (MONITORS="--iterations 200")
	@$(BIN)/python -m sayso.testing.monitor_run $(MONITORS)

forgeries: setup ## Try 100,000 forged decisions and write docs/proof/forgeries.md (FORGERIES="--count 1000")
	@$(BIN)/python -m sayso.testing.forging $(FORGERIES)

lock: ## Write uv.lock anew
	@$(BIN)/uv lock

clean: ## Remove the virtual environment and the local state (not the runtime's cache)
	@if [ -x $(SAYSO) ]; then $(SAYSO) down; fi
	rm -rf .venv .sayso
