// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"postern.dev/postern/apis/postern"
)

// A request for our API that the kube-apiserver relays was authorized there a moment ago, by the same rules for the same
// path. To ask it again would make each delivery wait for one more round trip; so only what comes to Postern's port in
// another way is asked about, and that is bounded: see callers.

// relayedUser marks a caller for whom the kube-apiserver vouches.
type relayedUser struct{ user.Info }

// trustRelay makes a server authorize by itself what the kube-apiserver relays. Call it once authentication,
// authorization and admission are set up: policies go on to ask the kube-apiserver. Requests must pass callers first.
func trustRelay(
	authentication *genericapiserver.AuthenticationInfo, authorization *genericapiserver.AuthorizationInfo, direct DirectCallers,
) {
	if authentication.Authenticator == nil || authorization.Authorizer == nil {
		return
	}
	authentication.Authenticator = &callerAuthenticator{direct: authentication.Authenticator}
	authorization.Authorizer = &callerAuthorizer{Authorizer: authorization.Authorizer, allowDirect: direct.Allow}
}

// byRequestHeader believes who shows the kube-apiserver's certificate, as the framework's own first authenticator does. It
// is nil if no such certificate is known, now and later.
//
// Source: DelegatingAuthenticatorConfig.New in k8s.io/apiserver, pkg/authentication/authenticatorfactory/delegating.go.
func byRequestHeader(c *authenticatorfactory.RequestHeaderConfig) authenticator.Request {
	if c == nil {
		return nil
	}
	return group.NewAuthenticatedGroupAdder(headerrequest.NewDynamicVerifyOptionsSecure(c.CAContentProvider.VerifyOptions,
		c.AllowedClientNames, c.UsernameHeaders, c.UIDHeaders, c.GroupHeaders, c.ExtraHeaderPrefixes))
}

// callerAuthenticator tells who the caller is that callers let through.
type callerAuthenticator struct {
	// direct authenticates those that do not come through the kube-apiserver.
	direct authenticator.Request
}

// AuthenticateRequest takes over whom the kube-apiserver vouches for, and leaves the others to the framework. It asks about
// no credential where anyone is answered.
func (a *callerAuthenticator) AuthenticateRequest(req *http.Request) (*authenticator.Response, bool, error) {
	c := callerOf(req.Context())
	switch {
	case c == nil:
		return a.direct.AuthenticateRequest(req)
	case c.relayed != nil:
		return c.relayed, true, nil
	case c.open:
		return &authenticator.Response{User: &user.DefaultInfo{
			Name: user.Anonymous, Groups: []string{user.AllUnauthenticated},
		}}, true, nil
	}
	return a.direct.AuthenticateRequest(req)
}

type callerAuthorizer struct {
	authorizer.Authorizer
	allowDirect bool
}

// Authorize allows what was relayed for our API group. Whether somebody may be impersonated, say, is asked about.
func (a *callerAuthorizer) Authorize(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
	_, relayed := attributes.GetUser().(relayedUser)
	ours := attributes.IsResourceRequest() && attributes.GetAPIGroup() == postern.GroupName
	switch {
	case ours && relayed:
		return authorizer.DecisionAllow, "authorized by the kube-apiserver that relayed it", nil
	case ours && !a.allowDirect: // callers has refused it already; this holds if a request ever gets here without
		return authorizer.DecisionDeny, errDirect.ErrStatus.Message, nil
	}
	decision, reason, err := a.Authorizer.Authorize(ctx, attributes)
	if c := callerOf(ctx); c != nil && c.accepted != nil && err == nil && decision == authorizer.DecisionAllow {
		c.accepted(attributes.GetUser())
	}
	return decision, reason, err
}

// askingOf returns the authorizer that asks the kube-apiserver also about a user for whom it vouches: for another right
// than that by which the request was relayed.
func askingOf(a authorizer.Authorizer) authorizer.Authorizer {
	if trusting, ok := a.(*callerAuthorizer); ok {
		return trusting.Authorizer
	}
	return a
}
