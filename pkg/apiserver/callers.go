// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"net"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/path"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"postern.dev/postern/pkg/apierror"
	"postern.dev/postern/pkg/apiserver/filters"
)

// DirectCallers configures what is served to callers that reach Postern's port directly, without the kube-apiserver.
// Postern authenticates and authorizes them by a TokenReview and a SubjectAccessReview. Unauthenticated callers must
// not be able to cause an unbounded number of these.
type DirectCallers struct {
	// Allow also serves them the API. Otherwise they are only served other paths, such as /metrics.
	Allow bool
	// RequestsPerSecond limits how many of their requests are reviewed. Callers authorized before and other callers
	// each have this limit. It must be at least 1.
	RequestsPerSecond int
	// OpenPaths are served to every caller without review, such as /livez. A trailing * matches any suffix.
	OpenPaths []string
}

// caller records how a request arrived and what that says about its sender.
type caller struct {
	// frontProxy is the user reported by the kube-apiserver; nil if the request did not come through it.
	frontProxy *authenticator.Response
	// openPath reports whether the path is served to every caller.
	openPath bool
	// onAuthorized is called when a direct caller is authorized. It may be nil.
	onAuthorized func(user.Info)
}

type callerKey struct{}

// callerFrom returns nil if the request has not passed callerFilter.
func callerFrom(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// callerFilter classifies callers and rejects some. It sends nothing to the kube-apiserver and reads no body.
type callerFilter struct {
	// frontProxy authenticates requests relayed by the kube-apiserver; nil if no front proxy is configured.
	frontProxy authenticator.Request
	// openPaths allows the open paths.
	openPaths authorizer.Authorizer
	// clientCA verifies the cluster's client certificates; nil if there is none.
	clientCA interface {
		VerifyOptions() (x509.VerifyOptions, bool)
	}
	requestInfo genericapirequest.RequestInfoResolver
	allowDirect bool
	limit       *directLimit
}

func newCallerFilter(generic *genericapiserver.Config, direct DirectCallers) *callerFilter {
	open, err := path.NewAuthorizer(direct.OpenPaths)
	if err != nil { // the framework validated the paths before
		open, _ = path.NewAuthorizer(nil)
	}
	c := &callerFilter{
		frontProxy: newRequestHeaderAuthenticator(generic.Authentication.RequestHeaderConfig), openPaths: open,
		requestInfo: genericapiserver.NewRequestInfoResolver(generic),
		allowDirect: direct.Allow, limit: newDirectLimit(direct.RequestsPerSecond),
	}
	if serving := generic.SecureServing; serving != nil && serving.ClientCA != nil {
		c.clientCA = serving.ClientCA
	}
	return c
}

// wrap passes on the requests of callers that are served, with their caller in the context.
func (c *callerFilter) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, err := c.classify(req)
		if err != nil {
			filters.WriteError(w, err)
			return
		}
		next.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), callerKey{}, info)))
	})
}

// classify returns how a request arrived, or the error for a rejected caller. It removes headers that must not be used.
func (c *callerFilter) classify(req *http.Request) (*caller, error) {
	if c.frontProxy != nil {
		if response, ok, err := c.frontProxy.AuthenticateRequest(req); ok && err == nil {
			response.User = frontProxyUser{response.User}
			return &caller{frontProxy: response}, nil
		}
	}
	info, err := c.requestInfo.NewRequestInfo(req)
	switch {
	case err != nil || info.IsResourceRequest && !c.allowDirect:
		filters.CountRefused(filters.CauseDirect)
		return nil, errDirectCaller
	case c.isOpenPath(req, info):
		return &caller{openPath: true}, nil
	}
	// Each impersonated attribute would take a review of its own.
	for header := range req.Header {
		if strings.HasPrefix(header, "Impersonate-") {
			filters.CountRefused(filters.CauseDirect)
			return nil, errImpersonation
		}
	}
	// The header may contain a second token.
	req.Header.Del("Sec-Websocket-Protocol")
	return c.classifyDirect(req)
}

func (c *callerFilter) isOpenPath(req *http.Request, info *genericapirequest.RequestInfo) bool {
	decision, _, err := c.openPaths.Authorize(req.Context(), authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: user.Anonymous}, Verb: info.Verb, Path: info.Path,
		ResourceRequest: info.IsResourceRequest,
	})
	return err == nil && decision == authorizer.DecisionAllow
}

// classifyDirect returns a caller with a credential that may be reviewed now.
func (c *callerFilter) classifyDirect(req *http.Request) (*caller, error) {
	certificate := c.verifiedCertificate(req)
	if certificate != nil && slices.Contains(certificate.Subject.Organization, user.SystemPrivilegedGroup) {
		return &caller{}, nil // verified here, and system:masters may do anything: no review is needed
	}
	var credential credentialID
	switch token := bearerToken(req.Header); {
	case certificate != nil:
		credential = sha256.Sum256(certificate.Raw)
	case token != "":
		credential = sha256.Sum256([]byte(token))
	default:
		filters.CountRefused(filters.CauseDirect)
		return nil, errNoCredential
	}
	address, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil {
		address = req.RemoteAddr
	}
	if !c.limit.allow(credential, address) {
		filters.CountRefused(filters.CauseDirectRate)
		return nil, errDirectRate()
	}
	return &caller{onAuthorized: func(caller user.Info) { c.limit.markAuthorized(credential, caller) }}, nil
}

// bearerToken returns the token that the framework would review, "" if there is none.
//
// Source: Authenticator.AuthenticateRequest in k8s.io/apiserver, pkg/authentication/request/bearertoken.
func bearerToken(header http.Header) string {
	parts := strings.SplitN(strings.TrimSpace(header.Get("Authorization")), " ", 3)
	if len(parts) < 2 || !strings.EqualFold(parts[0], "bearer") {
		return ""
	}
	return parts[1]
}

// verifiedCertificate returns the request's client certificate if the cluster's client CA signed it, otherwise nil.
func (c *callerFilter) verifiedCertificate(req *http.Request) *x509.Certificate {
	if c.clientCA == nil || req.TLS == nil || len(req.TLS.PeerCertificates) == 0 {
		return nil
	}
	options, ok := c.clientCA.VerifyOptions()
	if !ok {
		return nil
	}
	options.Intermediates = x509.NewCertPool()
	for _, intermediate := range req.TLS.PeerCertificates[1:] {
		options.Intermediates.AddCert(intermediate)
	}
	options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	certificate := req.TLS.PeerCertificates[0]
	if _, err := certificate.Verify(options); err != nil {
		return nil
	}
	return certificate
}

var (
	errDirectCaller = forbidden(
		"Postern serves its API only to the kube-apiserver: send the request to the kube-apiserver, " +
			"which authenticates, authorizes and relays it. --allow-direct-callers of Postern admits other callers " +
			"to this port.")
	errImpersonation = forbidden(
		"impersonation is not supported on Postern's own port: send the request to the kube-apiserver")
	errNoCredential = apierrors.NewUnauthorized(
		"Postern's own port needs a token or a client certificate of the cluster for this path")
)

func forbidden(message string) *apierrors.StatusError {
	return apierror.New(http.StatusForbidden, metav1.StatusReasonForbidden, message)
}

func errDirectRate() error {
	return apierrors.NewTooManyRequests("too many requests reach Postern without the kube-apiserver "+
		"(--direct-requests-per-second bounds them): send it again later", filters.RetryAfterSeconds)
}
