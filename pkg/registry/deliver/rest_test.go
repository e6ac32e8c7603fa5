// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
)

// answer is the response to a client.
type answer struct {
	Code                    int
	ContentType, RetryAfter string
	Body                    string
}

func (d *testEndpoint) request(t *testing.T, method, body string, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, d.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Retry-After"), string(got)}
}

func TestREST_PassesRequestUnchanged(t *testing.T) {
	d := newTestEndpoint(t)
	d.request(t, http.MethodPost, "{ }\n", http.Header{"X-Github-Event": {"push"}, "User-Agent": {"GitHub-Hookshot/1"}})

	want := &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo"}}
	want.Spec.Target = &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: "plant"}
	if diff := cmp.Diff(want, d.deliverer.delivered); diff != "" {
		t.Errorf("delivery (-want +got):\n%s", diff)
	}
	in := d.deliverer.in
	got := []string{in.Header.Get("X-GitHub-Event"), in.Header.Get("User-Agent"), string(in.Body), in.QuerySecret,
		in.User.GetName()}
	if diff := cmp.Diff([]string{"push", "GitHub-Hookshot/1", "{ }\n", "s3cret", "ci"}, got); diff != "" {
		t.Errorf("incoming (-want +got):\n%s", diff)
	}
}

// The delivery has been executed by then, and after a 406 the sender would repeat it.
func TestREST_AnswerIsJSON(t *testing.T) {
	for _, accept := range []string{
		"", "*/*", "text/plain", "application/yaml", "application/json;as=Table;v=v1;g=meta.k8s.io",
	} {
		d := newTestEndpoint(t)
		got := d.request(t, http.MethodPost, "{}", http.Header{"Accept": {accept}})
		want := answer{Code: http.StatusAccepted, ContentType: "application/json",
			Body: `{"kind":"WebhookDelivery","apiVersion":"postern.dev/v1alpha1",` +
				`"metadata":{"name":"generic-x","namespace":"demo"},` +
				`"spec":{"target":{"kind":"GatewaySync","name":"plant"},"events":[]},` +
				`"status":{"phase":"Applied"}}` + "\n"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("accepting %q (-want +got):\n%s", accept, diff)
		}
	}
}

func TestREST_ErrorsAreStatus(t *testing.T) {
	unavailable := apierrors.NewServiceUnavailable("send it again")
	unavailable.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 7}
	for name, test := range map[string]struct {
		err        error
		code       int
		reason     metav1.StatusReason
		retryAfter string
	}{
		"may pass":     {unavailable, http.StatusServiceUnavailable, "ServiceUnavailable", "7"},
		"too many":     {apierrors.NewTooManyRequests("wait", 3), http.StatusTooManyRequests, "TooManyRequests", "3"},
		"unauthorized": {apierrors.NewUnauthorized("no"), http.StatusUnauthorized, "Unauthorized", ""},
		"not found": {apierrors.NewNotFound(postern.Resource("gatewaysyncs"), "plant"), http.StatusNotFound,
			"NotFound", ""},
		"any": {errors.New("broken"), http.StatusInternalServerError, "", ""},
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			t.Run(name+" of a "+method, func(t *testing.T) {
				d := newTestEndpoint(t)
				d.deliverer.err, d.lister.err = test.err, test.err
				got := d.request(t, method, "", http.Header{"Accept": {"text/plain"}})
				var status metav1.Status
				if err := json.Unmarshal([]byte(got.Body), &status); err != nil {
					t.Fatalf("%v: %q", err, got.Body)
				}
				if got.Code != test.code || got.RetryAfter != test.retryAfter || got.ContentType != "application/json" {
					t.Errorf("got %+v, want %d, Retry-After %q, JSON", got, test.code, test.retryAfter)
				}
				if int(status.Code) != test.code || status.Reason != test.reason || status.Kind != "Status" ||
					status.APIVersion != "v1" {
					t.Errorf("got the status %+v, want %d %s", status, test.code, test.reason)
				}
			})
		}
	}
}

