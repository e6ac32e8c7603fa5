#!/bin/sh
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Requests a git ref or an image through Postern, and waits until it is applied. It needs curl and a POSIX shell with
# its utilities. All inputs are variables, so that none of them is ever part of a script or of the arguments of a
# program:
#
#   POSTERN_SERVER      URL of the kube-apiserver, or of what is in front of it
#   POSTERN_NAMESPACE   namespace of the target
#   POSTERN_TARGET      gatewaysync/NAME or application/NAME; empty for all that match the repository or the image
#   POSTERN_REF         git ref to request, such as v1.4.0; or
#   POSTERN_IMAGE       image to request, such as registry.example.com/team/shop:1.4.0
#   POSTERN_REVISION    commit of the ref, optional
#   POSTERN_REPOSITORY  URL of the repository of the ref, optional with a target
#   POSTERN_TOKEN       token of a ServiceAccount, or of an issuer that the cluster trusts
#   POSTERN_TOKEN_FILE  or a file with it, which is read again for each request
#   POSTERN_OIDC        who verifies an OIDC token of the job: cluster or postern. In GitHub Actions it is fetched
#   POSTERN_AUDIENCE    audience of a token that is fetched, by default postern
#   POSTERN_CA          certificates of the server's CA in PEM, by default those that curl trusts
#   POSTERN_CA_FILE     or a file with them
#   POSTERN_TIMEOUT     how long to try and to wait, such as 90s or 10m, by default 5m
#   POSTERN_ON_HELD     what to do while the target is held: fail, which is the default, or wait
#   POSTERN_DOTENV      file for the outcome, as lines POSTERN_PHASE=… and POSTERN_NAME=…
#
# The exit code is 0 if the target has what was requested. Otherwise it is 1 if nothing could be sent, 2 if the
# delivery was refused, 3 if it was ignored, 4 if a newer one superseded it, 5 if it failed, 6 if it is held, and 7 if
# the outcome is not known when the time is over: Postern goes on with a delivery that it has recorded.
set -u
set +x # no trace may show the token
export LC_ALL=C
umask 077
unset CDPATH IFS

readonly applied=0 not_sent=1 refused=2 ignored=3 superseded=4 failed=5 held=6 pending=7

# plain TEXT: prints what a program says as one line of printable characters, which has no command for a runner.
plain() {
    printf '%s\n' "$1" | tr '\n' ' ' | sed -e 's/[^ -~]/?/g' -e 's/##\[/## [/g' -e 's/ *$//' | cut -c 1-1000
}

# finish CODE PHASE MESSAGE: reports the outcome, and ends.
finish() {
    code=$1 phase=$2 message=$(plain "$3")
    if [ "$code" -eq "$applied" ]; then
        printf 'postern: %s\n' "$message"
    elif [ "${GITHUB_ACTIONS-}" = true ]; then
        printf '::error title=Postern::%s\n' "$message" | sed 's/%/%25/g'
    else
        printf 'postern: error: %s\n' "$message" >&2
    fi
    if [ -n "${GITHUB_OUTPUT-}" ]; then
        printf '%s=%s\n' phase "$phase" name "${name-}" message "$message" >>"$GITHUB_OUTPUT"
    fi
    if [ -n "${POSTERN_DOTENV-}" ]; then
        printf '%s=%s\n' POSTERN_PHASE "$phase" POSTERN_NAME "${name-}" >"$POSTERN_DOTENV"
    fi
    exit "$code"
}

misused() { finish "$not_sent" '' "$1"; }

# matches TEXT PATTERN: whether all of a text matches an extended regular expression. A text of several lines never
# does.
matches() {
    case $1 in *'
'*) return 1 ;; esac
    printf '%s\n' "$1" | grep -Eqx -e "$2"
}

