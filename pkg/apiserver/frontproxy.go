// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/registry/deliver"
)

// A request for our API that the kube-apiserver relays was authorized there a moment ago, by the same rules for the same
// path. To ask it again would make each delivery wait for one more round trip; so only what comes to Postern's port in
// another way is asked about, and that is bounded: see callers.

// frontProxyUser marks a caller for whom the kube-apiserver vouches.
type frontProxyUser struct{ user.Info }

// trustFrontProxy makes a server authorize by itself what the kube-apiserver relays. Call it once authentication,
// authorization and admission are set up: policies go on to ask the kube-apiserver. Requests must pass callers first.
func trustFrontProxy(
	authentication *genericapiserver.AuthenticationInfo, authorization *genericapiserver.AuthorizationInfo, direct DirectCallers,
) {
	if authentication.Authenticator == nil || authorization.Authorizer == nil {
		return
	}
	authentication.Authenticator = &callerAuthenticator{direct: authentication.Authenticator}
	authorization.Authorizer = &callerAuthorizer{Authorizer: authorization.Authorizer, allowDirect: direct.Allow}
}

// newRequestHeaderAuthenticator believes who shows the kube-apiserver's certificate, as the framework's own first authenticator does. It
// is nil if no such certificate is known, now and later.
//
// Source: DelegatingAuthenticatorConfig.New in k8s.io/apiserver, pkg/authentication/authenticatorfactory/delegating.go.
func newRequestHeaderAuthenticator(c *authenticatorfactory.RequestHeaderConfig) authenticator.Request {
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
	c := callerFrom(req.Context())
	switch {
	case c == nil:
		return a.direct.AuthenticateRequest(req)
	case c.frontProxy != nil:
		return c.frontProxy, true, nil
	case c.openPath:
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
	_, fromFrontProxy := attributes.GetUser().(frontProxyUser)
	ours := attributes.IsResourceRequest() && attributes.GetAPIGroup() == postern.GroupName
	switch {
	case ours && fromFrontProxy:
		return authorizer.DecisionAllow, "authorized by the kube-apiserver that relayed it", nil
	case ours && !a.allowDirect: // callers has refused it already; this holds if a request ever gets here without
		return authorizer.DecisionDeny, errDirectCaller.ErrStatus.Message, nil
	}
	decision, reason, err := a.Authorizer.Authorize(ctx, attributes)
	if c := callerFrom(ctx); c != nil && c.onAuthorized != nil && err == nil && decision == authorizer.DecisionAllow {
		c.onAuthorized(attributes.GetUser())
	}
	return decision, reason, err
}

// unwrapAuthorizer returns the authorizer that asks the kube-apiserver also about a user for whom it vouches: for another right
// than that by which the request was relayed.
func unwrapAuthorizer(a authorizer.Authorizer) authorizer.Authorizer {
	if wrapper, ok := a.(*callerAuthorizer); ok {
		return wrapper.Authorizer
	}
	return a
}

var errRequestHeaderCANotLoaded = errors.New("it is not known yet by which certificate the kube-apiserver proves itself")

// requestHeaderReady returns an error until it is known by which certificate the kube-apiserver proves itself when it says who
// the caller is. The framework begins to serve before that, and would take every caller for a stranger: senders would be
// told for good what is wrong for a moment only.
//
// Source: ConfigMapCAController.RunOnce in k8s.io/apiserver, pkg/server/dynamiccertificates/configmap_cafile_content.go.
func requestHeaderReady(config *authenticatorfactory.RequestHeaderConfig) error {
	if config == nil {
		return nil // nobody is believed about callers, now and later
	}
	if _, known := config.CAContentProvider.VerifyOptions(); !known {
		return errRequestHeaderCANotLoaded
	}
	return nil
}

// requestHeaderCheck keeps the server unready until callers can be told apart.
func requestHeaderCheck(config *authenticatorfactory.RequestHeaderConfig) healthz.HealthChecker {
	return healthz.NamedCheck("request-header", func(*http.Request) error { return requestHeaderReady(config) })
}

// withRequestHeaderReady answers 503 to all but probes until callers can be told apart.
func withRequestHeaderReady(next http.Handler, config *authenticatorfactory.RequestHeaderConfig) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := requestHeaderReady(config); err != nil && !isProbe(req.URL.Path) {
			deliver.WriteError(w, errUnavailable("Postern is starting, send the request again: "+err.Error()))
			return
		}
		next.ServeHTTP(w, req)
	})
}
