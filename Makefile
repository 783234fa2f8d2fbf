# usher: `make demo` shows it, `make test` proves it. See README.md.

GO      ?= go
GOARCH  ?= $(shell $(GO) env GOARCH)
OUT     ?= bin/usher
PKG     ?= ./cmd/usher
# Where usher-check goes: beside usher; nowhere, and unbuilt, where usher alone is wanted elsewhere.
CHECK   ?= $(if $(filter bin/usher,$(OUT)),bin/usher-check)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# What --version says: version, and that this is no release, which RELEASE=1 leaves out. `make release` sets both.
NAMED    = -X main.version=$(VERSION) $(if $(RELEASE),$(IS_RELEASE))
IS_RELEASE = -X "main.unreleased= ("

# Why these flags: signals/entry; not position-independent: docs/explanation/security.md. Where there is an entry point of our own, usher
# blocks every signal before the Go runtime has started, so that none is lost and none kills it; -checklinkname=0 lets the entry point name a
# runtime table. Elsewhere usher falls back to os/signal, and -checklinkname=0 lets it have the limit of descriptors that the runtime has raised.
#
# Functions begin where the one before ends, or at the next instruction's place: amd64's instructions need no alignment, arm64's 4 bytes.
# By default it would be 32 and 16, which costs 53 kB on amd64. What the COLD packages do is not done often: without inlining they are
# 49 kB less.
LDFLAGS = -s -w $(NAMED) -checklinkname=0
TAGS    = usher_linkname
# The layers of the entry point, each on the one before, and the Go releases that each is verified for: signals/entry/VERIFY.md. For any other
# release a layer is left out, and so are those above it. LAYERS=usher_entry, or nothing, builds fewer.
LAYERS        = usher_entry usher_threads usher_early
usher_entry   = go1.26
usher_threads = $(filter go1.26,$(usher_entry))
usher_early   = $(filter go1.26,$(usher_threads))
GO_HERE      := $(shell $(GO) env GOVERSION)
UNVERIFIED    = $(strip $(foreach layer,$(LAYERS),$(if $(filter $($(layer)) $(addsuffix .%,$($(layer))),$(GO_HERE)),,$(layer))))
KEPT          = $(filter-out $(UNVERIFIED),$(LAYERS))
COLD    = fmt time strings strconv slices syscall internal/sync golang.org/x/sys/unix github.com/hashicorp/go-multierror \
	path unicode/utf8 usher/internal/contexts usher/internal/file usher/internal/printable usher/supervisor/lastword usher/supervisor/lifecycle
GCFLAGS = $(COLD:%=-gcflags=%=-l)
ifneq ($(filter $(GOARCH),amd64 arm64),)
ifneq ($(UNVERIFIED),)
$(warning usher is built without $(UNVERIFIED), not verified for $(GO_HERE): see signals/entry/VERIFY.md)
endif
LDFLAGS += -funcalign=$(if $(filter amd64,$(GOARCH)),1,4)
ifneq ($(KEPT),)
TAGS    = $(KEPT)
LDFLAGS += -E usher/signals/entry.entry
endif
endif

# Go 1.26 has a new collector, for heaps of gigabytes. The former one is 45 kB less, and as many pages fewer to be touched at a start.
ifneq ($(findstring go1.26,$(GO_HERE)),)
build size bench: export GOEXPERIMENT = nogreenteagc
endif

ACTIONLINT  = $(GO) run github.com/rhysd/actionlint/cmd/actionlint@v1.7.7
ERRORLINT   = $(GO) run github.com/polyfloyd/go-errorlint@v1.8.0
MISSPELL    = $(GO) run github.com/golangci/misspell/cmd/misspell@v0.7.0
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
UNPARAM     = $(GO) run mvdan.cc/unparam@v0.0.0-20260823230713-2fa3d841b0c8
GOTESTSUM   = $(GO) run gotest.tools/gotestsum@v1.13.0

