// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/pkg/secretheader"
	"postern.dev/postern/test/deliver/script"
)

const (
	deliverScript = "../../artifacts/deliver/deliver.sh"
	secretToken   = "header.cGF5bG9hZA.c2lnbmF0dXJl_-0123456789"
)

// received is a request of the script.
type received struct {
	path, id, authorization, contentType string
	body                                 map[string]any
}

// answers is a kube-apiserver that gives each request the next answer, and the last one again. Only what a real one
// does not do on command is tested with it; package test/deliver has the rest.
type answers struct {
	*httptest.Server

	mu       sync.Mutex
	next     []http.HandlerFunc
	requests []received
}

func serveAnswers(t *testing.T, next ...http.HandlerFunc) *answers {
	t.Helper()
	a := &answers{next: next}
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		raw, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		got := received{
			path: req.URL.Path, id: req.Header.Get("Idempotency-Key"), authorization: req.Header.Get("Authorization"),
			contentType: req.Header.Get("Content-Type"),
		}
		if len(raw) > 0 && json.Unmarshal(raw, &got.body) != nil {
			t.Errorf("the body is not JSON: %s", raw)
		}
		a.mu.Lock()
		a.requests = append(a.requests, got)
		answer := a.next[0]
		if len(a.next) > 1 {
			a.next = a.next[1:]
		}
		a.mu.Unlock()
		answer(rw, req)
	}))
	a.Config.ErrorLog = nil
	t.Cleanup(a.Close)
	return a
}

// ca returns the certificate of the server in PEM.
func (a *answers) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw}))
}

// answer is an answer with headers NAME: VALUE.
func answer(code int, body string, headers ...string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			rw.Header().Set(name, value)
		}
		rw.WriteHeader(code)
		_, _ = io.WriteString(rw, body)
	}
}

