# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Only Go, git and make are needed; everything else is built from Go modules. See "make help".

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Nothing needs C. One setting everywhere, so that all builds share one cache.
export CGO_ENABLED := 0

# What the program says of itself; see hack/version.sh. Give them where there is no git, as in an image's build.
VERSION ?= $(shell hack/version.sh version)
REVISION ?= $(shell hack/version.sh revision)
DATE ?= $(shell hack/version.sh date)
STAMP = -X postern.dev/postern/pkg/version.version=$(VERSION) -X postern.dev/postern/pkg/version.revision=$(REVISION) \
	-X postern.dev/postern/pkg/version.date=$(DATE)
# How clients introduce themselves that the framework makes; ours say it without.
STAMP += -X k8s.io/client-go/pkg/version.gitVersion=$(VERSION) -X k8s.io/client-go/pkg/version.gitCommit=$(REVISION)

# The program that "make release" builds, postern or kubectl-postern, and where it puts it.
PROGRAM ?= postern
RELEASE ?= bin/release/$(PROGRAM)

# The version of Kubernetes to test with, such as K8S_VERSION=1.31.14. By default it is that in hack/tools/go.mod, in
# bin/k8s; others are in bin/k8s-<version>.
K8S_VERSION ?=
export K8S_VERSION
# A patch of the oldest minor version that Postern supports; its kubeVersion is in charts/postern/Chart.yaml.
OLDEST_K8S_VERSION := 1.31.14

# How long "make fuzz" runs each fuzz test.
FUZZTIME ?= 30s
# Flags of the demo, and V=1 for its -v.
DEMOFLAGS ?=
V ?=
# Flags for the benchmark: BENCHFLAGS='-only latency'; BENCHFLAGS=-help lists them.
BENCHFLAGS ?=
# More flags for go test: TESTFLAGS='-run TestName -v'.
TESTFLAGS ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: kubectl-postern ## Build bin/postern and bin/kubectl-postern (some minutes the first time, then seconds)
	@hack/build.sh bin/postern -ldflags '$(STAMP)' -o bin/postern ./cmd/postern

.PHONY: kubectl-postern
kubectl-postern: ## Build bin/kubectl-postern, the plugin of kubectl
	@hack/build.sh bin/kubectl-postern -ldflags '$(STAMP)' -o bin/kubectl-postern ./cmd/kubectl-postern

# Every build of a commit with one version of Go has the same bytes: it contains no paths (-trimpath), no information
# from git (-buildvcs=false), and no build id, which is a hash of the flags among other things. GOOS and GOARCH select
# the platform.
.PHONY: release
release: ## Build a program as it is shipped, reproducibly: bin/release/$(PROGRAM)
	GOFLAGS= GOEXPERIMENT= GOAMD64=v1 GOARM64=v8.0 GOPPC64=power8 \
		go build -trimpath -buildvcs=false -ldflags '-s -w -buildid= $(STAMP)' -o $(RELEASE) ./cmd/$(PROGRAM)

# The program that builds it may be any that understands a Dockerfile: IMAGE_BUILDER='podman build'.
IMAGE ?= ghcr.io/postern-dev/postern
IMAGE_BUILDER ?= docker build
.PHONY: image
image: ## Build the image
	$(IMAGE_BUILDER) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg DATE=$(DATE) \
		--tag $(IMAGE):$(VERSION) .

# Signs with the private key COSIGN_KEY of cosign, and without it with the identity of a workflow of GitHub.
REGISTRY ?=
PLATFORMS ?= linux/amd64 linux/arm64 linux/ppc64le linux/s390x
PLUGIN_PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
.PHONY: release-all
release-all: helm ## Build all of a release into bin/release/VERSION, push it to REGISTRY, and sign it
	@hack/senders.sh cosign
	@go run -C hack/release . -checkout='$(CURDIR)' -version='$(VERSION)' -revision='$(REVISION)' -date='$(DATE)' \
		-registry='$(REGISTRY)' -platforms='$(PLATFORMS)' -plugin-platforms='$(PLUGIN_PLATFORMS)'

.PHONY: verify-reproducible
verify-reproducible: ## Build the program twice, far apart, and compare (takes as long as compiling everything)
	@VERSION='$(VERSION)' REVISION='$(REVISION)' DATE='$(DATE)' hack/verify-reproducible.sh

