// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/controller"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/registry/deliver"
)

func TestASecretInTheQueryIsMovedOutOfSight(t *testing.T) {
	const warning = `299 - "the secret in the query of this URL can be read in the cluster's audit log: ` +
		`use a header, a signature or a ServiceAccount token if the sender can"`
	type seen struct{ URI, Secret, Warning string }
	for query, want := range map[string]seen{
		"":                                      {"/apis", "", ""},
		"?a=1&b=%20":                            {"/apis?a=1&b=%20", "", ""},
		"?my-secret=1&labelSelector=secret":     {"/apis?my-secret=1&labelSelector=secret", "", ""},
		"?secret=s3cret":                        {"/apis", "s3cret", warning},
		"?b=%20&secret=s3cret&a=1":              {"/apis?b=%20&a=1", "s3cret", warning},
		"?secret=s3cret&a=1&secret=s3cret-too":  {"/apis?a=1", "s3cret", warning},
		"?secret=a%20s3cret%2B":                 {"/apis", "a s3cret+", warning},
		"?s%65cret=s3cret":                      {"/apis", "s3cret", warning},
		"?secret=":                              {"/apis", "", warning},
		"?secret":                               {"/apis", "", warning},
		"?a=1&secret=s3cret%":                   {"/apis?a=1", "", warning},
		"?a=%&secret=s3cret;b":                  {"/apis?a=%", "s3cret;b", warning},
		"?dryRun=All&secret=s3cret&timeout=10s": {"/apis?dryRun=All&timeout=10s", "s3cret", warning},
	} {
		t.Run(query, func(t *testing.T) {
			var got seen
			handler := deliver.WithoutQuerySecret(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				got = seen{URI: req.URL.String(), Secret: delivery.QuerySecretFrom(req.Context())}
				if req.RequestURI != got.URI {
					t.Errorf("the request URI is %q, the URL %q", req.RequestURI, got.URI)
				}
				// Tracing, logging and panics may print any of these.
				if text := fmt.Sprint(req.URL, req.RequestURI, req.Header, req.Form); strings.Contains(text, "s3cret") {
					t.Errorf("the secret is visible: %s", text)
				}
			}), querySecretWarning)
			req := httptest.NewRequest(http.MethodPost, "/apis"+query, nil)
			req.Header.Set("X-Forwarded-Uri", "/apis"+query)
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, req)
			got.Warning = answer.Header().Get("Warning")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("seen (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeliveriesAreRefusedWhileNoneCanBeTakenAndReadsAreNot(t *testing.T) {
	refusal := apierrors.NewTooManyRequests("later", 9)
	ci, anonymous := &user.DefaultInfo{Name: "ci", Groups: []string{user.AllAuthenticated}},
		&user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}
	for _, test := range []struct {
		name string
		info genericapirequest.RequestInfo
		user user.Info
		err  error
		want int
	}{
		{"an object", genericapirequest.RequestInfo{APIGroup: postern.GroupName, Verb: "create"}, ci, refusal,
			http.StatusTooManyRequests},
		{"a payload", genericapirequest.RequestInfo{
			APIGroup: postern.GroupName, Verb: "create", Subresource: "webhookdeliveries",
		}, ci, refusal, http.StatusTooManyRequests},
		// The response would reveal that the namespace exists and has a backlog. Authenticated senders may know.
		{"a payload of an unauthenticated sender", genericapirequest.RequestInfo{
			APIGroup: postern.GroupName, Verb: "create", Subresource: "webhookdeliveries",
		}, anonymous, refusal, http.StatusOK},
		{"a list", genericapirequest.RequestInfo{APIGroup: postern.GroupName, Verb: "list"}, ci, refusal,
			http.StatusOK},
		{"a deletion", genericapirequest.RequestInfo{APIGroup: postern.GroupName, Verb: "delete"}, ci, refusal,
			http.StatusOK},
		{"a probe", genericapirequest.RequestInfo{Verb: "get"}, ci, refusal, http.StatusOK},
		{"an object that is accepted", genericapirequest.RequestInfo{APIGroup: postern.GroupName, Verb: "create"}, ci,
			nil, http.StatusOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			served := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			answer := httptest.NewRecorder()
			req := requestWith(test.info, 1)
			req = req.WithContext(genericapirequest.WithUser(req.Context(), test.user))
			c := ExtraConfig{
				StorageReady: func() error { return nil },
				Backlog:      func(string) (string, error) { return controller.CausePending, test.err },
			}
			c.withAcceptCheck(served).ServeHTTP(answer, req)
			if answer.Code != test.want {
				t.Fatalf("got %d, want %d", answer.Code, test.want)
			}
			if test.want == http.StatusOK {
				return
			}
			mustAnswerTooManyRequests(t, answer, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests,
				"later")
			if got := answer.Header().Get("Retry-After"); got != "9" {
				t.Errorf("got Retry-After %q, want 9", got)
			}
		})
	}
}

func TestAServerThatStopsEndsConnectionsWithAnAnswer(t *testing.T) {
	var stopping atomic.Bool
	answered := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	server := httptest.NewServer(withConnectionClose(answered, &stopping))
	defer server.Close()
	for _, want := range []bool{false, true} {
		stopping.Store(want)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		got, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		if got.StatusCode != http.StatusAccepted || got.Close != want {
			t.Errorf("stopping: %t: got %d, connection closed: %t", want, got.StatusCode, got.Close)
		}
	}
}
