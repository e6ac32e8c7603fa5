// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// fakeAPIServer is a kube-apiserver for one object. The real one can't be made to fail on demand. It applies JSON
// patches with the same library, and gives answers observed from a real one.
type fakeAPIServer struct {
	*httptest.Server
	// before is called ahead of the nth request of a method, counted from 1. It may change the object. If it returns an
	// answer, that is given instead.
	before func(api *fakeAPIServer, method string, n int) *answer
	// refuse validates the result of a patch.
	refuse func(after string) *answer

	// events are sent to the watchers of a list, by its path.
	events map[string]chan string

	mu       sync.Mutex
	path     string // of the object
	object   string
	items    map[string]*answer // of lists, by path; an answer with a code is a failure, no answer a missing kind
	counts   map[string]int
	requests []string // method and query, without lists and watches
	listed   int      // how often the objects of one namespace were listed
}

// answer is an answer of the API server. An answer without a code breaks the connection.
type answer struct {
	code   int
	status metav1.Status
	header http.Header
	text   string
}

// The answers of a real kube-apiserver.
var (
	testFailed = &answer{code: 422, status: metav1.Status{Reason: "Invalid",
		Message: "the server rejected our request due to an error in our request", Details: &metav1.StatusDetails{}}}
	invalid = &answer{code: 422, status: metav1.Status{Reason: "Invalid",
		Message: `Application.argoproj.io "x" is invalid`, Details: &metav1.StatusDetails{Name: "x",
			Kind: "Application"}}}
	noObject = &answer{code: 404, status: metav1.Status{Reason: "NotFound",
		Message: `gatewaysyncs.stoker.io "plant" not found`, Details: &metav1.StatusDetails{Name: "plant",
			Kind: "gatewaysyncs"}}}
	noKind    = &answer{code: 404, text: "404 page not found\n"}
	forbidden = &answer{code: 403, status: metav1.Status{Reason: "Forbidden",
		Message: "gatewaysyncs.stoker.io is forbidden", Details: &metav1.StatusDetails{Kind: "gatewaysyncs"}}}
	conflict = &answer{code: 409, status: metav1.Status{Reason: "Conflict",
		Message: "the object has been modified", Details: &metav1.StatusDetails{Name: "plant"}}}
	tooMany = &answer{code: 429, text: "Too many requests, please try again later.",
		header: http.Header{"Retry-After": {"7"}}}
	unavailable = &answer{code: 503, text: "apiserver is shutting down"}
	broken      = &answer{}
)

// The lists by path: group and version, and kind.
const (
	gatewaySyncs    = "/apis/stoker.io/v1alpha1/gatewaysyncs"
	applications    = "/apis/argoproj.io/v1alpha1/applications"
	applicationSets = "/apis/argoproj.io/v1alpha1/applicationsets"
	imageUpdaters   = "/apis/argocd-image-updater.argoproj.io/v1alpha1/imageupdaters"
)

var lists = map[string][2]string{
	gatewaySyncs:    {"stoker.io/v1alpha1", "GatewaySyncList"},
	applications:    {"argoproj.io/v1alpha1", "ApplicationList"},
	applicationSets: {"argoproj.io/v1alpha1", "ApplicationSetList"},
	imageUpdaters:   {"argocd-image-updater.argoproj.io/v1alpha1", "ImageUpdaterList"},
}

// newFakeAPIServer serves a GatewaySync demo/plant until the test ends.
func newFakeAPIServer(t testing.TB, object string) *fakeAPIServer {
	api := &fakeAPIServer{
		path:   "/apis/stoker.io/v1alpha1/namespaces/demo/gatewaysyncs/plant",
		object: object,
		items:  map[string]*answer{},
		counts: map[string]int{},
		events: map[string]chan string{},
	}
	for path := range lists {
		api.events[path] = make(chan string)
	}
	api.Server = httptest.NewServer(api)
	t.Cleanup(api.Close)
	return api
}

func (f *fakeAPIServer) config() *rest.Config {
	return &rest.Config{Host: f.URL}
}

