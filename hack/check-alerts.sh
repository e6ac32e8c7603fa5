#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Checks the alerts with promtool, and runs their tests. promtool is built from its Go modules, without service
# discovery: 3 minutes on two cores the first time, seconds afterwards.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
CGO_ENABLED=0 go build -C hack/promtool -tags remove_all_sd -o "$PWD/bin/promtool" \
    github.com/prometheus/prometheus/cmd/promtool
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The spec of a PrometheusRule is a file of rules.
sed '1,/^spec:$/d; s/^  //' charts/postern/files/prometheusrule.yaml >"$scratch/rules.yaml"
cp test/observability/alerts.yaml "$scratch"
bin/promtool check rules --lint=all --lint-fatal "$scratch/rules.yaml"
bin/promtool test rules "$scratch/alerts.yaml"