# json FILE: prints the strings that the script reads of a JSON document, as PATH=TEXT, one in a line. Each record of
# awk is what is between two quotes.
json() {
    awk '
        BEGIN { RS = "\"" }
        function wanted(name) {
            return name ~ /^(kind|message|value|metadata\.name|status\.(phase|reason|message))$/
        }
        function path(i, joined) {
            for (i = 1; i <= depth; i++) joined = joined (i > 1 ? "." : "") (type[i] == "{" ? key[i] : "[]")
            return joined
        }
        inside {
            text = text $0
            if (match($0, /\\+$/) && RLENGTH % 2) { text = text "\""; next } # the quote is escaped
            inside = 0
            if (type[depth] == "{" && naming) key[depth] = text
            else if (depth <= 2 && wanted(path())) print path() "=" unescaped(text)
            next
        }
        {
            for (i = 1; i <= length($0); i++) {
                c = substr($0, i, 1)
                if (c == "{" || c == "[") { type[++depth] = c; naming = c == "{" }
                else if (c == "}" || c == "]") depth--
                else if (c == ":") naming = 0
                else if (c == ",") naming = type[depth] == "{"
            }
            inside = 1; text = ""
        }
        function unescaped(raw, plain, i, c) {
            for (i = 1; i <= length(raw); i++) {
                c = substr(raw, i, 1)
                if (c == "\\") {
                    c = substr(raw, ++i, 1)
                    if (c == "u") {
                        c = tolower(substr(raw, i + 1, 4)); i += 4
                        c = c == "003c" ? "<" : c == "003e" ? ">" : c == "0026" ? "&" : c == "0027" ? "\047" : "?"
                    } else if (c ~ /[bfnrt]/) c = " "
                }
                plain = plain c
            }
            gsub(/→/, "->", plain)
            gsub(/[^ -~]/, "?", plain)
            return plain
        }' "$1"
}

# field NAME: prints a string that json has printed into the file fields.
field() { sed -n "s/^$1=//p" "$work/fields" | head -n 1; }

# quoted TEXT: prints a text of one line as a string of JSON.
quoted() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\001-\037' | sed 's/["\\]/\\&/g')"; }

now() { date +%s; }

# request FILE CURL-ARGUMENT...: sends a request with the header in the variable credential, which only the standard
# input of curl has; puts the answer into FILE, and prints its code. It trusts no setting of the user, follows no
# redirect, and takes only HTTPS.
request() {
    answer=$1
    shift
    printf 'header = "%s"\n' "$credential" |
        curl --disable --config - --silent --show-error --globoff --proto =https --connect-timeout 10 \
            --header 'Accept: application/json' --user-agent postern-deliver --output "$answer" \
            --write-out '%{http_code}' "$@" 2>"$work/error"
}

# job_token: fetches an OIDC token of the job into the variable token, as GitHub Actions offer it to jobs with the
# permission id-token: write. It is valid for some minutes, so that long waits need several.
job_token() {
    if [ -z "${ACTIONS_ID_TOKEN_REQUEST_URL-}" ] || [ -z "${ACTIONS_ID_TOKEN_REQUEST_TOKEN-}" ]; then
        misused 'give a token, or the job the permission "id-token: write"'
    fi
    if [ -n "$token" ] && [ "$(($(now) - token_time))" -lt 240 ]; then
        return 0
    fi
    credential="Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN"
    if ! code=$(request "$work/token" --max-time 30 --retry 3 \
        --url "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$audience") || [ "$code" != 200 ]; then
        misused "could not get an OIDC token of the job: $code $(cat "$work/error")"
    fi
    json "$work/token" >"$work/fields"
    token=$(field value) token_time=$(now)
    rm -f "$work/token" "$work/fields"
}

# authenticate: sets the credential of the next delivery.
authenticate() {
    if [ -n "$token_file" ]; then
        token=$(cat "$token_file") || misused 'could not read the file with the token'
    elif [ -z "${POSTERN_TOKEN-}" ]; then
        job_token
    fi
    # More than these could be a setting of curl, or another header.
    matches "$token" '[A-Za-z0-9._~+/=-]+' || misused 'the token is empty, or has characters that no token has'
    # A ref may have been called $POSTERN_TOKEN, until a CI system expanded it.
    case $body in *"$token"*) misused 'an input contains the token' ;; esac
    credential="$token_header$token"
    # Hides it in the log of the job, if it is not a secret of the project anyway.
    if [ "${GITHUB_ACTIONS-}" = true ] && [ "$token" != "$masked" ]; then
        printf '::add-mask::%s\n' "$token"
        masked=$token
    fi
}

