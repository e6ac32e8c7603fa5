#!/usr/bin/env bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Runs "go build" and shows how far it is, if it takes more than a few seconds: in one line of a terminal, and every
# half a minute elsewhere. The number of packages is that of all: those that are in the build cache are not compiled.
#
#   hack/build.sh WHAT [-C=DIR] FLAG... PACKAGE
#
# WHAT is the name that is shown.
set -euo pipefail

what=$1
shift
# It has to be the first flag.
directory=()
if [[ ${1:-} == -C=* ]]; then
    directory=("$1")
    shift
fi
package=${*: -1}
# Flags that choose the modules are for "go list", too.
modules=()
for argument in "$@"; do
    case $argument in -mod=* | -modfile=*) modules+=("$argument") ;; esac
done

if [ -t 1 ]; then
    interval=1
    show() { printf '\r\033[K%s' "$1"; }
    clear_line() { printf '\r\033[K'; }
else
    interval=30
    show() { printf '%s\n' "$1"; }
    clear_line() { :; }
fi
# What takes less is not worth a line.
readonly quiet=3

# Shows the progress of a build, whose output with -v is standard input: a line for each package, and errors.
watch_build() { # start, number of packages
    local start=$1 total=$2 compiled=0 doing='' shown=$1 line='' part status
    while :; do
        status=0
        IFS= read -r -t 1 part || status=$?
        line+=$part
        if [ "$status" -gt 128 ]; then
            : # no news, or the start of a line
        elif [ "$status" -ne 0 ]; then
            break
        elif [[ $line == 'go: downloading '* ]]; then
            doing=', downloading modules'
        elif [[ $line =~ ^[A-Za-z0-9._~/-]+$ ]]; then
            compiled=$((compiled + 1)) doing=''
        else
            clear_line
            printf '%s\n' "$line" >&2
        fi
        [ "$status" -ne 0 ] || line=''
        if ((SECONDS - start >= quiet && SECONDS - shown >= interval)); then
            shown=$SECONDS
            show "$what: $compiled of at most $total packages compiled$doing, $((SECONDS - start)) s"
        fi
    done
}

start=$SECONDS
# The first time, this downloads modules.
[ ! -t 1 ] || show "$what: finding its packages"
total=$(go list "${directory[@]}" "${modules[@]}" -deps "$package" 2>/dev/null | wc -l) || total='?'
go build "${directory[@]}" -v "$@" 2>&1 | watch_build "$start" "$total"
clear_line
if ((SECONDS - start >= quiet)); then
    echo "$what: built in $((SECONDS - start)) s"
fi
