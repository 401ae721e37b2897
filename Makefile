# Needs GNU make 3.81 or newer, Go, and for the tests a C compiler and
# PostgreSQL, which are installed where that is allowed (see internal/pgtest/withpg).

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    := 20s
BENCHROWS   := 200000
TESTFLAGS   := -race -timeout 15m

# The modules of the workspace; the heavy ones are tested by "make test-NAME" only.
HEAVY   := examples/cloudkms
MODULES := $(shell go list -m -f '{{.Dir}}')
LIGHT   := $(filter-out $(addprefix $(CURDIR)/,$(HEAVY)),$(MODULES))

WITHPG := bin/withpg

# Tests that restore a schema with pg_dump, which comes with no package of PostgreSQL 18.
NEEDDUMP := ^(TestHiddenText|TestNotValid|TestSequences|TestKillTarget|TestManifestOfAnother|TestPadded|TestSealedSource|TestRestore|TestTarget|TestHostileNames|TestTargetInUse|TestSubset|TestLeaks|TestTampered|TestComposed|TestSettings|TestSequencesOfMasked|TestUserMappingOfRun)$$

.PHONY: help test test-pgnew large demo bench fuzz lint tidy check-tidy check-work check-mod check-user verify cc
.PHONY: $(WITHPG)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

test: cc $(WITHPG) ## test every module under the race detector, with a throw-away PostgreSQL
	@$(WITHPG) -pgbouncer -- sh -c 'for dir in $(LIGHT); do \
		echo "== go test $(TESTFLAGS) ./... in $$dir"; \
		(cd "$$dir" && go test $(TESTFLAGS) ./...) || failed="$$failed $$dir"; \
	done; \
	if [ -n "$$failed" ]; then echo "== FAILED in:$$failed" >&2; exit 1; fi; \
	echo "== passed: $(LIGHT)"; \
	$(if $(HEAVY),echo "== not run (see make test-NAME): $(HEAVY)";) true'

test-pgnew: $(WITHPG) ## test what speaks to PostgreSQL on version 18, which npm fetches
	@echo "== go test of ./adapters/..., ./mask on the newest PostgreSQL, without what needs its pg_dump: $(NEEDDUMP)"
	@$(WITHPG) -pgbouncer -newer -- sh -ec 'go test -count=1 -timeout 10m ./adapters/... ./mask; cd adapters/pgxmask && go test -count=1 -timeout 10m -skip "$(NEEDDUMP)" ./...'

test-%: cc $(WITHPG) ## test one module, by the last part of its folder
	@dir=$$(go list -m -f '{{.Dir}}' | grep '/$*$$') || { echo "no module of the workspace is named $*" >&2; exit 1; }; \
	echo "== go test $(TESTFLAGS) ./... in $$dir"; \
	$(WITHPG) -- sh -c "cd '$$dir' && go test $(TESTFLAGS) ./..."

large: $(WITHPG) ## what the race detector makes smaller, at full size: plans over 200,000 rows, a million masked values
	@$(WITHPG) -- go test -count=1 -run '^(TestPlans|TestVaultPlans|TestDistinct)' ./adapters/pgxfield ./adapters/pgxstore ./mask
	@$(WITHPG) -- go test -count=1 -v -run '^TestMemory$$' ./adapters/pgxmask

demo: $(WITHPG) ## run examples/quickstart, in DATABASE_URL or a throw-away PostgreSQL; without one examples/sqlite
	@go build -o bin/quickstart ./examples/quickstart
	@$(WITHPG) -env DATABASE_URL -- bin/quickstart || { test $$? = 3 || exit 1; \
		echo; echo "Without PostgreSQL, the demo of what is in this library for SQLite, which is embedded:"; \
		cd examples/sqlite && go run .; }

bench: $(WITHPG) ## compare the hot paths with their floors; pgxfield and sqlfield with BENCHROWS rows (200000)
	@go run ./internal/bench
	@SEALFIELD_BENCH_ROWS=$(BENCHROWS) $(WITHPG) -- go test -run '^$$' -bench 'Table|Lookup' -benchtime 1x -timeout 30m ./adapters/pgxfield
	@SEALFIELD_BENCH_ROWS=$(BENCHROWS) $(WITHPG) -- go test -run '^$$' -bench SQL -benchtime 1x -timeout 30m ./adapters/sqlfield
	@$(WITHPG) -- go test -run '^$$' -bench Vault -benchtime 1x -timeout 30m ./adapters/pgxstore
	@SEALFIELD_BENCH_ROWS=500000 $(WITHPG) -- go test -run '^$$' -bench Run -benchtime 1x -timeout 30m ./adapters/pgxmask