server=${POSTERN_SERVER-} namespace=${POSTERN_NAMESPACE-} target=${POSTERN_TARGET-}
ref=${POSTERN_REF-} image=${POSTERN_IMAGE-} repository=${POSTERN_REPOSITORY-} revision=${POSTERN_REVISION-}
token=$(printf %s "${POSTERN_TOKEN-}") token_file=${POSTERN_TOKEN_FILE-} token_time=0 masked=''
audience=${POSTERN_AUDIENCE:-postern} timeout=${POSTERN_TIMEOUT:-5m} on_held=${POSTERN_ON_HELD:-fail} name=''

segment='[a-z0-9]([a-z0-9.-]*[a-z0-9])?'
matches "$server" 'https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+])(:[0-9]+)?(/[A-Za-z0-9._~/-]*)?' ||
    misused 'the server must be an https URL, such as https://kubernetes.example.com:6443'
matches "$namespace" "$segment" || misused 'the namespace is missing, or is not the name of one'
matches "$audience" '[A-Za-z0-9._~:/-]+' || misused 'the audience has characters that no audience of Postern has'
matches "$timeout" '[1-9][0-9]{0,5}[smh]?' || misused 'the timeout must be a number of seconds, or as 90s, 10m or 1h'
case $timeout in
*h) timeout=$((${timeout%h} * 3600)) ;;
*m) timeout=$((${timeout%m} * 60)) ;;
*) timeout=${timeout%s} ;;
esac
case $on_held in fail | wait) ;; *) misused 'what to do while the target is held must be fail or wait' ;; esac
case ${POSTERN_OIDC-} in
'' | cluster) token_header='Authorization: Bearer ' ;;
postern) token_header='X-Webhook-OIDC-Token: ' ;;
*) misused 'the OIDC token is verified by cluster or postern' ;;
esac
if [ -z "$token$token_file${POSTERN_OIDC-}" ]; then
    misused 'there is no token'
fi
case "${ref:+ref}${image:+image}" in ref | image) ;; *) misused 'give a ref or an image' ;; esac
for input in "$ref" "$image" "$repository" "$revision"; do
    matches "$input" '.*' || misused 'an input has several lines'
done
case $target in
gatewaysync/* | application/*)
    matches "${target#*/}" "$segment" || misused 'the target is not the name of an object'
    path=${target%%/*}s/${target#*/}
    ;;
'')
    path=webhooksources/${image:+cloudevents}
    path=$path${ref:+generic}
    if [ -n "$ref" ] && [ -z "$repository" ]; then
        misused 'without a target, the repository decides who gets the ref: give it'
    fi
    ;;
*) misused 'the target must be gatewaysync/NAME or application/NAME' ;;
esac
url=${server%/}/apis/postern.dev/v1alpha1/namespaces/$namespace/$path/webhookdeliveries

# The id makes Postern take all requests of this run for one delivery, so that none is made twice, and a request for
# one that it has recorded tells what has become of it. That needs no other permission.
id=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
if [ -n "$ref" ]; then
    content_type=application/json
    body="{\"ref\": $(quoted "$ref")"
    [ -z "$revision" ] || body="$body, \"revision\": $(quoted "$revision")"
    [ -z "$repository" ] || body="$body, \"repository\": $(quoted "$repository")"
    body="$body}"