.PHONY: build demo pictures test e2e fuzz stress faults bench size verify-entry lint image release release-check deps clean

# RACE=1 puts the race detector in, which goes well with the entry point.
build:
	CGO_ENABLED=$(if $(RACE),1,0) GOOS=linux GOARCH=$(GOARCH) $(GO) build $(if $(RACE),-race) -trimpath -tags '$(TAGS)' $(GCFLAGS) -ldflags '$(LDFLAGS)' -o '$(OUT)' $(PKG)
ifneq ($(CHECK),)
	CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH) $(GO) build -trimpath -ldflags '-s -w $(NAMED)' -o '$(CHECK)' ./cmd/usher-check
endif

# A stop under load, with a real server, behind usher and without. Needs no Docker.
demo: build
	@$(GO) run ./examples/demo -usher bin/usher

# The pictures of docs/pictures, from what usher says and from a run of the demo. PICTURED is the plan's command line.
PICTURED = --grace-period 60s --term-delay 25s --quiet-period 5s --drain-timeout 10s --pre-stop http://127.0.0.1:8080/deregister --hook-timeout 5s -- nginx
pictures: build
	$(GO) run ./examples/demo -usher bin/usher -figures docs/pictures/stop.json
	bin/usher --plan --log-format json $(PICTURED) >docs/pictures/plan.json
	$(GO) run ./examples/plan -stop docs/pictures/stop.json >docs/pictures/stop.svg
	$(GO) run ./examples/plan -command '$(PICTURED)' <docs/pictures/plan.json >docs/pictures/plan.svg
	$(GO) run ./examples/plan -lifecycle >docs/pictures/lifecycle.svg

# All tests. Those that need what this machine does not have are skipped, and named at the end with the reason. JSON=file keeps what happened.
JSON ?=
test:
	$(GOTESTSUM) --format pkgname $(if $(JSON),--jsonfile '$(JSON)') -- -timeout 15m ./...
	cd examples/kubernetes && $(GO) test ./...
	cd release && $(GO) test -timeout 30m ./...
	@echo "Tests that were skipped are listed above with the reason; as root, 'make deps' installs what they need."

# Tests on a Kubernetes cluster, named by KUBECONFIG: e2e/README.md. E2E=-short is a short round, E2E='-run TestEnds -update' writes the documentation's tables.
E2E ?=
e2e:
	@[ -n "$$KUBECONFIG" ] || { echo 'make e2e needs KUBECONFIG, and a way for images to get to the nodes: e2e/README.md'; exit 1; }
	cd e2e && $(GO) vet ./... && $(GO) test -count=1 -timeout 30m -parallel 8 -v $(E2E) .

# Every fuzz target for a while, or so often: FUZZTIME=2000x. The end of a while may come at a bad moment, and is then an error of go's own that is no
# finding ("context deadline exceeded"). An input that fails is written to the package's testdata/fuzz, where tests try it from then on: it belongs to the fix.
FUZZTIME ?= 20s
fuzz:
	@mkdir -p bin; grep -rE --include='*_test.go' '^func Fuzz' . | sed -E 's|^(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]*).*|\1 \2|' | sort | while read -r package target; do \
		echo "$$package $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$package" >bin/fuzz.log 2>&1 </dev/null || \
			{ grep -q '^    context deadline exceeded$$' bin/fuzz.log && ! grep -q 'Failing input' bin/fuzz.log; } || { cat bin/fuzz.log; exit 1; }; \
	done

# Everything at once, for a minute, and again with the race detector: cmd/usher/stress_test.go. STRESS=10m is longer, SEED=7 is that round again.
STRESS ?= 1m
stress:
	USHER_STRESS=$(STRESS) USHER_STRESS_SEED=$(SEED) $(GO) test -count=1 -timeout 24h -run '^TestStress$$' ./cmd/usher
	USHER_STRESS=$(STRESS) USHER_STRESS_SEED=$(SEED) CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 24h -run '^TestStress$$' ./cmd/usher

