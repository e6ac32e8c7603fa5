// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/controller"
)

func TestServer_RefusesForStorageBeforeBacklog(t *testing.T) {
	fine := func() error { return nil }
	room := func(string) (string, error) { return "", nil }
	full := func(string) (string, error) { return "Backlog", apierrors.NewTooManyRequests("full", 1) }
	broken := func() error { return errors.New("/secret/path is full") }
	for _, test := range []struct {
		name    string
		storage func() error
		backlog func(string) (string, error)
		want    string
	}{
		{"neither", fine, room, ""},
		{"a backlog", fine, full, "full"},
		{"a storage that is broken", broken, full,
			"the storage is unavailable, see Postern's log: send it again later"},
	} {
		got := ""
		if err := (Acceptance{StorageReady: test.storage, Backlog: test.backlog}).Check("demo"); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got error %q, want %q", test.name, got, test.want)
		}
	}
}

func TestHandlers_UnavailableRefusesDeliveriesNotReads(t *testing.T) {
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
		// A server-side apply may create a delivery; the pipeline checks that.
		{"a patch", genericapirequest.RequestInfo{APIGroup: postern.GroupName, Verb: "patch"}, ci, refusal,
			http.StatusOK},
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
			a := Acceptance{
				StorageReady: func() error { return nil },
				Backlog:      func(string) (string, error) { return controller.CausePending, test.err },
			}
			a.Filter(served).ServeHTTP(answer, req)
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

func TestHandlers_BrokenStorageRefusesWrites(t *testing.T) {
	broken := Acceptance{StorageReady: func() error { return errors.New("read-only") }}
	for verb, want := range map[string]int{
		"create": http.StatusServiceUnavailable, "update": http.StatusServiceUnavailable,
		"patch": http.StatusServiceUnavailable, "delete": http.StatusOK, "get": http.StatusOK,
	} {
		answer := httptest.NewRecorder()
		broken.Filter(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(answer,
			requestWith(genericapirequest.RequestInfo{APIGroup: postern.GroupName, Verb: verb}, 1))
		if answer.Code != want {
			t.Errorf("%s: got %d, want %d", verb, answer.Code, want)
		}
	}
}