.PHONY: control-plane
control-plane: ## Put etcd, kube-apiserver and kubectl into bin/k8s; K8S_VERSION=1.31.14 (6 to 10 minutes, then seconds)
	@hack/control-plane.sh

.PHONY: controller-manager
controller-manager: ## Put kube-controller-manager into bin/k8s, which some tests need (4 minutes the first time)
	@hack/control-plane.sh kube-controller-manager

.PHONY: node
node: ## Put kubelet, kube-proxy and kube-scheduler into bin/k8s, for "make e2e" (5 minutes the first time)
	@hack/control-plane.sh kubelet kube-proxy kube-scheduler

.PHONY: helm
helm: ## Put helm into bin/tools (2 to 3 minutes the first time, then seconds)
	@hack/helm.sh

.PHONY: argocd
argocd: ## Put Argo CD and what it needs into bin/argocd (half an hour the first time, then seconds)
	@hack/argocd.sh

.PHONY: senders
senders: ## Put a registry, Gitea and what pushes to them into bin/senders (half an hour the first time, then seconds)
	@hack/senders.sh

.PHONY: vendors
vendors: ## Fetch examples of webhooks into bin/vendors, with Go and npm
	@hack/vendors.sh

.PHONY: local
local: build control-plane
	@hack/build.sh bin/local -o bin/local ./hack/local

.PHONY: up
up: local ## Start a control plane with Postern and sample objects, and leave it running
	@bin/local up

.PHONY: down
down: ## Stop what "make up" started and remove its state (KEEP=1: leave it for the next "make up")
	@go build -o bin/local ./hack/local
	@bin/local down $(if $(KEEP),-keep)

.PHONY: demo
demo: local ## Play the main jobs against a real control plane, and leave nothing running (V=1: show each request)
	@bin/local demo $(if $(V),-v) $(DEMOFLAGS)

# Packages whose tests need neither a control plane nor helm.
UNIT := ./apis/... ./cmd/... ./pkg/... ./hack/apireference ./test/artifacts ./test/bench \
	./test/fieldcases/fieldcase ./test/observability
.PHONY: test-unit
test-unit: ## Run the tests that need no control plane (below two minutes once they are compiled); the quick loop
	go test $(TESTFLAGS) $(UNIT)

# Packages with Go code of the server, whose tests the race detector should watch, and how to list the others. The
# slowest are first, because go test starts packages in the order of its arguments, and ignores repetitions.
RACE_TESTED := ./test/integration/ ./test/chaos/ ./apis/... ./cmd/... ./pkg/... ./test/controlplane/
NOT_RACE_TESTED = ./test/uninstall/ $$(comm -23 <(go list ./... | sort) <(go list $(RACE_TESTED) | sort))
.PHONY: test
test: build control-plane controller-manager helm ## Run all tests, chaos in short (RACE=1: with the race detector)
	@echo 'Testing, also against a real control plane. Compiling the tests takes some minutes the first time.'
	$(if $(RACE),$(MAKE) --no-print-directory test-race)
	@# Not from the test cache, which does not know that tests use bin/postern, manifests and artifacts.
	go test -count=1 -timeout=40m $(TESTFLAGS) $(if $(RACE),$(NOT_RACE_TESTED),./...)

.PHONY: test-oldest
test-oldest: ## Run the tests with the oldest version of Kubernetes that Postern supports
	@$(MAKE) --no-print-directory test K8S_VERSION=$(OLDEST_K8S_VERSION)

.PHONY: test-fieldcases
test-fieldcases: build control-plane ## Run the field cases, CASE=name one of them (2 minutes; "make test" runs them too)
	@go test -count=1 -timeout=20m -run '^TestFieldCases$$/^$(CASE)$(if $(CASE),$$)' $(TESTFLAGS) ./test/fieldcases/

