// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

var (
	authenticatesJane = fakeAuthenticator{&user.DefaultInfo{Name: "jane", Groups: []string{user.AllAuthenticated}},
		nil}
	authenticationFails = fakeAuthenticator{nil, errors.New("a certificate of another authority")}
)

// fakeAuthenticator authenticates all requests the same way.
type fakeAuthenticator struct {
	user user.Info
	err  error
}

func (b fakeAuthenticator) AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error) {
	return &authenticator.Response{User: b.user}, b.user != nil, b.err
}

func TestFrontProxy_MarksOnlyRelayedUsers(t *testing.T) {
	for name, test := range map[string]struct {
		caller *caller
		direct fakeAuthenticator
		want   string
		marked bool
	}{
		"by the front proxy":    {&caller{frontProxy: frontProxyResponse("jane")}, authenticationFails, "jane", true},
		"by a token of its own": {&caller{}, authenticatesJane, "jane", false},
		"at an open path":       {&caller{openPath: true}, authenticationFails, user.Anonymous, false},
		"past the filter":       {nil, authenticatesJane, "jane", false},
	} {
		req := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		req = req.WithContext(context.WithValue(req.Context(), callerKey{}, test.caller))
		response, ok, err := (&callerAuthenticator{direct: test.direct}).AuthenticateRequest(req)
		if !ok || err != nil || response.User.GetName() != test.want {
			t.Fatalf("%s: got %v, %t, %v", name, response, ok, err)
		}
		if _, marked := response.User.(frontProxyUser); marked != test.marked {
			t.Errorf("%s: marked is %t, want %t", name, marked, test.marked)
		}
	}
}

func frontProxyResponse(name string) *authenticator.Response {
	return &authenticator.Response{User: frontProxyUser{&user.DefaultInfo{Name: name}}}
}

// denyAll denies everything and counts the calls.
type denyAll struct{ authorizer.Authorizer }

func (denyAll) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", nil
}

// allowAll allows everything and counts the calls.
type allowAll struct {
	authorizer.Authorizer
	asked int
}

func (a *allowAll) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	a.asked++
	return authorizer.DecisionAllow, "", nil
}

func TestFrontProxy_SkipsReviewForOwnAPIOnly(t *testing.T) {
	direct := authenticatesJane.user
	relayed := frontProxyUser{direct}
	ours := authorizer.AttributesRecord{User: relayed, Verb: "create", APIGroup: "postern.dev",
		Resource: "webhookdeliveries", ResourceRequest: true}
	for name, test := range map[string]struct {
		change func(*authorizer.AttributesRecord)
		want   authorizer.Decision
	}{
		"relayed": {func(*authorizer.AttributesRecord) {}, authorizer.DecisionAllow},
		"direct":  {func(a *authorizer.AttributesRecord) { a.User = direct }, authorizer.DecisionDeny},
		"of a server-side apply that creates": {
			func(a *authorizer.AttributesRecord) { a.Verb = "patch" }, authorizer.DecisionDeny},
		"of another object":    {func(a *authorizer.AttributesRecord) { a.Name = "b" }, authorizer.DecisionDeny},
		"of another namespace": {func(a *authorizer.AttributesRecord) { a.Namespace = "b" }, authorizer.DecisionDeny},
		"of a subresource": {
			func(a *authorizer.AttributesRecord) { a.Subresource = "redeliver" }, authorizer.DecisionDeny},
		"of another group": {func(a *authorizer.AttributesRecord) { a.APIGroup = "" }, authorizer.DecisionDeny},
		"to impersonate": {
			func(a *authorizer.AttributesRecord) { a.APIGroup, a.Resource = "authentication.k8s.io", "uids" },
			authorizer.DecisionDeny},
		"a path, as metrics": {func(a *authorizer.AttributesRecord) {
			*a = authorizer.AttributesRecord{User: relayed, Verb: "get", Path: "/metrics", APIGroup: "postern.dev"}
		}, authorizer.DecisionDeny},
	} {
		attributes := ours
		test.change(&attributes)
		ctx := genericapirequest.WithRequestInfo(t.Context(), &genericapirequest.RequestInfo{
			Verb: "create", Resource: "webhookdeliveries"})
		got, _, err := (&callerAuthorizer{denyAll{}, true}).Authorize(ctx, attributes)
		if err != nil || got != test.want {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, test.want)
		}
		kubeAPIServer := &allowAll{}
		_, _, err = (&callerAuthorizer{kubeAPIServer, false}).Authorize(ctx, attributes)
		isRelayed := attributes.User == user.Info(relayed)
		if asked := kubeAPIServer.asked > 0; err != nil || isRelayed &&
			asked == (test.want == authorizer.DecisionAllow) {
			t.Errorf("%s: the kube-apiserver was asked: %t, %v", name, asked, err)
		}
	}
}

