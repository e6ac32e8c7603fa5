// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"postern.dev/postern/test/testcluster"
)

// directly returns a sender to Postern's own port, without the kube-apiserver.
func (w *world) directly(token string) sender {
	w.T.Helper()
	config := rest.AnonymousClientConfig(w.postern.DirectConfig())
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		w.T.Fatal(err)
	}
	return sender{Sender: testcluster.Sender{
		Client: client, Base: config.Host + testcluster.NamespacePath(w.Namespace), Token: token,
	}}
}

// Only the kube-apiserver, authenticated by its certificate, can use the API on Postern's own port. A token that may
// deliver, the kube-apiserver's user headers, and the administrator's certificate do not give access.
func TestDirectCallers_AreRefused(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	vouched := map[string]string{"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
	before := w.Get(gatewaySyncs, "web")

	for name, direct := range map[string]sender{"anonymous": w.directly(""), "a sender": w.directly(releaser.Token)} {
		for _, header := range []map[string]string{nil, vouched} {
			status := direct.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, header,
				http.StatusForbidden).status(t)
			if !strings.Contains(status.Message, "send the request to the kube-apiserver") {
				t.Errorf("%s: the answer is %q", name, status.Message)
			}
		}
	}
	if got, err := w.direct(t.Context(), "/apis/postern.dev/v1alpha1/webhookdeliveries"); err != nil ||
		got.code != http.StatusForbidden {
		t.Errorf("the administrator's certificate: got %d, %v: %s", got.code, err, got.body)
	}
	w.mustBeUntouched(gatewaySyncs, before)
}

func TestDirectCallers_RBACAppliesHeadersDoNot(t *testing.T) {
	w := newSuite(t, "--allow-direct-callers").newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	_, token := w.serviceAccount("other")
	vouched := map[string]string{"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}

	other := w.directly(token)
	other.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusForbidden)
	other.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, vouched, http.StatusForbidden)
	w.directly("").mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, vouched, http.StatusUnauthorized)
	if got := w.annotations(gatewaySyncs, "web"); len(got) > 0 {
		t.Errorf("a caller that may not deliver wrote %v", got)
	}

	w.directly(releaser.Token).mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusAccepted)
	w.checkRequested("web", "v1", "generic")
}

// reviews returns the number of TokenReviews and SubjectAccessReviews that the kube-apiserver has answered.
func (w *world) reviews() float64 {
	w.T.Helper()
	requests := w.apiServerMetrics("apiserver_request_total{")
	return requests.Sum(`resource="tokenreviews"`) + requests.Sum(`resource="subjectaccessreviews"`)
}

// The kube-apiserver's metrics count the reviews.
func TestDirectCallers_ReviewsAreLimited(t *testing.T) {
	const perSecond, requests = 4, 200
	w := newSuite(t, fmt.Sprintf("--direct-requests-per-second=%d", perSecond)).newWorld(t)
	w.gatewaySync("web")
	_, prometheus := w.serviceAccount("prometheus")
	w.bindMetricsReader()
	w.eventually(func() error {
		_, code := w.scrape(prometheus)
		return wantMetric("code of a scrape", float64(code), http.StatusOK)
	})
	base, _, _ := strings.Cut(w.directly("").Base, "apis/")
	send := func(path, token string) int {
		s := w.directly(token)
		s.Base = base
		got, err := s.send(t.Context(), http.MethodGet, path, http.NoBody, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.code
	}
	group := func(i int) string {
		return fmt.Sprintf("apis/postern.dev/v1alpha1/namespaces/x%d/gatewaysyncs/y/webhookdeliveries", i)
	}
	for name, test := range map[string]struct {
		path  func(int) string
		token func(int) string
		codes []int
		free  bool
	}{
		"the API, anonymous":        {group, noToken, []int{http.StatusForbidden}, true},
		"the API, a new token each": {group, anyToken, []int{http.StatusForbidden}, true},
		"probes, a new token each":  {constantly("readyz"), anyToken, []int{http.StatusOK}, true},
		"below probes, anonymous": {func(i int) string {
			return fmt.Sprintf("livez/x%d", i)
		}, noToken, []int{http.StatusUnauthorized}, true},
		"metrics, anonymous": {constantly("metrics"), noToken, []int{http.StatusUnauthorized}, true},
		"metrics, a new token each": {constantly("metrics"), anyToken,
			[]int{http.StatusUnauthorized, http.StatusTooManyRequests}, false},
		"a new path and token each": {func(i int) string {
			return fmt.Sprintf("x%d", i)
		}, anyToken, []int{http.StatusUnauthorized, http.StatusTooManyRequests}, false},
		"a new path each, a valid token": {func(i int) string {
			return fmt.Sprintf("x%d", i)
		}, constantly(prometheus), []int{http.StatusForbidden, http.StatusTooManyRequests}, false},
	} {
		t.Run(name, func(t *testing.T) {
			before, began := w.reviews(), time.Now()
			for i := range requests {
				if code := send(test.path(i), test.token(i)); !slices.Contains(test.codes, code) {
					t.Fatalf("request %d: got %d, want one of %v", i, code, test.codes)
				}
			}
			// The kube-apiserver's own discovery requests are reviewed occasionally.
			made, most := w.reviews()-before, requests/20.0
			if !test.free { // a request causes at most a TokenReview and a SubjectAccessReview
				most += 2 * (2*perSecond + perSecond*time.Since(began).Seconds())
			}
			if made > most {
				t.Errorf("%d requests caused %.0f reviews, want at most %.0f", requests, made, most)
			}
		})
	}
	t.Run("Prometheus scrapes meanwhile", func(t *testing.T) {
		for i := range requests {
			send("metrics", anyToken(-i))
		}
		if _, code := w.scrape(prometheus); code != http.StatusOK {
			t.Errorf("Prometheus gets %d during the requests with tokens", code)
		}
	})
}

func noToken(int) string { return "" }

func anyToken(i int) string { return fmt.Sprintf("token-%d", i) }

func constantly(value string) func(int) string { return func(int) string { return value } }
