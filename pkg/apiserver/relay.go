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
// another way is asked about.

// relayedUser marks a caller for whom the kube-apiserver vouches.
type relayedUser struct{ user.Info }

// trustRelay makes a server authorize by itself what the kube-apiserver relays. Call it once authentication,
// authorization and admission are set up: policies go on to ask the kube-apiserver.
func trustRelay(authentication *genericapiserver.AuthenticationInfo, authorization *genericapiserver.AuthorizationInfo) {
	header := authentication.RequestHeaderConfig
	if header == nil || authentication.Authenticator == nil || authorization.Authorizer == nil {
		return
	}
	authentication.Authenticator = &relayAuthenticator{relay: byRequestHeader(header), others: authentication.Authenticator}
	authorization.Authorizer = &relayAuthorizer{Authorizer: authorization.Authorizer}
}

// byRequestHeader believes who shows the kube-apiserver's certificate, as the framework's own first authenticator does.
//
// Source: DelegatingAuthenticatorConfig.New in k8s.io/apiserver, pkg/authentication/authenticatorfactory/delegating.go.
func byRequestHeader(c *authenticatorfactory.RequestHeaderConfig) authenticator.Request {
	return group.NewAuthenticatedGroupAdder(headerrequest.NewDynamicVerifyOptionsSecure(c.CAContentProvider.VerifyOptions,
		c.AllowedClientNames, c.UsernameHeaders, c.UIDHeaders, c.GroupHeaders, c.ExtraHeaderPrefixes))
}

type relayAuthenticator struct {
	relay, others authenticator.Request
}

// AuthenticateRequest marks whom the kube-apiserver vouches for, and leaves the others to the framework.
func (a *relayAuthenticator) AuthenticateRequest(req *http.Request) (*authenticator.Response, bool, error) {
	response, ok, err := a.relay.AuthenticateRequest(req)
	if !ok || err != nil {
		return a.others.AuthenticateRequest(req)
	}
	response.User = relayedUser{response.User}
	return response, true, nil
}

type relayAuthorizer struct {
	authorizer.Authorizer
}

// Authorize allows what was relayed for our API group. Whether somebody may be impersonated, say, is asked about.
func (a *relayAuthorizer) Authorize(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
	_, relayed := attributes.GetUser().(relayedUser)
	if relayed && attributes.IsResourceRequest() && attributes.GetAPIGroup() == postern.GroupName {
		return authorizer.DecisionAllow, "authorized by the kube-apiserver that relayed it", nil
	}
	return a.Authorizer.Authorize(ctx, attributes)
}