// record is the answer to an understood delivery.
func record(phase, message string) http.HandlerFunc {
	body, err := json.Marshal(map[string]any{
		"kind": "WebhookDelivery", "metadata": map[string]any{"name": "generic-0a1b"},
		"spec":   map[string]any{"events": []any{map[string]any{"ref": `a "ref" \`}}},
		"status": map[string]any{"phase": phase, "message": message, "targets": []any{map[string]any{"phase": "x"}}},
	})
	if err != nil {
		panic(err)
	}
	return answer(http.StatusAccepted, string(body))
}

// refusal is an error of the kube-apiserver or of Postern.
func refusal(code int, headers ...string) http.HandlerFunc {
	return answer(code, fmt.Sprintf(`{"kind": "Status", "message": "because of %d"}`, code), headers...)
}

// cutOff closes the connection without an answer.
func cutOff(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// delivering runs the script against a server, with curl and sleep that write down how they are called. sleep does not
// sleep.
type delivering struct {
	run    script.Run
	output string
}

func newDelivering(t *testing.T, server *answers) *delivering {
	t.Helper()
	d := &delivering{run: script.Run{Script: absolute(t, deliverScript), Dir: t.TempDir(), Programs: t.TempDir()}}
	d.output = filepath.Join(t.TempDir(), "output")
	d.write(t, "sleep", `echo "$1" >> `+d.path("sleeps"))
	// It sees what curl is given, and all files of the script.
	d.write(t, "curl", `printf '%s\n' "$@" >> `+d.path("arguments")+`
grep -rl -e "$FORBIDDEN" "$TMPDIR" >> `+d.path("found")+`
PATH=${PATH#*:}
exec curl "$@"`)
	d.run.Env = map[string]string{
		"POSTERN_SERVER": server.URL, "POSTERN_CA": server.ca(), "POSTERN_NAMESPACE": "demo",
		"POSTERN_TARGET": "gatewaysync/plant", "POSTERN_REF": "v1.4.0", "POSTERN_TOKEN": secretToken,
		"GITHUB_OUTPUT": d.output, "FORBIDDEN": secretToken,
	}
	return d
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (d *delivering) path(name string) string { return filepath.Join(d.run.Programs, name) }

func (d *delivering) write(t *testing.T, program, text string) {
	t.Helper()
	if err := os.WriteFile(d.path(program), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// lines returns the lines of a file that curl or sleep has written.
func (d *delivering) lines(t *testing.T, name string) []string {
	t.Helper()
	content, err := os.ReadFile(d.path(name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(content))
}

// checkSecret fails the test if the token is in arguments, in files, or in what was printed.
func (d *delivering) checkSecret(t *testing.T, got script.Result) {
	t.Helper()
	if arguments := strings.Join(d.lines(t, "arguments"), " "); strings.Contains(arguments, secretToken) {
		t.Errorf("curl has the arguments %s", arguments)
	}
	if found := d.lines(t, "found"); len(found) > 0 {
		t.Errorf("the token is in the files %q", found)
	}
	if strings.Contains(strings.ReplaceAll(got.String(), "::add-mask::"+secretToken+"\n", ""), secretToken) {
		t.Errorf("the token is in the output: %s", got)
	}
	left, err := os.ReadDir(d.run.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("the script left %v, %v", left, err)
	}
}

// The script ends with the code of the outcome, and sends again exactly what may be answered otherwise then.
func TestDeliver_ExitCodes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answers []http.HandlerFunc
		env     map[string]string
		code    int
		phase   string
		// sleeps are the pauses, and so one less than the requests.
		sleeps []string
	}{
		"applied": {answers: []http.HandlerFunc{record("Applied", "")}, phase: "Applied"},
		"ignored": {answers: []http.HandlerFunc{record("Ignored", "no")}, code: script.Ignored, phase: "Ignored"},
		"superseded": {
			answers: []http.HandlerFunc{record("Superseded", "no")}, code: script.Superseded, phase: "Superseded",
		},
		"failed": {answers: []http.HandlerFunc{refusal(500)}, code: script.Failed, phase: "Failed"},
		"held":   {answers: []http.HandlerFunc{record("Held", "by")}, code: script.Held, phase: "Held"},
		"held, and released": {
			answers: []http.HandlerFunc{record("Held", "by"), record("Held", "by"), record("Applied", "")},
			env:     map[string]string{"POSTERN_ON_HELD": "wait"}, phase: "Applied", sleeps: []string{"1", "2"},
		},
		"held at the timeout": {
			answers: []http.HandlerFunc{record("Held", "by")},
			env:     map[string]string{"POSTERN_ON_HELD": "wait", "POSTERN_TIMEOUT": "1s"},
			code:    script.Held, phase: "Held",
		},
		"pending, and applied": {
			answers: []http.HandlerFunc{
				record("Pending", ""), record("Pending", ""), record("Pending", ""), record("Pending", ""),
				record("Pending", ""), record("Pending", ""), record("Applied", ""),
			},
			phase: "Applied", sleeps: []string{"1", "2", "4", "8", "15", "15"},
		},
		"pending, and failed": {
			answers: []http.HandlerFunc{record("Pending", ""), record("Failed", "")}, code: script.Failed,
			phase: "Failed", sleeps: []string{"1"},
		},
		"pending at the timeout": {
			answers: []http.HandlerFunc{record("Pending", "")}, env: map[string]string{"POSTERN_TIMEOUT": "1s"},
			code: script.Pending, phase: "Pending",
		},
		"unauthorized": {answers: []http.HandlerFunc{refusal(401)}, code: script.Refused},
		"forbidden":    {answers: []http.HandlerFunc{refusal(403)}, code: script.Refused},
		"not found":    {answers: []http.HandlerFunc{refusal(404)}, code: script.Refused},
		"bad request":  {answers: []http.HandlerFunc{refusal(400)}, code: script.Refused},
		"too many requests": {
			answers: []http.HandlerFunc{refusal(429, "Retry-After: 7"), record("Applied", "")}, phase: "Applied",
			sleeps: []string{"7"},
		},
		"unavailable": {
			answers: []http.HandlerFunc{refusal(503), refusal(502), refusal(504), record("Applied", "")},
			phase:   "Applied", sleeps: []string{"1", "2", "4"},
		},
		"no answer": {
			answers: []http.HandlerFunc{cutOff, cutOff, record("Applied", "")}, phase: "Applied",
			sleeps: []string{"1", "2"},
		},
		"unavailable for longer": {
			answers: []http.HandlerFunc{refusal(503, "Retry-After: 600")}, code: script.Pending,
		},
		"a page of a proxy": {answers: []http.HandlerFunc{answer(202, "<html>")}, code: script.Refused},
		"a redirect": {
			answers: []http.HandlerFunc{answer(307, "", "Location: /apis")}, code: script.Refused,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serveAnswers(t, test.answers...)
			d := newDelivering(t, server)
			maps.Copy(d.run.Env, test.env)
			got := d.run.Do(t)
			outputs := script.Outputs(t, d.output)
			if got.Code != test.code || outputs["phase"] != test.phase {
				t.Errorf("got %s and the phase %q, want %d and %q", got, outputs["phase"], test.code, test.phase)
			}
			if diff := cmp.Diff(test.sleeps, d.lines(t, "sleeps"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("pauses (-want +got):\n%s", diff)
			}
			checkRequests(t, server.requests, len(test.sleeps)+1)
			d.checkSecret(t, got)
		})
	}
}

// checkRequests fails the test unless all requests are one delivery.
func checkRequests(t *testing.T, requests []received, want int) {
	t.Helper()
	if len(requests) != want {
		t.Errorf("got %d requests, want %d", len(requests), want)
	}
	for _, got := range requests {
		if first := requests[0]; len(got.id) != 32 || got.id != first.id {
			t.Errorf("the requests have the ids %q and %q", got.id, first.id)
		}
		if got.path != "/apis/postern.dev/v1alpha1/namespaces/demo/gatewaysyncs/plant/webhookdeliveries" ||
			got.authorization != "Bearer "+secretToken || got.body["ref"] != "v1.4.0" {
			t.Errorf("got %+v", got)
		}
	}
}

// The arrow of a change is readable in a log that is printed as ASCII.
func TestDeliver_PrintsArrows(t *testing.T) {
	t.Parallel()
	server := serveAnswers(t, record("Applied", `stoker.io/requested-ref "v1.3.0" → "v1.4.0"`))
	got := newDelivering(t, server).run.Do(t)
	if want := `stoker.io/requested-ref "v1.3.0" -> "v1.4.0"`; !strings.Contains(got.Out, want) {
		t.Errorf("got %s, want %q", got, want)
	}
}

// Nothing is sent to a server that can't be verified, or without encryption.
func TestDeliver_SendsNothingToOthers(t *testing.T) {
	t.Parallel()
	server := serveAnswers(t, record("Applied", ""))
	for name, env := range map[string]map[string]string{
		"unknown CA":         {"POSTERN_CA": ""},
		"not encrypted":      {"POSTERN_SERVER": strings.Replace(server.URL, "https", "http", 1)},
		"password in URL":    {"POSTERN_SERVER": strings.Replace(server.URL, "://", "://user:password@", 1)},
		"query in URL":       {"POSTERN_SERVER": server.URL + "/?x="},
		"no token":           {"POSTERN_TOKEN": ""},
		"two lines of token": {"POSTERN_TOKEN": "a\nheader = b"},
		"token with quote":   {"POSTERN_TOKEN": `a" "b`},
		"no namespace":       {"POSTERN_NAMESPACE": ""},
		"other namespace":    {"POSTERN_NAMESPACE": "demo/../kube-system"},
		"other kind":         {"POSTERN_TARGET": "secret/plant"},
		"path as name":       {"POSTERN_TARGET": "gatewaysync/plant/redeliver"},
		"two requests":       {"POSTERN_IMAGE": "example/shop:1"},
		"no request":         {"POSTERN_REF": ""},
		"two lines of ref":   {"POSTERN_REF": "v1\nv2"},
		"token as ref":       {"POSTERN_REF": "v1-" + secretToken},
		"no repository":      {"POSTERN_TARGET": ""},
		"image without tag":  {"POSTERN_REF": "", "POSTERN_IMAGE": "registry.example.com:5000/shop"},
		"unknown timeout":    {"POSTERN_TIMEOUT": "soon"},
		"unknown reaction":   {"POSTERN_ON_HELD": "ignore"},
		"unknown verifier":   {"POSTERN_OIDC": "github"},
		"OIDC without rights": {
			"POSTERN_TOKEN": "", "POSTERN_OIDC": "cluster",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDelivering(t, server)
			maps.Copy(d.run.Env, env)
			got := d.run.Do(t)
			if got.Code != script.NotSent || !strings.HasPrefix(got.ErrOut, "postern: error: ") {
				t.Errorf("got %s, want %d", got, script.NotSent)
			}
			d.checkSecret(t, got)
		})
	}
	t.Cleanup(func() {
		if len(server.requests) > 0 {
			t.Errorf("got %+v", server.requests)
		}
	})
}

// What a server says can neither command a runner, nor set other outputs.
func TestDeliver_AnswersAreText(t *testing.T) {
	t.Parallel()
	server := serveAnswers(t, record("Ignored",
		"first\n::set-output name=x::y\r\nphase=Applied\n##[add-mask]v \x1b[2J\u202e%0A::x"))
	d := newDelivering(t, server)
	d.run.Env["GITHUB_ACTIONS"] = "true"
	got := d.run.Do(t)
	outputs := script.Outputs(t, d.output)
	if got.Code != script.Ignored || outputs["phase"] != "Ignored" || len(outputs) != 3 {
		t.Errorf("got %s and the outputs %q", got, outputs)
	}
	const command = "::error title=Postern::delivery generic-0a1b is Ignored: first ::set-output"
	for line := range strings.Lines(got.Out) {
		isOther := strings.HasPrefix(line, "::") && !strings.HasPrefix(line, "::add-mask::"+secretToken) &&
			!strings.HasPrefix(line, command)
		if isOther || strings.Contains(line, "##[") || strings.ContainsAny(line, "\r\x1b\u202e") {
			t.Errorf("the runner reads the line %q", line)
		}
	}
	if !strings.Contains(got.Out, "%250A") {
		t.Errorf("the runner unescapes %s", got.Out)
	}
	d.checkSecret(t, got)
}

// Inputs are neither run, nor part of another JSON value or of another setting of curl, in any shell.
func TestDeliver_InputsAreText(t *testing.T) {
	t.Parallel()
	hostile := `v1"; $(touch pwned) ` + "`touch pwned`" + ` ' \" \\ %s {a,b}[1-2] é`
	for _, shell := range script.Shells() {
		server := serveAnswers(t, record("Pending", ""), record("Applied", ""))
		d := newDelivering(t, server)
		d.run.Shell = shell
		for _, name := range []string{"POSTERN_REF", "POSTERN_REPOSITORY", "POSTERN_REVISION"} {
			d.run.Env[name] = hostile
		}
		if got := d.run.Do(t); got.Code != script.Applied || len(server.requests) != 2 {
			t.Fatalf("%s: got %s", shell, got)
		}
		want := map[string]any{"ref": hostile, "repository": hostile, "revision": hostile}
		if diff := cmp.Diff(want, server.requests[0].body); diff != "" {
			t.Errorf("%s: the body (-want +got):\n%s", shell, diff)
		}
	}
}

// The kinds of request go to their endpoints.
func TestDeliver_Images(t *testing.T) {
	t.Parallel()
	const digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for image, want := range map[string]map[string]any{
		"registry.example.com:5000/team/shop:1.4.0": {
			"registryUrl": "registry.example.com:5000", "repositoryName": "team/shop", "imageTag": "1.4.0",
		},
		"localhost/shop:1@" + digest: {
			"registryUrl": "localhost", "repositoryName": "shop", "imageTag": "1", "imageDigest": digest,
		},
		"example/shop:1": {"registryUrl": "docker.io", "repositoryName": "example/shop", "imageTag": "1"},
		"nginx:1":        {"registryUrl": "docker.io", "repositoryName": "library/nginx", "imageTag": "1"},
	} {
		server := serveAnswers(t, record("Applied", ""))
		d := newDelivering(t, server)
		d.run.Env["POSTERN_REF"], d.run.Env["POSTERN_TARGET"], d.run.Env["POSTERN_IMAGE"] = "", "", image
		if got := d.run.Do(t); got.Code != script.Applied || len(server.requests) != 1 {
			t.Fatalf("%s: got %s", image, got)
		}
		got := server.requests[0]
		if diff := cmp.Diff(want, got.body["data"]); diff != "" {
			t.Errorf("%s: the data (-want +got):\n%s", image, diff)
		}
		if got.body["id"] != got.id || got.contentType != "application/cloudevents+json" ||
			got.path != "/apis/postern.dev/v1alpha1/namespaces/demo/webhooksources/cloudevents/webhookdeliveries" {
			t.Errorf("%s: got %+v", image, got)
		}
	}
}

// In GitHub Actions the job fetches its token, which is masked before anything else is printed.
func TestDeliver_TokenOfGitHub(t *testing.T) {
	t.Parallel()
	for verifier, header := range map[string]string{"cluster": "Authorization", "postern": secretheader.IDToken} {
		var queries, credentials []string
		issuer := serveAnswers(t, func(rw http.ResponseWriter, req *http.Request) {
			queries = append(queries, req.URL.RawQuery)
			answer(200, `{"value": "`+secretToken+`", "count": 1}`)(rw, req)
		})
		server := serveAnswers(t, func(rw http.ResponseWriter, req *http.Request) {
			credentials = append(credentials, req.Header.Get(header))
			record("Applied", "")(rw, req)
		})
		d := newDelivering(t, server)
		maps.Copy(d.run.Env, map[string]string{
			"POSTERN_TOKEN": "", "POSTERN_OIDC": verifier, "POSTERN_AUDIENCE": "postern.example.com",
			"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": issuer.URL + "/token?api-version=2.0",
			"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runners-own", "CURL_CA_BUNDLE": writeFile(t, issuer.ca()),
		})
		got := d.run.Do(t)
		if got.Code != script.Applied || !strings.HasPrefix(got.Out, "::add-mask::"+secretToken+"\n") {
			t.Errorf("%s: got %s", verifier, got)
		}
		if !slices.Equal(queries, []string{"api-version=2.0&audience=postern.example.com"}) ||
			issuer.requests[0].authorization != "bearer runners-own" {
			t.Errorf("%s: the issuer got %q, %+v", verifier, queries, issuer.requests)
		}
		want := secretToken
		if verifier == "cluster" {
			want = "Bearer " + secretToken
		}
		if !slices.Equal(credentials, []string{want}) {
			t.Errorf("%s: the server got %q", verifier, credentials)
		}
		if arguments := strings.Join(d.lines(t, "arguments"), " "); strings.Contains(arguments, "runners-own") {
			t.Errorf("%s: curl has the arguments %s", verifier, arguments)
		}
		d.checkSecret(t, got)
	}
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
