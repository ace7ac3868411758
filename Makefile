# What one does with a clone of Troupe. `make` explains itself: a line that
# begins with "## " explains the target below it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CACHE := $(CURDIR)/.cache
TOOLS := $(CACHE)/tools
# What lint and tests run is found in the cache of this clone before the machine's own.
export PATH := $(TOOLS)/venv/bin:$(PATH)

# One set of flags for everything that compiles, so that tests use what build made.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath)

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FOLDERS := $(wildcard objects messages api backend actors mountpath cluster httpedge supervisors tools cmd test)
# The suites that start processes, most of the real binary, or compare with other programs, of
# which a race detector sees nothing.
PROCESSES := /(objects/archive|backend/conformance|test/(process/nodes|together|plan|prove|cli|clients|conformance|demo|disks|edges|extension|hostile|kill|lifecycle|loopback|membership|memory|million|offline|space|tour|volume))$$
# The suites that have tests which do less under the race detector: those run again without it.
SHORTENED := /(cluster/member|mountpath/(layout|index)|test/(control|crash|node|road))$$
# All packages, and the suites that take minutes before the others: none of them is begun
# when everything else is over. go test begins packages in the order in which it is given them.
PACKAGES := go list $(addprefix ./test/,together clients road crash plan demo membership node transition) ./... | awk '!seen[$$0]++'

GO_TEST = xargs go test -json -count=1 -p $(SUITES) -parallel $(SUITES) -timeout 60m -skip 'Soak$$' $(TEST_FLAGS)

NATIVE ?= 127.0.0.1:8080
S3 ?= 127.0.0.1:9000
FUZZ_RUNS ?= 20000
# How many packages are tested at a time, and how many tests of each that say they may be:
# suites of several nodes mostly wait.
SUITES ?= $(shell echo $$(( $$(nproc) * 2 )))
TEST_FLAGS ?=
# Empty where there is no C compiler, which the race detector needs.
RACE ?= $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
BENCH_FLAGS ?=
# On the disk that is to be measured. A directory near the root lies apart from
# others' files on ext4: making a file among many deleted ones costs four times as much.
BENCH_DIR ?= /var/tmp/troupe-bench
DEMO_FLAGS ?=
CLUSTER_FLAGS ?=
# Where the long forms keep how far they came, and for how many minutes a session goes on.
SOAK ?= docs/soak
SOAK_MINUTES ?= 110

.PHONY: all help build run cluster cluster-stop tools consul test race lint layers quick check bench soak fuzz outside proto demo clean

## says what there is (also plain `make`)
all help:
	@awk '/^## / { text = substr($$0, 4); next } \
	      /^[a-z][a-z -]*:/ && text { sub(/:.*/, ""); n = split($$0, t, " "); printf "  make %-12s %s\n", t[n], text } \
	      { text = "" }' $(firstword $(MAKEFILE_LIST))

## compiles bin/troupe
build:
	@go build -ldflags "-X main.version=$(VERSION)" -o bin/troupe ./cmd/troupe

## runs one node with four mountpaths under ./data, native API on 127.0.0.1:8080, S3 on 127.0.0.1:9000
run: build
	@mkdir -p data/d0 data/d1 data/d2 data/d3
	@exec bin/troupe serve --data data/d0 --data data/d1 --data data/d2 --data data/d3 --native $(NATIVE) --s3 $(S3)

## runs Consul and three nodes with four mountpaths each under ./data/cluster, until Ctrl-C; says where they are and what to try
cluster: build consul
	@go build -o $(CACHE)/loopback ./test/loopback
	@TROUPE_BINARY=$(CURDIR)/bin/troupe exec $(CACHE)/loopback $(CLUSTER_FLAGS)

## ends what `make cluster` runs
cluster-stop:
	@go build -o $(CACHE)/loopback ./test/loopback
	@exec $(CACHE)/loopback -stop $(CLUSTER_FLAGS)

## installs what lint and test need: rclone, s3cmd, boto3, aws, aistore, pytest, mkfs, strace, staticcheck, Consul (apt-get needs root)
tools:
	@test/tools/install

## builds the Consul server that tests start, unless one is on PATH; the first time on a machine takes ten minutes
consul:
	@test/tools/install consul

