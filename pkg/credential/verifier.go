// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package credential authenticates deliveries: it keeps the webhook secrets of every namespace, and implements the
// authentication methods of each type of sender.
//
// It runs before anything else is looked up. So it does not depend on the existence of a target, on the decoding of
// payloads or on the storage of deliveries, and its errors must not reveal any of these to an unauthenticated caller.
//
// # Keys
//
// The secrets of a namespace are the data of one Kubernetes Secret in it, named SecretName:
//
//	gatewaysyncs.<name>.hmac, .token, .oidc                one GatewaySync
//	applications.<name>.hmac, .token, .oidc                one Application
//	hmac, token                                            git and generic senders
//	oidc                                                   all senders: no secret, but the trusted issuers of tokens
//	webhook.<source>-secret                                one sender, as HMAC key if it signs, and as token
//	webhook.<source>-registry-url                          the URL of its registry, not a secret; see RegistryURLs
//
// If a target has a key of its own, of either kind, only that key is used for it. This separates the tenants of one
// namespace.
//
// There may also be default secrets under the same keys, except for the keys of single targets. They apply in each
// namespace to attempts for which it has no key of its own: a key there, even one without any secret, replaces them.
//
// A value has secrets as text, one per line and at most 64. All are valid, so that a secret can be rotated without an
// interruption. White space around a secret is ignored. A value without any secret matches nothing but counts as
// configured: it can only reject deliveries, never accept them.
//
// A signing token (whsec_ and base64, as GitLab creates them) is also an HMAC key. Its signatures are made with the
// decoded bytes and are accepted for five minutes only.
package credential

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/pkg/payload"
)

// Method is how a delivery was authenticated, as in status.sender.method.
type Method string

// The methods, in the order in which they are tried. The first that succeeds is used, so a wrong signature with a valid
// token is accepted as MethodToken.
const (
	MethodServiceAccount Method = "ServiceAccount" // a Kubernetes identity: a ServiceAccount
	MethodUser           Method = "User"           // a Kubernetes identity: any other
	MethodHMAC           Method = "HMAC"
	MethodToken          Method = "Token"
	MethodQueryToken     Method = "QueryToken"
	MethodOIDC           Method = "OIDC" // a token of an issuer that the namespace trusts
	MethodNone           Method = "None" // not required; see Config.RequireSecret
)

// Proof is how a sender proved itself.
type Proof struct {
	Method Method
	// Name is the user name that MethodOIDC has proved. Others prove none, or one that the caller knows.
	Name string
}

// Target is the object that a delivery names. It need not exist.
type Target struct {
	Resource string // of a postern.TargetKind
	Name     string
}

// Attempt is a delivery to authenticate.
type Attempt struct {
	Namespace string
	// Source is the type of sender if it is known before decoding, or "". It is only the caller's claim: the payload
	// must then be decoded as that type and no other, otherwise a claim could choose the secret to check.
	Source string
	// Target is nil if the delivery has none.
	Target *Target
	// Header has canonical keys, as http.Header.Set makes them.
	Header http.Header
	// Body is the exact bytes that were received, which signatures cover.
	Body []byte
	// QuerySecret is the value of ?secret=. It is used only for senders that support nothing else.
	QuerySecret string
	// AuthorizationIsToken is set at an endpoint where the sender sets the header Authorization. It is then a token,
	// with or without the scheme Bearer. Elsewhere the kube-apiserver authenticates with the header and removes it.
	AuthorizationIsToken bool
	// User is the caller as authenticated by the kube-apiserver. Nil is anonymous.
	User user.Info
}

// Config is the server-wide policy.
type Config struct {
	// IdentityIsCredential accepts every authenticated caller: RBAC has already authorized it to deliver.
	IdentityIsCredential bool
	// RequireSecret rejects deliveries for which no secret is configured. If false, they are accepted as MethodNone. If
	// a key is configured, a valid secret is always required.
	RequireSecret bool
	// Now is the clock that checks the age of signatures; nil is time.Now.
	Now func() time.Time
}

// Verifier verifies attempts. It is safe for concurrent use.
type Verifier struct {
	config  Config
	secrets *Secrets
	// fanoutLimit bounds how many attempts are verified in many namespaces concurrently.
	fanoutLimit *semaphore.Weighted
}

// NewVerifier returns a Verifier that always uses the current secrets, which must not be nil.
func NewVerifier(config Config, secrets *Secrets) *Verifier {
	if config.Now == nil {
		config.Now = time.Now
	}
	limit := max(1, int64(runtime.GOMAXPROCS(0)/2))
	return &Verifier{config: config, secrets: secrets, fanoutLimit: semaphore.NewWeighted(limit)}
}

// Verify returns what authenticated the attempt. The error, if any, is a *Rejection.
func (v *Verifier) Verify(ctx context.Context, a Attempt) (Proof, error) {
	if method, known := Identify(a.User); known && v.config.IdentityIsCredential {
		return Proof{Method: method}, nil
	}
	return v.verifyWith(ctx, a, v.secrets.validFor(a), readCredentials(a, v.config.Now()))
}