# Every system call that usher makes, refused to it: cmd/usher/faults_test.go, of which `make test` takes a sample. FAULT='stop: kill' is one call.
faults:
	USHER_FAULTS=all USHER_FAULT='$(FAULT)' $(GO) test -count=1 -timeout 1h -run '^TestFaults$$' -v ./cmd/usher

# usher beside tini, dumb-init, catatonit and no init at all, as root: bench/ says how. BENCH='-only signal -json out.json' narrows it.
bench: build
	$(GO) build -o bin/bench ./bench
	bin/bench -usher $(OUT) $(BENCH)

# What the entry point takes for granted of the Go runtime, asked of the linked program: signals/entry/VERIFY.md.
verify-entry:
	$(GO) test -count=1 -run '^(TestAssumptions|TestEarlyCallsNothingOfTheRuntime)$$' -v ./signals/entry ./cmd/usher

# What each package costs.
size:
	@CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH) $(GO) build -trimpath -tags '$(TAGS)' $(GCFLAGS) -ldflags '$(filter-out -s -w,$(LDFLAGS))' -o bin/usher-symbols $(PKG)
	@$(GO) run ./bench -size bin/usher-symbols

# Some run twice, because the entry point is behind a tag of its own. The rules of this project alone are internal/rules: which file may exit,
# wait or read the clock, and the length of lines, comments and files. errorlint looks for errors that fmt.Errorf does not wrap. Its other
# checks are for usher-check and the tools: usher compares a system call's error as it comes, and has no errors.As (cmd/usher/guard_test.go).
lint:
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt would change: $$unformatted"; exit 1; }
	$(GO) vet ./... && $(GO) vet -tags '$(LAYERS)' ./... && $(GO) vet .ci/skipped.go
	cd examples/kubernetes && $(GO) vet ./...
	cd release && $(GO) vet ./...
	$(GO) test -count=1 ./internal/rules
	$(MISSPELL) -error $$(git ls-files '*.go' '*.md' '*.sh' '*.[15]' Makefile)
	$(ERRORLINT) -test=false -errorf -comparison=false -asserts=false ./...
	$(ERRORLINT) -test=false -errorf ./cmd/usher-check ./bench ./examples/...
	$(UNPARAM) ./... && GOFLAGS='$(GOFLAGS) -tags=usher_entry,usher_threads,usher_early' $(UNPARAM) ./...
	$(STATICCHECK) ./... && $(STATICCHECK) -tags '$(LAYERS)' ./...
	$(ACTIONLINT) -shellcheck= -pyflakes= .github/workflows/*.yml

# The image that Dockerfiles take usher from: COPY --from=usher /usher /usher
image: build
	docker build -t usher -f dockerfiles/Dockerfile bin

# What users install, in dist/: binaries, tarballs, packages, images, SBOMs, checksums, with the Go release that go.mod pins.
#
#     make release VERSION=v0.1.0 [SOURCE=https://where.the/source/is] [ARCH=amd64,arm64]
#
# The same commit gives the same bytes: docs/how-to/verify-a-release.md.
PINNED_GO = $(shell sed -n 's/^toolchain //p' go.mod)
release:
	cd release && GOTOOLCHAIN=$(PINNED_GO) GOFLAGS= $(GO) run . -version '$(VERSION)' $(if $(SOURCE),-url '$(SOURCE)') $(if $(ARCH),-arch '$(ARCH)')

# A whole release, built twice, by two users in two folders, and installed: `make test` does that for two architectures.
release-check:
	cd release && USHER_RELEASE=all $(GO) test -count=1 -timeout 1h -v .

# What the tests use, from Debian's packages. RUNLEVEL=1 keeps the packages from starting their servers.
deps:
	apt-get update -qq
	RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$(cat .ci/packages)

clean:
	rm -rf bin dist
