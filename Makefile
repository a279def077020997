# Ekster. `make help` says what there is; README.md says how to begin.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The Kubernetes versions that are built: by `make build`, for tests and figures, which go
# from one to the next (each takes minutes), and by `make payload`.
DEFAULT_KUBERNETES := 1.35
TESTED_KUBERNETES  := 1.35 1.36
ALL_KUBERNETES     := 1.34 1.35 1.36

# One set of flags for programs, tests and lint, so that they share Go's build cache.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath

# What touches the host runs as root: a user's make asks sudo.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help deps build build-tested payload generate fmt lint check fuzz test test-host test-e2e bench quickstart clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install the Debian packages that are missing
	@hack/install-deps.sh

build: ## bin/ekster, and what clusters of the default Kubernetes version are made of
	@hack/make-build.sh $(DEFAULT_KUBERNETES)

build-tested: # the same, with two Kubernetes versions
	@hack/make-build.sh $(TESTED_KUBERNETES)

payload: ## the same, with every Kubernetes version
	@hack/make-build.sh $(ALL_KUBERNETES)

generate: ## gen/ from AWS's service models: make generate MODELS=DIR (MODELS=DIR make check proves that it is so)
	@[ -d "$(MODELS)" ] || { echo "make generate MODELS=DIR, the directory of botocore's models (eks.json, …)" >&2; exit 2; }
	go run -buildvcs=false ./hack/awsgen -models "$(MODELS)" -out gen

fmt: ## format the Go files
	gofmt -w .

lint: ## golangci-lint with .golangci.yml
	@hack/make-lint.sh

check: ## format, vet, lint, layers, and the tests that need no root
	@hack/make-check.sh

FUZZTIME := 10m

fuzz: ## every fuzz target for FUZZTIME, ten minutes each; FUZZ=authz for those of one package
	@hack/make-fuzz.sh $(FUZZTIME) $(FUZZ)

test: ## everything: deps, build, check, test-host, test-e2e
	@hack/make-test.sh

test-host: ## as root: the tests of what touches the host, one package after another
	@hack/make-root-tests.sh host

test-e2e: ## as root: clusters, nodes and workloads through real clients
	@hack/make-root-tests.sh e2e

bench: build-tested ## as root: the figures, as a table and as JSON
	go build -buildvcs=false -o bin/bench ./bench
	@$(SUDO) bin/bench

quickstart: deps build ## a cluster with two nodes and a workload, from nothing
	@$(SUDO) bin/ekster quickstart

clean: ## remove what was built; clusters stay (bin/ekster down --purge removes them)
	rm -rf bin .cache
