// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"crypto/sha1"
	"crypto/sha256"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Method is how a delivery proved itself, as told in status.sender.method.
type Method string

// The methods, in the order in which they are tried; the first that matches wins, and one suffices. So a wrong signature
// beside a right token is accepted as MethodToken.
const (
	MethodServiceAccount Method = "ServiceAccount" // a Kubernetes identity: a ServiceAccount
	MethodUser           Method = "User"           // a Kubernetes identity: anyone else
	MethodHMAC           Method = "HMAC"
	MethodToken          Method = "Token"
	MethodQueryToken     Method = "QueryToken"
	MethodNone           Method = "None" // nothing was asked for; see Config.RequireSecret
)

// The resources whose objects may have secrets of their own.
const (
	ResourceGatewaySyncs = "gatewaysyncs"
	ResourceApplications = "applications"
)

// Target is the object that a delivery names. It need not exist.
type Target struct {
	Resource string // ResourceGatewaySyncs or ResourceApplications
	Name     string
}

// Attempt is what a delivery shows to prove itself.
type Attempt struct {
	Namespace string
	// Source is the sender type if it is known before decoding, or "". It is the caller's claim: the payload must then be
	// decoded as that sender's and no other, or a claim could choose which secret is asked for.
	Source string
	// Target is nil when the delivery names none.
	Target *Target
	// Header has canonical keys, as http.Header.Set makes them.
	Header http.Header
	// Body is the exact bytes that arrived; a signature holds for nothing else.
	Body []byte
	// QuerySecret is the value of ?secret=. It is heeded only for senders that can show nothing else.
	QuerySecret string
	// AuthorizationIsToken is set at a door where the header Authorization is the sender's own. It then counts as a token,
	// as it is and without the scheme Bearer. Elsewhere the kube-apiserver authenticates by it, and keeps it.
	AuthorizationIsToken bool
	// User is who the kube-apiserver says is calling. Nil is anonymous.
	User user.Info
}

// Config is the policy of the whole server.
type Config struct {
	// IdentityIsCredential accepts any authenticated caller: RBAC has already decided that it may deliver.
	IdentityIsCredential bool
	// RequireSecret refuses what no secret is configured for. When it is false, such a delivery is accepted as MethodNone;
	// but once a key is configured for it, a right secret is needed all the same.
	RequireSecret bool
	// Now is the clock by which the age of a signature is told; nil is time.Now.
	Now func() time.Time
}

// Verifier verifies attempts. It is safe for concurrent use.
type Verifier struct {
	config  Config
	secrets *Secrets
	// fanoutLimit bounds how many attempts are verified in many namespaces at once.
	fanoutLimit *semaphore.Weighted
}

// NewVerifier returns a Verifier that reads secrets live. secrets must not be nil.
func NewVerifier(config Config, secrets *Secrets) *Verifier {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Verifier{config: config, secrets: secrets, fanoutLimit: semaphore.NewWeighted(max(1, int64(runtime.GOMAXPROCS(0)/2)))}
}

// Verify returns the method by which the attempt proved itself. The error, if any, is a *Rejection.
func (v *Verifier) Verify(a Attempt) (Method, error) {
	if method, known := Identify(a.User); known && v.config.IdentityIsCredential {
		return method, nil
	}
	return v.verifyWith(a, v.secrets.validFor(a), readCredentials(a, v.config.Now()))
}

// verifyWith compares what an attempt shows with the secrets that count for it.
func (v *Verifier) verifyWith(a Attempt, valid validSecrets, presented credentials) (Method, error) {
	switch {
	case matchesAnySignature(sha256.New, valid.hmac, a.Body, presented.signatures),
		matchesAnySignature(sha1.New, valid.hmac, a.Body, presented.sha1),
		matchesMessage(sha256.New, valid.hmac, a.Body, presented.message):
		return MethodHMAC, nil
	case matchesAnyToken(valid.token, presented.tokens):
		return MethodToken, nil
	case matchesAnyToken(valid.token, presented.queryTokens):
		return MethodQueryToken, nil
	case !valid.configured && !v.config.RequireSecret:
		return MethodNone, nil
	}
	return "", &Rejection{
		Reason:               rejectionReason(valid, presented),
		suggestIdentity:      v.config.IdentityIsCredential && !a.AuthorizationIsToken,
		suggestAuthorization: a.AuthorizationIsToken,
	}
}

// isAuthenticated is strict, because an authenticator that forgets to mark a stranger as one must not open the door.
func isAuthenticated(u user.Info) bool {
	return u != nil &&
		u.GetName() != "" && u.GetName() != user.Anonymous &&
		slices.Contains(u.GetGroups(), user.AllAuthenticated) &&
		!slices.Contains(u.GetGroups(), user.AllUnauthenticated)
}

// IdentitySuffices reports whether it is enough that the cluster knows a caller.
func (v *Verifier) IdentitySuffices() bool { return v.config.IdentityIsCredential }

// Identify returns the method by which the cluster itself authenticated a caller; known is false of a stranger.
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