// serve makes a list answer with these items, or fail. Until then the kind is missing.
func (f *fakeAPIServer) serve(path string, items *answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items[path] = items
}

// seen returns the requests that were received and the current object.
func (f *fakeAPIServer) seen() (requests []string, object string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests), f.object
}

// set replaces the object, as another client would.
func (f *fakeAPIServer) set(object string) {
	f.object = object
}

func (f *fakeAPIServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path, namespaced := namespacedList(r.URL.Path); namespaced || !strings.Contains(r.URL.Path, "/namespaces/") {
		if namespaced {
			f.mu.Lock()
			f.listed++
			f.mu.Unlock()
		}
		f.follow(w, r, path)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[r.Method]++
	f.requests = append(f.requests, strings.TrimRight(r.Method+" "+r.URL.RawQuery, " "))
	if f.before != nil {
		if instead := f.before(f, r.Method, f.counts[r.Method]); instead != nil {
			instead.write(w)
			return
		}
	}
	switch {
	case r.URL.Path != f.path:
		noKind.write(w)
	case r.Method == http.MethodGet:
		writeJSON(w, f.object)
	case r.Method == http.MethodPatch && r.Header.Get("Content-Type") == "application/json-patch+json":
		after, err := f.patched(body)
		if err != nil {
			testFailed.write(w)
			return
		}
		if f.refuse != nil {
			if instead := f.refuse(after); instead != nil {
				instead.write(w)
				return
			}
		}
		if r.URL.Query().Get("dryRun") != metav1.DryRunAll {
			f.object = after
		}
		writeJSON(w, after)
	default:
		(&answer{code: http.StatusMethodNotAllowed}).write(w)
	}
}

// namespacedList returns the path of a list in all namespaces for the path of a list in one namespace.
func namespacedList(path string) (all string, namespaced bool) {
	before, after, found := strings.Cut(path, "/namespaces/")
	parts := strings.Split(after, "/")
	if !found || len(parts) != 2 {
		return path, false
	}
	return before + "/" + parts[1], true
}

// follow answers a list or a watch of the objects at a path.
func (f *fakeAPIServer) follow(w http.ResponseWriter, r *http.Request, path string) {
	f.mu.Lock()
	items := f.items[path]
	f.mu.Unlock()
	switch {
	case items == nil:
		noKind.write(w)
	case items.code != 0:
		items.write(w)
	case r.URL.Query().Get("sendInitialEvents") == "true":
		(&answer{code: http.StatusBadRequest}).write(w) // the client falls back to a list
	case r.URL.Query().Get("watch") == "":
		list := lists[path]
		writeJSON(w, fmt.Sprintf(`{"apiVersion": %q, "kind": %q, "metadata": {"resourceVersion": "1"}, "items": [%s]}`,
			list[0], list[1], items.text))
	default:
		w.Header().Set("Content-Type", "application/json")
		for {
			w.(http.Flusher).Flush()
			select {
			case event := <-f.events[path]:
				fmt.Fprintln(w, event)
			case <-r.Context().Done():
				return
			}
		}
	}
}

func (f *fakeAPIServer) patched(body []byte) (string, error) {
	var patch []operation
	if err := json.Unmarshal(body, &patch); err != nil {
		return "", err
	}
	version := strconv.Itoa(100 + f.counts[http.MethodPatch])
	return apply(f.object, append(patch, operation{Op: "add", Path: "/metadata/resourceVersion", Value: version}))
}

func (a *answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	switch {
	case a.code == 0:
		panic(http.ErrAbortHandler)
	case a.text != "":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(a.code)
		fmt.Fprint(w, a.text)
	default:
		status := a.status
		status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		status.Status, status.Code = metav1.StatusFailure, int32(a.code)
		encoded, _ := json.Marshal(status)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.code)
		fmt.Fprintf(w, "%s", encoded)
	}
}

func writeJSON(w http.ResponseWriter, object string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, object)
}
