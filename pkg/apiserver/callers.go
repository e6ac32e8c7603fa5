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

	"postern.dev/postern/pkg/registry/deliver"
)

// DirectCallers says what is served to callers that reach Postern's port without the kube-apiserver. To find out who such
// a caller is, and what they may do, Postern asks the kube-apiserver: a TokenReview, and a SubjectAccessReview. An
// unauthenticated caller must not be able to make it ask without bound.
type DirectCallers struct {
	// Allow serves them the API, too. Otherwise they are served what is beside it, such as /metrics.
	Allow bool
	// RequestsPerSecond is how many of their requests are asked about: of callers that were authorized before, and as many
	// again of others. At least 1.
	RequestsPerSecond int
	// OpenPaths are answered to anyone without asking, such as /livez. A * at the end stands for anything.
	OpenPaths []string
}

// caller is how a request has come, and what is known of its sender by that.
type caller struct {
	// frontProxy is whom the kube-apiserver vouches for; nil if the request has not come through it.
	frontProxy *authenticator.Response
	// openPath is whether anyone is answered.
	openPath bool
	// onAuthorized is called when a direct caller has been authorized. It may be nil.
	onAuthorized func(user.Info)
}

type callerKey struct{}

// callerFrom returns nil if the request has not passed callers.
func callerFrom(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// callerFilter tells the callers apart before anything is asked about them, and turns those away that are not served. What it
// does costs the kube-apiserver nothing, and no body is read.
type callerFilter struct {
	// frontProxy authenticates what the kube-apiserver relays; nil if there is nothing to know it by.
	frontProxy authenticator.Request
	// openPaths authorizes the open paths.
	openPaths authorizer.Authorizer
	// clientCA is that of the cluster's client certificates; nil if there is none.
	clientCA interface {
		VerifyOptions() (x509.VerifyOptions, bool)
	}
	requestInfo genericapirequest.RequestInfoResolver
	allowDirect bool
	limit       *directLimit
}

func newCallerFilter(generic *genericapiserver.Config, direct DirectCallers) *callerFilter {
	open, err := path.NewAuthorizer(direct.OpenPaths)
	if err != nil { // the framework has read them before
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

// wrap lets through what may be asked about, or need not be.
func (c *callerFilter) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, err := c.classify(req)
		if err != nil {
			deliver.WriteError(w, err)
			return
		}
		next.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), callerKey{}, info)))
	})
}

// classify returns how a request has come, or the answer to a caller that is not served. It removes the headers of a request
// that no longer count.
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
		countRefused(causeDirect)
		return nil, errDirectCaller
	case c.isOpenPath(req, info):
		return &caller{openPath: true}, nil
	}
	// Each of those would be asked about for itself.
	for header := range req.Header {
		if strings.HasPrefix(header, "Impersonate-") {
			countRefused(causeDirect)
			return nil, errImpersonation
		}
	}
	// It may hold a second token.
	req.Header.Del("Sec-Websocket-Protocol")
	return c.classifyDirect(req)
}

func (c *callerFilter) isOpenPath(req *http.Request, info *genericapirequest.RequestInfo) bool {
	decision, _, err := c.openPaths.Authorize(req.Context(), authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: user.Anonymous}, Verb: info.Verb, Path: info.Path, ResourceRequest: info.IsResourceRequest,
	})
	return err == nil && decision == authorizer.DecisionAllow
}

// classifyDirect returns a caller that shows a credential which it is time to ask about.
func (c *callerFilter) classifyDirect(req *http.Request) (*caller, error) {
	certificate := c.verifiedCertificate(req)
	if certificate != nil && slices.Contains(certificate.Subject.Organization, user.SystemPrivilegedGroup) {
		return &caller{}, nil // the certificate is verified here, and its holder may do anything: nothing is asked
	}
	var credential credentialID
	switch token := bearerToken(req.Header); {
	case certificate != nil:
		credential = sha256.Sum256(certificate.Raw)
	case token != "":
		credential = sha256.Sum256([]byte(token))
	default:
		countRefused(causeDirect)
		return nil, errNoCredential
	}
	address, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil {
		address = req.RemoteAddr
	}
	if !c.limit.allow(credential, address) {
		countRefused(causeDirectRate)
		return nil, errDirectRate()
	}
	return &caller{onAuthorized: func(caller user.Info) { c.limit.markAuthorized(credential, caller) }}, nil
}

// bearerToken returns the token that the framework asks about, however the header is written; "" if there is none.
//
// Source: Authenticator.AuthenticateRequest in k8s.io/apiserver, pkg/authentication/request/bearertoken.
func bearerToken(header http.Header) string {
	parts := strings.SplitN(strings.TrimSpace(header.Get("Authorization")), " ", 3)
	if len(parts) < 2 || !strings.EqualFold(parts[0], "bearer") {
		return ""
	}
	return parts[1]
}

// verifiedCertificate returns the client certificate of a request if an authority of the cluster has signed it, nil if there is
// none.
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
	errDirectCaller = forbidden("Postern serves its API to the kube-apiserver alone: send the request to the kube-apiserver, " +
		"which authenticates and authorizes it, and relays it. --allow-direct-callers of Postern lets in other callers of this port.")
	errImpersonation = forbidden("Postern's own port takes no impersonation: send the request to the kube-apiserver")
	errNoCredential  = apierrors.NewUnauthorized("Postern's own port needs a token or a client certificate of the cluster for this path")
)

func forbidden(message string) *apierrors.StatusError {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: message,
	}}
}

func errDirectRate() error {
	return apierrors.NewTooManyRequests("too many requests reach Postern without the kube-apiserver "+
		"(--direct-requests-per-second bounds them): send it again later", retryAfterSeconds)
}