// callerFilter has rejected the request. If it did not, RBAC must still not be asked.
func TestFrontProxy_RefusesDirectCallers(t *testing.T) {
	attributes := authorizer.AttributesRecord{
		User: authenticatesJane.user, Verb: "create", APIGroup: "postern.dev", Resource: "webhookdeliveries",
		ResourceRequest: true,
	}
	for allowed, want := range map[bool]struct {
		decision authorizer.Decision
		asked    int
	}{
		false: {authorizer.DecisionDeny, 0},
		true:  {authorizer.DecisionAllow, 1},
	} {
		kubeAPIServer := &allowAll{}
		got, _, err := (&callerAuthorizer{kubeAPIServer, allowed}).Authorize(t.Context(), attributes)
		if err != nil || got != want.decision || kubeAPIServer.asked != want.asked {
			t.Errorf("allowed %t: got %v, %v, asked %d times; want %v", allowed, got, err, kubeAPIServer.asked, want)
		}
	}
}

// fakeCA is a CA that may not be loaded yet.
type fakeCA struct {
	dynamiccertificates.CAContentProvider
	loaded atomic.Bool
}

func (f *fakeCA) VerifyOptions() (x509.VerifyOptions, bool) {
	return x509.VerifyOptions{}, f.loaded.Load()
}

func TestFrontProxy_NoAnonymousCallersDuringStart(t *testing.T) {
	ca := &fakeCA{}
	config := &authenticatorfactory.RequestHeaderConfig{CAContentProvider: ca}
	served := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, test := range []struct {
		loaded bool
		config *authenticatorfactory.RequestHeaderConfig
		path   string
		code   int
		retry  string
	}{
		{false, config, "/apis/postern.dev/v1alpha1", http.StatusServiceUnavailable, "5"},
		{false, config, "/readyz", http.StatusTeapot, ""},
		{false, config, "/livez/ping", http.StatusTeapot, ""},
		{true, config, "/apis/postern.dev/v1alpha1", http.StatusTeapot, ""},
		{false, nil, "/apis/postern.dev/v1alpha1", http.StatusTeapot, ""},
	} {
		ca.loaded.Store(test.loaded)
		w := httptest.NewRecorder()
		withRequestHeaderReady(served, test.config, time.Millisecond).ServeHTTP(w,
			httptest.NewRequest(http.MethodPost, test.path, http.NoBody))
		if got := w.Header().Get("Retry-After"); w.Code != test.code || got != test.retry {
			t.Errorf("%s, loaded: %t: got %d with Retry-After %q, want %d with %q", test.path, test.loaded, w.Code, got,
				test.code, test.retry)
		}
		if err := requestHeaderCheck(test.config).Check(nil); (err == nil) != (test.loaded || test.config == nil) {
			t.Errorf("loaded: %t: readiness %v", test.loaded, err)
		}
	}
}

func TestFrontProxy_FewRequestsWaitForStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := &fakeCA{}
		config := &authenticatorfactory.RequestHeaderConfig{CAContentProvider: ca}
		served := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		handler := withRequestHeaderReady(served, config, time.Hour)
		send := func() int {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/apis/postern.dev/v1alpha1", http.NoBody))
			return w.Code
		}
		var waiting sync.WaitGroup
		for range maxWaitingForCA {
			waiting.Go(func() {
				if code := send(); code != http.StatusOK {
					t.Errorf("a request that waited was answered %d", code)
				}
			})
		}
		synctest.Wait()
		if code := send(); code != http.StatusServiceUnavailable {
			t.Errorf("one request too many was answered %d, want 503 at once", code)
		}
		ca.loaded.Store(true)
		waiting.Wait()
	})
}

func TestFrontProxy_RequestsWaitForStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := &fakeCA{}
		config := &authenticatorfactory.RequestHeaderConfig{CAContentProvider: ca}
		served := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		w := httptest.NewRecorder()
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			withRequestHeaderReady(served, config, time.Hour).ServeHTTP(w,
				httptest.NewRequest(http.MethodPost, "/apis/postern.dev/v1alpha1", http.NoBody))
		}()
		synctest.Wait()
		select {
		case <-answered:
			t.Fatalf("the request was answered %d before the CA was loaded", w.Code)
		default:
		}
		ca.loaded.Store(true)
		<-answered
		if w.Code != http.StatusTeapot {
			t.Errorf("the request was answered %d, want %d", w.Code, http.StatusTeapot)
		}
	})
}
