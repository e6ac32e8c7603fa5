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
	believed    = believer{&user.DefaultInfo{Name: "jane", Groups: []string{user.AllAuthenticated}}, nil}
	disbelieved = believer{}
	broken      = believer{nil, errors.New("a certificate of another authority")}
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
		relay, others believer
		marked        bool
	}{
		"vouched for":                  {believed, disbelieved, true},
		"by a token of its own":        {disbelieved, believed, false},
		"with a certificate of nobody": {broken, believed, false},
	} {
		a := &relayAuthenticator{relay: test.relay, others: test.others}
		response, ok, err := a.AuthenticateRequest(httptest.NewRequest(http.MethodPost, "/", http.NoBody))
		if !ok || err != nil || response.User.GetName() != "jane" {
			t.Fatalf("%s: got %v, %t, %v", name, response, ok, err)
		}
		if _, marked := response.User.(relayedUser); marked != test.marked {
			t.Errorf("%s: marked is %t, want %t", name, marked, test.marked)
		}
	}
}

// refuser refuses all that it is asked about.
type refuser struct{ authorizer.Authorizer }

func (refuser) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", nil
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
		got, _, err := (&relayAuthorizer{refuser{}}).Authorize(t.Context(), attributes)
		if err != nil || got != test.want {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, test.want)
		}
	}
}
