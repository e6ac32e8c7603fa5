// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

var (
	believed = believer{&user.DefaultInfo{Name: "jane", Groups: []string{user.AllAuthenticated}}, nil}
	broken   = believer{nil, errors.New("a certificate of another authority")}
)

// believer authenticates every request in one way.
type believer struct {
	user user.Info
	err  error
}

func (b believer) AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error) {
	return &authenticator.Response{User: b.user}, b.user != nil, b.err
}

func TestOnlyWhomTheKubeAPIServerVouchesForIsMarked(t *testing.T) {
	for name, test := range map[string]struct {
		caller *caller
		direct believer
		want   string
		marked bool
	}{
		"vouched for":           {&caller{relayed: relayedAs("jane")}, broken, "jane", true},
		"by a token of its own": {&caller{}, believed, "jane", false},
		"at an open path":       {&caller{open: true}, broken, user.Anonymous, false},
		"past the filter":       {nil, believed, "jane", false},
	} {
		req := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		req = req.WithContext(context.WithValue(req.Context(), callerKey{}, test.caller))
		response, ok, err := (&callerAuthenticator{direct: test.direct}).AuthenticateRequest(req)
		if !ok || err != nil || response.User.GetName() != test.want {
			t.Fatalf("%s: got %v, %t, %v", name, response, ok, err)
		}
		if _, marked := response.User.(relayedUser); marked != test.marked {
			t.Errorf("%s: marked is %t, want %t", name, marked, test.marked)
		}
	}
}

func relayedAs(name string) *authenticator.Response {
	return &authenticator.Response{User: relayedUser{&user.DefaultInfo{Name: name}}}
}

// refuser refuses all that it is asked about.
type refuser struct{ authorizer.Authorizer }

func (refuser) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", nil
}

// allower allows all that it is asked about, and counts it.
type allower struct {
	authorizer.Authorizer
	asked int
}

func (a *allower) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	a.asked++
	return authorizer.DecisionAllow, "", nil
}

func TestOnlyWhatIsRelayedForOurAPIIsNotAskedAbout(t *testing.T) {
	direct := believed.user
	relayed := relayedUser{direct}
	ours := authorizer.AttributesRecord{User: relayed, Verb: "create", APIGroup: "postern.dev", Resource: "webhookdeliveries", ResourceRequest: true}
	for name, test := range map[string]struct {
		change func(*authorizer.AttributesRecord)
		want   authorizer.Decision
	}{
		"relayed":          {func(*authorizer.AttributesRecord) {}, authorizer.DecisionAllow},
		"direct":           {func(a *authorizer.AttributesRecord) { a.User = direct }, authorizer.DecisionDeny},
		"of another group": {func(a *authorizer.AttributesRecord) { a.APIGroup = "" }, authorizer.DecisionDeny},
		"to impersonate":   {func(a *authorizer.AttributesRecord) { a.APIGroup, a.Resource = "authentication.k8s.io", "uids" }, authorizer.DecisionDeny},
		"a path, as metrics": {func(a *authorizer.AttributesRecord) {
			*a = authorizer.AttributesRecord{User: relayed, Verb: "get", Path: "/metrics", APIGroup: "postern.dev"}
		}, authorizer.DecisionDeny},
	} {
		attributes := ours
		test.change(&attributes)
		got, _, err := (&callerAuthorizer{refuser{}, true}).Authorize(t.Context(), attributes)
		if err != nil || got != test.want {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, test.want)
		}
	}
}

// The filter has refused it before. If it ever did not, RBAC would still not be asked.
func TestADirectCallerOfOurAPIIsRefusedWithoutAskingUnlessAllowed(t *testing.T) {
	attributes := authorizer.AttributesRecord{
		User: believed.user, Verb: "create", APIGroup: "postern.dev", Resource: "webhookdeliveries", ResourceRequest: true,
	}
	for allowed, want := range map[bool]struct {
		decision authorizer.Decision
		asked    int
	}{
		false: {authorizer.DecisionDeny, 0},
		true:  {authorizer.DecisionAllow, 1},
	} {
		kubeAPIServer := &allower{}
		got, _, err := (&callerAuthorizer{kubeAPIServer, allowed}).Authorize(t.Context(), attributes)
		if err != nil || got != want.decision || kubeAPIServer.asked != want.asked {
			t.Errorf("allowed %t: got %v, %v, asked %d times; want %v", allowed, got, err, kubeAPIServer.asked, want)
		}
	}
}