else
    # registry.example.com/team/shop:1.4.0@sha256:…; without a host it is Docker Hub's.
    digest='' rest=$image
    case $rest in *@*) digest=${rest##*@} rest=${rest%@*} ;; esac
    case ${rest##*/} in *:*) tag=${rest##*:} rest=${rest%:*} ;; *) misused 'the image must have a tag' ;; esac
    case $rest in
    *.*/* | *:*/* | localhost/*) host=${rest%%/*} rest=${rest#*/} ;;
    */*) host=docker.io ;;
    *) host=docker.io rest=library/$rest ;;
    esac
    content_type=application/cloudevents+json
    body="{\"specversion\": \"1.0\", \"type\": \"dev.postern.image.published\", \"source\": \"postern-deliver\""
    body="$body, \"id\": \"$id\", \"data\": {\"registryUrl\": $(quoted "$host")"
    body="$body, \"repositoryName\": $(quoted "$rest"), \"imageTag\": $(quoted "$tag")"
    body="$body${digest:+, \"imageDigest\": $(quoted "$digest")}}}"
fi

work=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/postern.XXXXXX") || misused 'could not make a temporary directory'
trap 'rm -rf "$work"' EXIT
trap 'exit 143' HUP INT TERM

set -- --url "$url" --header "Content-Type: $content_type" --header "Idempotency-Key: $id" \
    --data-binary "@$work/body" --dump-header "$work/headers"
if [ -n "${POSTERN_CA-}" ]; then
    printf '%s\n' "$POSTERN_CA" >"$work/ca.crt"
    set -- "$@" --cacert "$work/ca.crt"
elif [ -n "${POSTERN_CA_FILE-}" ]; then
    set -- "$@" --cacert "$POSTERN_CA_FILE"
fi

deadline=$(($(now) + timeout)) pause=1 phase='' last='' said=''
while :; do
    authenticate
    printf %s "$body" >"$work/body"
    left=$((deadline - $(now)))
    [ "$left" -gt 0 ] || left=1
    [ "$left" -lt 30 ] || left=30
    : >"$work/headers"
    : >"$work/answer"
    code=$(request "$work/answer" "$@" --max-time "$left")
    problem=$?
    retry_after=$(tr 'A-Z\r' 'a-z ' <"$work/headers" | sed -n 's/^retry-after: *\([0-9]\{1,4\}\) *$/\1/p' | tail -n 1)
    json "$work/answer" >"$work/fields"
    message=$(field status.message)
    case $problem:$code in
    0:202)
        [ "$(field kind)" = WebhookDelivery ] || finish "$refused" '' "the answer of $server is not from Postern"
        name=$(field metadata.name) phase=$(field status.phase)
        matches "$name" "$segment" || name=''
        matches "$phase" '[A-Za-z]+' || phase=''
        last="delivery $name is $phase${message:+: $message}"
        case $phase in
        Applied) finish "$applied" "$phase" "$last" ;;
        Ignored) finish "$ignored" "$phase" "$last" ;;
        Superseded) finish "$superseded" "$phase" "$last" ;;
        Failed) finish "$failed" "$phase" "$last" ;;
        Held) [ "$on_held" = wait ] || finish "$held" "$phase" "$last" ;;
        esac
        ;;
    0:429 | 0:502 | 0:503 | 0:504) last="the server answered $code: $(field message)" ;;
    0:500) finish "$failed" Failed "the delivery failed: $(field message)" ;;
    0:*) finish "$refused" '' "the delivery was refused: $code $(field message)" ;;
    # The name is not found, there is no connection, no answer, or only a part of it.
    [5-7]:* | 16:* | 18:* | 28:* | 35:* | 5[256]:* | 92:* | 97:*) last="no answer: $(cat "$work/error")" ;;
    *) finish "$not_sent" '' "could not send the delivery: $(cat "$work/error")" ;;
    esac
    if [ "$last" != "$said" ]; then
        printf 'postern: %s\n' "$(plain "$last")"
        said=$last
    fi
    delay=$pause
    [ "${retry_after:-0}" -le "$delay" ] || delay=$retry_after
    if [ "$(($(now) + delay))" -ge "$deadline" ]; then
        code=$pending
        [ "$phase" != Held ] || code=$held
        finish "$code" "$phase" "gave up after $timeout s: $last"
    fi
    sleep "$delay" >/dev/null 2>&1 & # so that a signal ends it at once
    wait "$!"
    pause=$((pause * 2))
    [ "$pause" -lt 15 ] || pause=15
done
