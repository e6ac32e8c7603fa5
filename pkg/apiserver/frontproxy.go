// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"time"

	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	requestx509 "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apiserver/filters"
)

// frontProxyUser marks a user authenticated by the kube-apiserver as the front proxy.
type frontProxyUser struct{ user.Info }

// trustFrontProxy makes the server trust the kube-apiserver's authorization of relayed requests. The kube-apiserver
// authorized them a moment ago, by the same rules for the same path; another SubjectAccessReview would cost each
// delivery one more round trip. Requests of direct callers are still reviewed, within the bounds set by callerFilter.
//
// Call it after authentication, authorization and admission are set up, so that policies keep using the kube-apiserver.
// Requests must pass callerFilter first.
func trustFrontProxy(
	authentication *genericapiserver.AuthenticationInfo, authorization *genericapiserver.AuthorizationInfo,
	direct DirectCallers,
) {
	if authentication.Authenticator == nil || authorization.Authorizer == nil {
		return
	}
	authentication.Authenticator = &callerAuthenticator{direct: authentication.Authenticator}
	authorization.Authorizer = &callerAuthorizer{Authorizer: authorization.Authorizer, allowDirect: direct.Allow}
}

// newRequestHeaderAuthenticator returns an authenticator that trusts the request headers of clients with a front-proxy
// certificate, like the first authenticator of the framework. It returns nil if no request-header CA is configured.
//
// Source: DelegatingAuthenticatorConfig.New in k8s.io/apiserver, pkg/authentication/authenticatorfactory/delegating.go.
func newRequestHeaderAuthenticator(c *authenticatorfactory.RequestHeaderConfig) authenticator.Request {
	if c == nil {
		return nil
	}
	headers := headerrequest.NewDynamic(c.UsernameHeaders, c.UIDHeaders, c.GroupHeaders, c.ExtraHeaderPrefixes)
	return group.NewAuthenticatedGroupAdder(&requestHeaderAuthenticator{
		headers:    headers,
		verifying:  requestx509.NewDynamicCAVerifier(c.CAContentProvider.VerifyOptions, headers, c.AllowedClientNames),
		options:    c.CAContentProvider.VerifyOptions,
		namesValue: c.AllowedClientNames.Value,
		verified:   utilcache.NewLRUExpireCache(maxVerified),
	})
}

const (
	// verifiedTTL is how long a verified front-proxy certificate is not verified again, unless it expires. The
	// kube-apiserver sends many requests with one certificate, and a verification takes as long as decoding a small
	// payload. A CA that expires is trusted for that much longer.
	verifiedTTL = time.Minute
	// maxVerified is more than the number of kube-apiservers.
	maxVerified = 64
)

// requestHeaderAuthenticator verifies the certificate of a client, at most once in verifiedTTL, and returns the user
// in its request headers.
type requestHeaderAuthenticator struct {
	// headers reads the user, and verifying does so after it has verified the certificate.
	headers, verifying authenticator.Request
	options            requestx509.VerifyOptionFunc
	namesValue         func() []string
	// verified has an entry for each verified certificate.
	verified *utilcache.LRUExpireCache
}

// verifiedKey is a certificate, and what it was verified with.
type verifiedKey struct {
	digest [sha256.Size]byte
	roots  *x509.CertPool // the CA provider makes a new pool when the CA changes
	names  string
}

// AuthenticateRequest implements authenticator.Request.
func (a *requestHeaderAuthenticator) AuthenticateRequest(req *http.Request) (*authenticator.Response, bool, error) {
	options, loaded := a.options()
	if !loaded || req.TLS == nil || len(req.TLS.PeerCertificates) != 1 {
		return a.verifying.AuthenticateRequest(req) // also a chain, whose intermediates may expire first
	}
	leaf := req.TLS.PeerCertificates[0]
	key := verifiedKey{sha256.Sum256(leaf.Raw), options.Roots, strings.Join(a.namesValue(), "\x00")}
	if _, verified := a.verified.Get(key); verified {
		return a.headers.AuthenticateRequest(req)
	}
	response, ok, err := a.verifying.AuthenticateRequest(req)
	if ok && err == nil {
		a.verified.Add(key, true, min(verifiedTTL, time.Until(leaf.NotAfter)))
	}
	return response, ok, err
}

// callerAuthenticator authenticates callers admitted by callerFilter.
type callerAuthenticator struct {
	// direct authenticates callers that do not use the front proxy.
	direct authenticator.Request
}

// AuthenticateRequest returns the user reported by the front proxy, or anonymous on an open path, where credentials are
// not reviewed. It leaves other callers to the framework.
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