// verifyWith compares the presented credentials with the valid secrets.
func (v *Verifier) verifyWith(
	ctx context.Context, a Attempt, valid validSecrets, presented credentials,
) (Proof, error) {
	if method := bySecret(a, valid, presented); method != "" {
		return Proof{Method: method}, nil
	}
	name, tokenErr := byIDToken(ctx, valid, presented)
	switch {
	case name != "":
		return Proof{MethodOIDC, name}, nil
	case !valid.configured && !v.config.RequireSecret:
		return Proof{Method: MethodNone}, nil
	}
	rejection := &Rejection{
		Reason:               rejectionReason(valid, presented),
		suggestIdentity:      v.config.IdentityIsCredential && !a.AuthorizationIsToken,
		suggestAuthorization: a.AuthorizationIsToken,
		tokenProblem:         presented.idTokenProblem,
		showedToken:          len(presented.idTokens) > 0,
	}
	if tokenErr != nil {
		rejection.Reason, rejection.Detail, rejection.RetryAfter = tokenErr.Reason, tokenErr.Detail, tokenErr.RetryAfter
	}
	return Proof{}, rejection
}

// byIDToken returns the name that the first valid OIDC token proves, or why the last one is not valid; neither without
// a token.
func byIDToken(ctx context.Context, valid validSecrets, presented credentials) (name string, problem *TokenError) {
	if valid.issuers == nil {
		return "", nil
	}
	for _, token := range presented.idTokens {
		name, err := valid.issuers.Verify(ctx, token)
		if err == nil && name != "" {
			return name, nil
		}
		if !errors.As(err, &problem) {
			problem = &TokenError{Reason: ReasonClaimsNotAccepted}
		}
	}
	return "", problem
}

// bySecret returns the method by which a shared secret authenticates the attempt, or "".
func bySecret(a Attempt, valid validSecrets, presented credentials) Method {
	switch {
	case matchesAnySignature(sha256.New, valid.hmac, a.Body, presented.signatures),
		matchesAnySignature(sha1.New, valid.hmac, a.Body, presented.sha1),
		matchesMessage(sha256.New, valid.hmac, a.Body, presented.message):
		return MethodHMAC
	case matchesAnyToken(valid.token, presented.tokens):
		return MethodToken
	case matchesAnyToken(valid.token, presented.queryTokens):
		return MethodQueryToken
	}
	return ""
}

// isAuthenticated is strict, because an authenticator may fail to mark an anonymous caller as unauthenticated.
func isAuthenticated(u user.Info) bool {
	return u != nil &&
		u.GetName() != "" && u.GetName() != user.Anonymous &&
		slices.Contains(u.GetGroups(), user.AllAuthenticated) &&
		!slices.Contains(u.GetGroups(), user.AllUnauthenticated)
}

// IdentitySuffices reports whether authenticated callers need no secret.
func (v *Verifier) IdentitySuffices() bool { return v.config.IdentityIsCredential }

// Identify returns the method by which the cluster authenticated a caller; known is false for an anonymous caller.
func Identify(u user.Info) (method Method, known bool) {
	if !isAuthenticated(u) {
		return "", false
	}
	return identityMethod(u), true
}

func identityMethod(u user.Info) Method {
	if strings.HasPrefix(u.GetName(), serviceaccount.ServiceAccountUsernamePrefix) {
		return MethodServiceAccount
	}
	return MethodUser
}

// SupportedMethods are the authentication methods of a type of sender in a namespace.
type SupportedMethods struct {
	// Methods are the accepted methods that the sender supports, best first. It is never nil.
	Methods []string
	// Keys are the keys of the namespace's Secret that are used for the sender and its methods.
	Keys []string
	// HasSecret reports whether one of the keys has a secret or an issuer, or a default secret applies instead.
	HasSecret bool
}

// MethodsFor returns the methods of a type of sender in a namespace.
func (v *Verifier) MethodsFor(namespace, source string) SupportedMethods {
	sender, _ := payload.Lookup(source)
	supported := SupportedMethods{Methods: []string{}, Keys: []string{payload.SecretKey(source)}}
	methods := methodsOf(sender)
	for _, method := range methods {
		if method != MethodServiceAccount || v.config.IdentityIsCredential {
			supported.Methods = append(supported.Methods, string(method))
		}
	}
	valid := v.secrets.validFor(Attempt{Namespace: namespace, Source: source})
	hasIssuer := sender.OIDC && valid.issuers != nil && valid.issuers.Len() > 0
	if sender.OIDC {
		supported.Keys = append(supported.Keys, oidcKey)
	}
	if sender.OnlyOwnSecret() {
		supported.HasSecret = hasIssuer || valid.hasAny()
		return supported
	}
	supported.HasSecret = hasIssuer
	// A token does not help a sender that can only sign: to report it would hide why the sender is rejected.
	if slices.Contains(methods, MethodHMAC) {
		supported.Keys = append(supported.Keys, hmacKey)
		supported.HasSecret = supported.HasSecret || len(valid.hmac) > 0
	}
	if slices.Contains(methods, MethodToken) {
		supported.Keys = append(supported.Keys, tokenKey)
		supported.HasSecret = supported.HasSecret || len(valid.token) > 0
	}
	return supported
}

// methodsOf returns the methods of a type of sender, best first.
func methodsOf(sender payload.Sender) []Method {
	var methods []Method
	if sender.Identity {
		methods = append(methods, MethodServiceAccount)
	}
	if sender.OIDC {
		methods = append(methods, MethodOIDC)
	}
	if len(sender.Signatures) > 0 {
		methods = append(methods, MethodHMAC)
	}
	if sender.Token {
		methods = append(methods, MethodToken)
	}
	if sender.QueryToken {
		methods = append(methods, MethodQueryToken)
	}
	return methods
}