fuzz: $(WITHPG) ## run each fuzz target for FUZZTIME (20s)
	@$(WITHPG) -- sh -ec 'for dir in $(LIGHT); do cd "$$dir"; \
	for package in $$(go list ./...); do \
		for target in $$(go test -list "^Fuzz" "$$package" | grep "^Fuzz" || true); do \
			echo "== $$package $$target for $(FUZZTIME)"; \
			go test -run "^$$" -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
		done; \
	done; done'

lint: check-work ## gofmt, go vet and staticcheck in every module, sealvet in the root; go.work is complete
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -w is needed for:" $$unformatted >&2; exit 1; fi
	@for dir in $(MODULES); do \
		echo "== go vet, staticcheck in $$dir"; \
		(cd "$$dir" && go vet ./... && go run $(STATICCHECK) ./...) || exit 1; \
	done
	@echo "== sealvet in the root"; go build -o bin/sealvet ./adapters/sealvet/cmd/sealvet && go vet -vettool=$(CURDIR)/bin/sealvet ./...
	@echo "== go vet of tests on real accounts, which nobody runs here"; go vet -tags awskms_live ./keyring/awskms

tidy: ## go mod tidy in every module, go work sync
	@for dir in $(MODULES); do (cd "$$dir" && GOWORK=off go mod tidy) || exit 1; done
	@go work sync

check-tidy: ## fail if make tidy would change a module
	@for dir in $(MODULES); do echo "== go mod tidy -diff in $$dir"; (cd "$$dir" && GOWORK=off go mod tidy -diff) || exit 1; done

check-work: ## fail if a module is missing in go.work
	@found=$$(find "$(CURDIR)" -name go.mod -not -path '*/testdata/*' -exec dirname {} \; | sort); \
	used=$$(go list -m -f '{{.Dir}}' | sort); \
	if [ "$$found" != "$$used" ]; then printf 'go.work uses\n%s\nbut there are\n%s\n' "$$used" "$$found" >&2; exit 1; fi

check-mod: ## fail if the root's go line rose or it requires more
	@go test -count=1 -run '^TestGoMod$$' ./internal/archtest

check-user: ## build a module that imports only crypto; show what it pulls
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cd "$$dir" && export GOWORK=off && \
	printf 'module example.com/user\n\ngo 1.26.0\n\nrequire github.com/sealfield/sealfield v0.0.0\n\nreplace github.com/sealfield/sealfield => $(CURDIR)\n' >go.mod && \
	printf 'package main\n\nimport "github.com/sealfield/sealfield/crypto"\n\nfunc main() { println(crypto.Overhead) }\n' >main.go && \
	go mod tidy && go build && \
	if ! grep -q '^go 1.26.0$$' go.mod; then echo "the go line rose:" >&2; cat go.mod >&2; exit 1; fi && \
	go list -deps -f '{{with .Module}}{{.Path}} {{.Version}}{{end}}' . | sort -u >linked && \
	echo "== a program that imports only crypto links packages of these $$(wc -l <linked) modules, of $$(go list -m all | wc -l) in its module graph:" && cat linked && \
	if go list -deps . | grep -E 'jackc/pgx|aws-sdk|stretchr/testify'; then echo "these must not be linked" >&2; exit 1; fi

verify: ## check the downloaded modules against go.sum
	@for dir in $(MODULES); do echo "== go mod verify in $$dir"; (cd "$$dir" && GOWORK=off go mod verify) || exit 1; done

# On Linux the race detector needs a C compiler.
cc:
	@if [ "$$(uname)" != Linux ] || command -v "$${CC:-gcc}" >/dev/null; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "the race detector needs a C compiler: install gcc" >&2; exit 1; fi; \
	if [ "$$(id -u)" = 0 ]; then sudo=; elif [ "$$INSTALL" = 1 ]; then sudo=sudo; else \
		echo "the race detector needs a C compiler; INSTALL=1 installs it, or run: sudo apt-get install gcc libc6-dev" >&2; exit 1; fi; \
	echo "installing gcc, which the race detector needs"; \
	$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends gcc libc6-dev

$(WITHPG):
	@go build -o $@ ./internal/pgtest/withpg