## runs every test, under the race detector what is in one process, and fuzzes each parser with 20,000 inputs (FUZZ_RUNS=); tests whose tools are absent are skipped, and counted
test: build $(CACHE)/summary
	@export TROUPE_BINARY=$(CURDIR)/bin/troupe; \
	{ if [ $(RACE) ]; then \
	    $(PACKAGES) | grep -Ev '$(PROCESSES)' | $(GO_TEST) $(RACE) || status=1; \
	    $(PACKAGES) | grep -E '$(PROCESSES)' | $(GO_TEST) || status=1; \
	    $(PACKAGES) | grep -E '$(SHORTENED)' | $(GO_TEST) -run "$$($(PACKAGES) | grep -E '$(SHORTENED)' | xargs test/tools/shortened)" || status=1; \
	  else \
	    echo 'no C compiler: without the race detector'; $(PACKAGES) | $(GO_TEST) || status=1; \
	  fi; \
	  [ $(FUZZ_RUNS) = 0 ] || test/tools/fuzz $(FUZZ_RUNS) -json || status=1; \
	  exit $${status:-0}; } | $(CACHE)/summary

## runs the tests of everything in one process under the race detector
race: $(CACHE)/summary
	@$(PACKAGES) | grep -Ev '$(PROCESSES)' | $(GO_TEST) -race | $(CACHE)/summary

## checks formatting, vets, and runs staticcheck
lint: $(TOOLS)/staticcheck
	@unformatted=$$(gofmt -l $(FOLDERS)); [ -z "$$unformatted" ] || { echo "not formatted:" $$unformatted; exit 1; }
	@go vet ./...
	@$(TOOLS)/staticcheck ./...

## checks that folders are floors: imports only go down, nothing lives at package level
layers:
	@go test -count=1 ./test

## runs the tests that take seconds
quick: $(CACHE)/summary
	@go list ./... | grep -Ev '$(PROCESSES)' | xargs go test -json -short -timeout 10m -skip 'Soak$$' $(TEST_FLAGS) | $(CACHE)/summary

## is what to run before a commit: lint, layers, quick
check: lint layers quick

## measures: PUT, GET, HEAD, DELETE, LIST beside a bare handler, with the server's CPU per operation (BENCH_FLAGS=)
bench: build
	@mkdir -p $(BENCH_DIR)
	@AWS_ACCESS_KEY_ID=troupe AWS_SECRET_ACCESS_KEY=troupe-secret \
	   bin/troupe bench --suite reference --scratch $(BENCH_DIR) --json $(CACHE)/bench.json $(BENCH_FLAGS) \
	   --serve "bin/troupe serve --data {data}/d0 --data {data}/d1 --data {data}/d2 --data {data}/d3 --native {native} --s3 {s3}"

## runs the long forms of the tests, one slice (SOAK_MINUTES=110), keeps what it reached in docs/soak for the next one, and prints the sums
soak: build $(CACHE)/summary
	@mkdir -p $(SOAK)
	@tests=$$(grep -rhE '^func Test[A-Za-z0-9]*Soak\(t ' --include=*_test.go $(FOLDERS) | wc -l); \
	   each=$$(awk -v all=$(SOAK_MINUTES) -v tests=$$tests 'BEGIN { printf "%.2f", all / tests }'); \
	   go list ./... | TROUPE_SOAK=$(abspath $(SOAK)) TROUPE_SOAK_MINUTES=$$each TROUPE_BINARY=$(CURDIR)/bin/troupe \
	   xargs go test -json -count=1 -p 1 -timeout 125m -run 'Soak$$' $(TEST_FLAGS) | $(CACHE)/summary || status=1; \
	   go run ./test/soak/sums $(SOAK) || status=1; exit $${status:-0}

## fuzzes every parser with 200,000 inputs (FUZZ_RUNS=)
fuzz: FUZZ_RUNS = 200000
fuzz:
	@test/tools/fuzz $(FUZZ_RUNS)

## runs suites that others wrote against one node (OUTSIDE=minio-go for one); fails where fewer pass than docs/compatibility.md says
outside: build
	@export TROUPE_BINARY=$(CURDIR)/bin/troupe; cd test/outside && go run . $(OUTSIDE)

## generates Go code from messages/wire/*.proto, with generators that test/tools/proto pins
proto:
	@go run -C test/tools/proto . ../../.. messages/wire

## shows it: 15,000 files and one above 1 GiB through aws, rclone and boto3 and back, and a kill -9 in an upload
demo: build
	@TROUPE_BINARY=$(CURDIR)/bin/troupe go run ./test/demo $(DEMO_FLAGS)

## removes what was built, and the tools; ./data stays
clean:
	@rm -rf bin $(CACHE)

$(CACHE)/summary: $(wildcard test/summary/*.go)
	@go build -o $@ ./test/summary

$(TOOLS)/staticcheck: test/tools/go.sum
	@test/tools/install
	@touch $@