// Authorize allows relayed requests for our API group. Other checks, such as of impersonation or of whether a
// server-side apply may create the object, go to the kube-apiserver.
func (a *callerAuthorizer) Authorize(
	ctx context.Context, attributes authorizer.Attributes,
) (authorizer.Decision, string, error) {
	_, fromFrontProxy := attributes.GetUser().(frontProxyUser)
	ours := attributes.IsResourceRequest() && attributes.GetAPIGroup() == postern.GroupName
	switch {
	case ours && fromFrontProxy && isRequested(ctx, attributes):
		return authorizer.DecisionAllow, "authorized by the kube-apiserver that relayed it", nil
	case ours && !fromFrontProxy && !a.allowDirect: // callerFilter rejects it first; this is a safeguard
		return authorizer.DecisionDeny, errDirectCaller.ErrStatus.Message, nil
	}
	decision, reason, err := a.Authorizer.Authorize(ctx, attributes)
	if c := callerFrom(ctx); c != nil && c.onAuthorized != nil && err == nil && decision == authorizer.DecisionAllow {
		c.onAuthorized(attributes.GetUser())
	}
	return decision, reason, err
}

// isRequested reports whether the attributes are those of the request, for which the kube-apiserver authorized it.
func isRequested(ctx context.Context, attributes authorizer.Attributes) bool {
	info, ok := genericapirequest.RequestInfoFrom(ctx)
	return ok && info.Verb == attributes.GetVerb() && info.Resource == attributes.GetResource() &&
		info.Subresource == attributes.GetSubresource() && info.Namespace == attributes.GetNamespace() &&
		info.Name == attributes.GetName()
}

// unwrapAuthorizer returns the authorizer that also asks the kube-apiserver about front-proxy users. Use it to check a
// permission other than the one by which the request was relayed.
func unwrapAuthorizer(a authorizer.Authorizer) authorizer.Authorizer {
	if wrapper, ok := a.(*callerAuthorizer); ok {
		return wrapper.Authorizer
	}
	return a
}

var errRequestHeaderCANotLoaded = errors.New(
	"the CA of the kube-apiserver's front-proxy client certificate is not loaded yet")

// requestHeaderReady returns an error until the request-header CA is loaded. The framework starts serving earlier and
// would treat every caller as anonymous: senders would get a permanent error for a temporary condition.
//
// Source: ConfigMapCAController.RunOnce in k8s.io/apiserver,
// pkg/server/dynamiccertificates/configmap_cafile_content.go.
func requestHeaderReady(config *authenticatorfactory.RequestHeaderConfig) error {
	if config == nil {
		return nil // no front proxy is trusted
	}
	if _, loaded := config.CAContentProvider.VerifyOptions(); !loaded {
		return errRequestHeaderCANotLoaded
	}
	return nil
}

// requestHeaderCheck keeps the server unready until the request-header CA is loaded.
func requestHeaderCheck(config *authenticatorfactory.RequestHeaderConfig) healthz.HealthChecker {
	return healthz.NamedCheck("request-header", func(*http.Request) error { return requestHeaderReady(config) })
}

// maxWaitingForCA bounds the requests that wait for the request-header CA, which may be of any client.
const maxWaitingForCA = 100

// withRequestHeaderReady delays requests, except probes, until the request-header CA is loaded. It answers 503 after
// the timeout, and at once if too many wait. The CA is usually loaded within milliseconds, while the kube-apiserver
// asks an unavailable server again only after increasing pauses.
func withRequestHeaderReady(
	next http.Handler, config *authenticatorfactory.RequestHeaderConfig, timeout time.Duration,
) http.Handler {
	ready := func() error { return requestHeaderReady(config) }
	waiting := make(chan struct{}, maxWaitingForCA)
	becomesReady := func(ctx context.Context) bool {
		select {
		case waiting <- struct{}{}:
			defer func() { <-waiting }()
			return awaitReady(ctx, timeout, ready)
		default:
			return false
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := ready(); err != nil && !filters.IsProbe(req.URL.Path) && !becomesReady(req.Context()) {
			filters.WriteError(w, filters.ErrUnavailable("Postern is starting, send the request again: "+err.Error()))
			return
		}
		next.ServeHTTP(w, req)
	})
}

// awaitReady waits until ready returns nil, and reports whether it did before the timeout.
func awaitReady(ctx context.Context, timeout time.Duration, ready func() error) bool {
	const interval = 10 * time.Millisecond
	return wait.PollUntilContextTimeout(ctx, interval, timeout, true, func(context.Context) (bool, error) {
		return ready() == nil, nil
	}) == nil
}
