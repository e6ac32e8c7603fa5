#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Checks everything about the source that can be checked without running it, and reports all failures at once. It does
# not change the work tree, which need not be committed.
set -uo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repo" || exit 1
export CGO_ENABLED=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Prints the files that belong to the repository, committed or not, each ended by a NUL.
sources() { # pathspec...
    git ls-files -z --cached --others --exclude-standard --deduplicate -- "$@" |
        while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done
}

# Fails with the message if there is input, and shows it.
expect_nothing() { # message
    local found
    found=$(cat)
    if [ -n "$found" ]; then
        printf '%s:\n%s\n' "$1" "$found"
        return 1
    fi
}

# Of the files that golangci-lint does not read. Testdata has the format of its origin.
check_headers() {
    sources '*.sh' '*.yaml' Makefile .ci/run ':!**/testdata/**' |
        { xargs -0 grep -L 'SPDX-License-Identifier: Apache-2\.0' || true; } |
        expect_nothing 'files without the license header'
}

check_lint() {
    go build -C hack/lint -o "$repo/bin/golangci-lint" github.com/golangci/golangci-lint/v2/cmd/golangci-lint &&
        bin/golangci-lint run ./... && go vet -C hack/helm ./... && go test -C hack/helm ./...
}

# Comments and documents, by the styles in hack/vale. Vale parses Go with a C library, so it is built only where there
# is a C compiler.
check_prose() {
    if ! command -v gcc >/dev/null; then
        echo 'skipped: there is no C compiler'
        return 0
    fi
    CGO_ENABLED=1 go build -C hack/vale -o "$repo/bin/vale" github.com/errata-ai/vale/v3/cmd/vale \
        2>"$scratch/vale.log" || { cat "$scratch/vale.log"; return 1; }
    sources '*.go' '*.md' ':!**/zz_generated*' ':!pkg/generated' | xargs -0 bin/vale --output=line
}

check_shell() {
    local script failed=0
    while IFS= read -r -d '' script; do bash -n "$script" || failed=1; done < <(sources '*.sh' .ci/run)
    return $failed
}

check_terraform() { go test -C hack/terraform -count=1 ./...; }

check_ui() { go vet -C test/ui ./...; }

check_sdks() { go vet -C test/sdks ./... && go test -C test/sdks -count=1 ./...; }

check_release() { go vet -C hack/release ./... && go test -C hack/release -count=1 ./...; }

check_modules() {
    local module failed=0
    for module in . hack/{actions,tools,lint,promtool,helm,krew,release,terraform,vale} test/{ui,sdks}; do
        go mod -C "$module" tidy -diff || { echo "run \"go mod tidy\" in $module"; failed=1; }
    done
    # It has no packages, so tidy would remove all that it requires.
    go -C hack/crds mod download || failed=1
    # Tidy would download minutes of modules. "make argocd" fails if one is missing in hack/argocd, and "make senders" if
    # one is in hack/argoevents or hack/tekton.
    return $failed
}

check_alerts() { hack/check-alerts.sh; }

check_generated() {
    mkdir "$scratch/before"
    sources | tar --null --files-from=- -cf - | tar -C "$scratch/before" -xf -
    cp -R "$scratch/before" "$scratch/after"
    hack/update-codegen.sh "$scratch/after" &&
        diff -ru "$scratch/before" "$scratch/after" || { echo 'run "make generate"'; return 1; }
}

failed=()
check() { # function, what it does
    local start=$SECONDS
    echo "== $2"
    "check_$1" || failed+=("$1")
    echo "   $((SECONDS - start)) s"
}

check headers 'license headers'
check shell 'shell scripts'
check prose 'prose (Vale is built from its Go modules: 3 minutes the first time)'
check terraform 'the Terraform module'
check release 'the program that makes releases'
check ui 'the tests in a browser'
check sdks 'what the libraries of others send'
check modules 'modules are tidy'
check alerts 'alerts (promtool is built from its Go modules: 3 minutes the first time)'
check generated 'generated files are current'
check lint 'golangci-lint (built from its Go modules: 2 minutes the first time; its first run compiles everything)'

if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED: ${failed[*]}"
    exit 1
fi
echo 'All is well.'