.PHONY: test-install
test-install: build control-plane helm ## Run the integration tests with each overlay and with the chart (an hour)
	@chart='bin/tools/helm template postern charts/postern --namespace=postern-system'; \
	{ cat manifests/base/namespace.yaml; echo ---; $$chart; } > bin/chart.yaml; \
	{ cat test/chart/testdata/full-needs.yaml; echo ---; \
		$$chart --values=test/chart/testdata/full.yaml --values=test/chart/testdata/full-run.yaml; } > bin/chart-full.yaml
	@for install in manifests/overlays/* bin/chart.yaml bin/chart-full.yaml; do \
		echo "Testing with $$install..."; \
		POSTERN_INSTALL=$$install go test -count=1 -timeout=30m $(TESTFLAGS) ./test/integration/; \
	done

.PHONY: test-real
test-real: build control-plane controller-manager helm argocd senders vendors ## Test with programs that others wrote
	POSTERN_REAL=1 POSTERN_VENDORS=$(CURDIR)/bin/vendors go test -count=1 -timeout=1h -v $(TESTFLAGS) ./test/real/

.PHONY: axe
axe:
	@hack/axe.sh

.PHONY: test-ui
test-ui: build control-plane axe ## Test the page of "kubectl postern ui" in a browser (3 minutes)
	go test -C test/ui -count=1 -timeout=20m -v $(TESTFLAGS) .

.PHONY: screenshots
screenshots: build control-plane ## Write the screenshots in docs/images, of a cluster with many deliveries
	POSTERN_SCREENSHOTS=documented go test -C test/ui -count=1 -timeout=20m -run=TestScreenshots $(TESTFLAGS) .

.PHONY: runners
runners: ## Put what runs workflows of GitHub and pipelines of GitLab into bin/runners, with Go and npm (2 minutes, then seconds)
	@hack/runners.sh

.PHONY: test-runners
test-runners: build control-plane runners ## Test the action and the template of CI systems as these run them (a minute)
	POSTERN_RUNNERS=1 go test -count=1 -timeout=20m -v $(TESTFLAGS) ./test/deliver/

.PHONY: test-vendors
test-vendors: build control-plane vendors ## Decode and deliver the examples of webhooks
	POSTERN_VENDORS=$(CURDIR)/bin/vendors go test -count=1 $(TESTFLAGS) ./test/vendors/
	POSTERN_VENDORS=$(CURDIR)/bin/vendors go test -count=1 -v -run TestVendors $(TESTFLAGS) ./test/real/

.PHONY: test-release
test-release: control-plane controller-manager node helm ## Release to a registry on this machine, verify and install it
	@hack/senders.sh registry crane cosign
	@hack/krew.sh
	POSTERN_RELEASE=1 go test -count=1 -timeout=2h -v $(TESTFLAGS) ./test/release/

.PHONY: network
network: ## Put kube-router into bin/network, for "make e2e" (4 minutes the first time, then seconds)
	@hack/network.sh

.PHONY: ingress
ingress: ## Put Traefik, an ingress controller, into bin/network, for "make e2e" (9 minutes the first time, then seconds)
	@hack/traefik.sh

.PHONY: e2e
e2e: release kubectl-postern control-plane controller-manager node helm network ingress ## Run Postern in clusters with real nodes (15 minutes)
	POSTERN_E2E=1 go test -count=1 -timeout=40m -v $(TESTFLAGS) ./test/node/ ./test/e2e/

.PHONY: chaos
chaos: build control-plane ## Break Postern and what it stands on, at length (about 25 minutes)
	CHAOS=long go test -count=1 -timeout=1h -v $(TESTFLAGS) ./test/chaos/

.PHONY: test-race
test-race: control-plane ## Run the tests of Go code, and Postern in them, with the race detector (needs a C compiler)
	@echo 'Testing with the race detector. From an empty cache it compiles everything once more: 10 minutes on two cores.'
	CGO_ENABLED=1 go build -race -ldflags '$(STAMP)' -o bin/race/postern ./cmd/postern
	CGO_ENABLED=1 POSTERN_BINARY=$(CURDIR)/bin/race/postern go test -race -count=1 -timeout=45m $(TESTFLAGS) \
		$(RACE_TESTED)

.PHONY: bench
bench: build control-plane ## Compare deliveries with plain writes, and measure memory, start and decoding (9 minutes)
	@go build -o bin/bench ./test/bench
	@bin/bench $(BENCHFLAGS)

.PHONY: fuzz
fuzz: ## Run each fuzz test for FUZZTIME (30s)
	@hack/fuzz.sh $(FUZZTIME)

.PHONY: generate
generate: ## Write the generated code, and the manifests from the chart
	hack/update-codegen.sh

.PHONY: verify
verify: ## Check lint, prose, generated files, modules and headers
	@hack/verify.sh

.PHONY: clean
clean: ## Stop what "make up" started and remove all that was built
	@if [ -d .local ]; then $(MAKE) --no-print-directory down; fi
	rm -rf bin
