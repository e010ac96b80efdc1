# ribtap. `make help` lists the targets; the two that matter are `make run` and `make test`.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO        ?= go
FUZZTIME  ?= 30s
BENCH     ?= .
CORPUS    ?=
LINT_VERSION := v2.12.2
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X main.version=$(VERSION)

export CGO_ENABLED ?= 0
# Beside the tool and not in the home folder: that cache holds findings of
# other checkouts by path, and a checkout that is gone cannot be asked for its
# nolint comments.
export GOLANGCI_LINT_CACHE ?= $(CURDIR)/bin/lint-cache

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build one static binary, ./ribtap
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o ribtap ./cmd/ribtap

.PHONY: run
run: build ## build and start the collector: no server, no config, loopback only
	./ribtap run

.PHONY: demo
demo: build ## the same with bundled recordings of real routers played in, in a temporary directory
	./ribtap demo

.PHONY: packages
packages: build ## build dist/*.deb and dist/*.rpm
	scripts/packages.sh '$(VERSION)'

.PHONY: test
test: test-deps test-unit race golden-check test-integration drill ## install what the tests need and run all of them

.PHONY: test-unit
test-unit: ## unit tests, goldens and fuzz seeds; needs Go alone
	$(GO) test ./...

.PHONY: race
race: ## unit tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./...

.PHONY: golden-check
golden-check: ## fail when `make golden` would change a golden file
	scripts/golden.sh --check

.PHONY: test-integration
test-integration: ## tests against real BGP speakers, PostgreSQL, Apache Kafka, checkers and a browser
	$(GO) test -tags integration -count=1 -p 1 -parallel 6 -timeout 20m ./docs/... ./rpki/... ./deploy/... ./internal/browser/... ./internal/integration/... ./sinks/postgres/... ./sinks/kafka/...

.PHONY: screenshots
screenshots: ## take docs/screenshots anew
	mkdir -p docs/screenshots
	RIBTAP_SCREENSHOTS=$(CURDIR)/docs/screenshots $(GO) test -tags integration -count=1 ./internal/browser/...

.PHONY: drill
drill: ## order, completeness and crash drills of the real binary (RIBTAP_DRILL=full: the large ones)
	$(GO) test -tags drill -count=1 -timeout 60m ./internal/drill/...

.PHONY: test-deps
test-deps: ## install what the integration tests run: Debian packages, and Apache Kafka from Maven Central
	scripts/install-test-deps.sh
	scripts/install-kafka.sh

.PHONY: lint
lint: bin/golangci-lint ## go vet, formatting and the import arrows
	$(GO) mod verify
	bin/golangci-lint config verify
	bin/golangci-lint run --allow-parallel-runners ./...
	bin/golangci-lint run --allow-parallel-runners --build-tags integration,drill,bench ./docs/... ./rpki/... ./deploy/... ./internal/... ./sinks/...
	bin/golangci-lint fmt --diff

.PHONY: fmt
fmt: bin/golangci-lint ## format everything
	bin/golangci-lint fmt

# The version stands in the stamp's name, so that a new version is built once.
bin/golangci-lint: bin/.golangci-lint-$(LINT_VERSION)
bin/.golangci-lint-$(LINT_VERSION):
	scripts/install-lint.sh $(LINT_VERSION)

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s)
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## run the benchmarks, with full tables, and print ratios (BENCH=regexp)
	RIBTAP_DRILL=full $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -p 1 -timeout 60m ./...

.PHONY: bench-system
bench-system: ## measure the whole process beside other collectors, print a table (ROW=regexp RUNS=5 SIZE=small)
	scripts/install-bench-peers.sh
	BENCH_PEERS="$${BENCH_PEERS:-$(CURDIR)/bin/peers}" ROW='$(ROW)' RUNS='$(RUNS)' SIZE='$(SIZE)' BENCH_MRT='$(BENCH_MRT)' \
		$(GO) test -tags bench -count=1 -run TestSystem -v -timeout 12h ./internal/bench

.PHONY: golden
golden: ## write the golden files anew; review the diff
	scripts/golden.sh

.PHONY: corpus
corpus: ## decode everything in a folder of captures: make corpus CORPUS=DIR
	@[ -n "$(CORPUS)" ] || { echo "make corpus: say which folder: make corpus CORPUS=DIR" >&2; exit 2; }
	RIBTAP_CORPUS="$(abspath $(CORPUS))" $(GO) test -count=1 -v ./bgp ./bmp ./mrt ./collector ./internal/corpus | scripts/test-summary.sh

.PHONY: clean
clean: ## remove what was built
	rm -rf ribtap bin