func TestREST_EncodingErrorIsInternal(t *testing.T) {
	w := httptest.NewRecorder()
	writeResponse(w, brokenEncoder{}, http.StatusAccepted, &postern.WebhookDelivery{}, nil)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("got %d, want 500: %s", w.Code, w.Body)
	}
}

type brokenEncoder struct{ runtime.Encoder }

func (brokenEncoder) Encode(_ runtime.Object, w io.Writer) error {
	_, _ = io.WriteString(w, `{"kind":`)
	return errors.New("broken")
}

func TestREST_GETListsDeliveriesOfTarget(t *testing.T) {
	d := newTestEndpoint(t)
	got := d.request(t, http.MethodGet, "", http.Header{})
	want := answer{Code: http.StatusOK, ContentType: "application/json",
		Body: `{"kind":"WebhookDeliveryList","apiVersion":"postern.dev/v1alpha1","metadata":{},` +
			`"items":[{"metadata":{"name":"github-x","namespace":"demo"},"spec":{"events":[]},"status":{}}]}` + "\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	if want := "spec.target.kind=GatewaySync,spec.target.name=plant"; d.lister.selector != want {
		t.Errorf("selected by %q, want %q", d.lister.selector, want)
	}
	if d.deliverer.called {
		t.Error("a GET delivered something")
	}
}

// The type in the path is the source regardless of the payload. Only what was pushed determines the targets.
func TestREST_SourceEndpoint(t *testing.T) {
	d := newTestEndpointTo(t, SourceAddress([]string{"github", "quay.io"}), "quay.io")
	withRegistry := *d
	withRegistry.url += "?registry_url=registry.example.com"
	if got := withRegistry.request(t, http.MethodPost, "{}", http.Header{}).Code; got != http.StatusAccepted {
		t.Errorf("got %d, want 202", got)
	}
	want := &postern.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo"},
		Spec: postern.WebhookDeliverySpec{Source: "quay.io"}}
	if diff := cmp.Diff(want, d.deliverer.delivered); diff != "" {
		t.Errorf("delivery (-want +got):\n%s", diff)
	}
	if got := d.deliverer.in.RegistryURL; got != "registry.example.com" {
		t.Errorf("delivered with the registry %q", got)
	}

	if got := d.request(t, http.MethodGet, "", http.Header{}).Code; got != http.StatusOK {
		t.Errorf("a GET got %d, want 200", got)
	}
	if want := "spec.source=quay.io"; d.lister.selector != want {
		t.Errorf("selected by %q, want %q", d.lister.selector, want)
	}
}

func TestREST_UnknownSource(t *testing.T) {
	storage := NewREST(Config{Address: SourceAddress([]string{"github", "quay.io"})})
	_, err := storage.Connect(genericapirequest.WithNamespace(t.Context(), "demo"), "quay", nil, nil)
	if !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), `webhooksources.postern.dev "quay" not found`) {
		t.Errorf("got %v, want a not found error", err)
	}
}

// A sender with a wrong start of the query has put the secret into the path.
func TestREST_InvalidSourceIsNotQuoted(t *testing.T) {
	for _, name := range []string{"docker.io&secret=hunter2", "docker.io?secret=hunter2", "docker.io;secret=hunter2"} {
		_, err := NewREST(Config{Address: SourceAddress([]string{"docker.io"})}).Connect(
			genericapirequest.WithNamespace(t.Context(), "demo"), name, nil, nil)
		var answer apierrors.APIStatus
		if !errors.As(err, &answer) || !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), "as in ?secret=") {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		status := answer.Status()
		if text := status.String(); strings.Contains(text, "hunter2") {
			t.Errorf("%s: the secret is in the response: %s", name, text)
		}
	}
}

// Without a namespace, deliveries of all namespaces would be listed.
func TestREST_NeedsNamespace(t *testing.T) {
	if _, err := NewREST(Config{}).Connect(t.Context(), "plant", nil, nil); !apierrors.IsInternalError(err) {
		t.Errorf("got %v, want an internal error", err)
	}
}

func TestREST_POSTAndGETOnly(t *testing.T) {
	if diff := cmp.Diff([]string{"POST", "GET"}, NewREST(Config{}).ConnectMethods()); diff != "" {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
}
