# Everything that this repository can do. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
COMPAT := .venv-compat
ANSIBLE := ansible==14.5.0
ANSIBLE_COMPAT := ansible-core>=2.19,<2.20
INVENTORY ?= inventories/sandbox
SITE_TOOLS := azurerm terraform etcd kubernetes kwok helm argocd redis azurite
# Go and npm need a home folder, which services and containers often do not set.
export HOME ?= $(shell getent passwd "$$(id -u)" | cut -d: -f6)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

SANDBOX := aksops-sandbox
IN_SANDBOX = $(SANDBOX) exec --
PLAYBOOK = ansible-playbook -i $(INVENTORY)
REQUIREMENTS := requirements.txt test-requirements.txt sandbox/pyproject.toml scripts/make-environment
LINK := build/collections/ansible_collections/aksops/platform
# ansible-core comes without collections: the compatibility lane reads those of the newest environment.
COLLECTIONS = $(CURDIR)/build/collections:$(firstword $(wildcard $(CURDIR)/$(VENV)/lib/python3*/site-packages))

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# Where Python is told to write no bytecode, every command and every task would compile what it imports anew.
compile = echo "Compiling $(1) ..." && $(1)/bin/python -W ignore -m compileall -q -j 2 -x /ansible_collections/ $(1)/lib/python3*/site-packages

# Set-up ----------------------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.ready $(LINK) ## the environment and everything that `make site` needs, built once
	@$(SANDBOX) tools build $(SITE_TOOLS)

$(VENV)/.ready: $(REQUIREMENTS)
	@scripts/check-prerequisites
	@scripts/make-environment $(VENV) "$$(scripts/find-python)" "$(ANSIBLE)"
	@$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python \
	  -r "$$(scripts/azcollection-requirements $(VENV))" -r requirements.txt -r test-requirements.txt -e sandbox
	@$(call compile,$(VENV))
	@touch $@

$(COMPAT)/.ready: requirements.txt test-requirements.txt scripts/make-environment
	@scripts/make-environment $(COMPAT) "$$(scripts/find-python 3.11)" "$(ANSIBLE_COMPAT)" \
	  -r requirements.txt -r test-requirements.txt -e sandbox
	@$(call compile,$(COMPAT))
	@touch $@

$(LINK):
	@mkdir -p $(dir $@) && ln -sfn ../../../.. $@

.PHONY: tools
tools: $(VENV)/.ready ## every tool of the sandbox, those of tests and benchmarks too
	@$(SANDBOX) tools build

# The platform ----------------------------------------------------------------------------------------------------------

.PHONY: site
site: setup up ## the whole platform on this machine: sandbox up, site.yml, summary
	@$(IN_SANDBOX) $(PLAYBOOK) playbooks/site.yml $(ARGS)

.PHONY: plan
plan: setup up ## a bare Terraform plan of what site.yml would apply; exits 0 only where it is empty
	@tally=$$(mktemp); code=0; \
	$(IN_SANDBOX) $(PLAYBOOK) playbooks/plan.yml -e infrastructure_plan_file=$$tally $(ARGS) || code=$$?; \
	cat $$tally; rm -f $$tally; exit $$code

.PHONY: destroy
destroy: setup up ## remove the platform; data is protected (ARGS="-e destroy_confirm=sandbox", and -e destroy_data=true)
	@$(IN_SANDBOX) $(PLAYBOOK) playbooks/destroy.yml $(ARGS)

.PHONY: up down reset
up: $(VENV)/.ready ## start the sandbox
	@$(SANDBOX) up
down: ## stop it; its state stays
	@$(SANDBOX) down
reset: ## stop it and delete its state
	@$(SANDBOX) reset

# Tests -----------------------------------------------------------------------------------------------------------------

.PHONY: test
test: setup lint unit contract e2e molecule ## every test, on the newest Python found

.PHONY: lint
lint: $(VENV)/.ready $(LINK) ## linters
	@ruff check .
	@ruff format --check .
	@yamllint --strict .
	@ansible-lint --offline --strict
	@antsibull-changelog lint

.PHONY: unit
unit: $(VENV)/.ready $(LINK) ## unit tests (no sandbox)
	@pytest tests/unit

.PHONY: contract
contract: setup ## the sandbox against real clients
	@pytest tests/contract

.PHONY: e2e
e2e: setup ## whole playbooks against sandboxes of their own, two files at a time
	@pytest tests/e2e --numprocesses 2 --dist loadfile

.PHONY: molecule
molecule: setup ## one scenario a role, two at a time
	@cd $(LINK) && molecule test --all --workers 2 --continue-on-failure

.PHONY: test-compat
test-compat: $(VENV)/.ready $(COMPAT)/.ready $(LINK) ## unit tests and lint on Python 3.11 with ansible-core 2.19
	@$(COMPAT)/bin/ruff check .
	@PATH="$(CURDIR)/$(COMPAT)/bin:$$PATH" ANSIBLE_COLLECTIONS_PATH="$(COLLECTIONS)" $(COMPAT)/bin/ansible-lint --offline --strict
	@PATH="$(CURDIR)/$(COMPAT)/bin:$$PATH" $(COMPAT)/bin/pytest tests/unit

# Benchmarks ------------------------------------------------------------------------------------------------------------

.PHONY: bench bench-keyvault bench-restore
bench: setup ## where site.yml's seconds go, and its second run as a ratio to a bare plan
	@python benchmarks/site.py
bench-keyvault: setup ## keyvault_secrets against its peers and the floor
	@python benchmarks/keyvault.py
bench-restore: setup ## a restore against pg_basebackup and recovery by hand
	@python benchmarks/restore.py

.PHONY: clean
clean: ## remove what make made in this folder (not the tools cache, not the sandbox)
	@rm -rf $(VENV) $(COMPAT) build .ansible collections
