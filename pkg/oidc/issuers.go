// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"k8s.io/apiserver/pkg/apis/apiserver"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"
	"k8s.io/klog/v2"

	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/fairness"
)

const (
	// evaluationTimeout bounds the verification of a token, whose expressions have bounds of their own.
	evaluationTimeout = time.Second
	// noPlaceRetry is when senders try again whose namespace has no place for the keys of an issuer.
	noPlaceRetry = time.Minute
	// maxNameBytes bounds the name of a sender.
	maxNameBytes = 256
)

// issuers are those of one value. They implement credential.Issuers.
type issuers struct {
	verifier *Verifier
	flow     fairness.Flow
	list     []*issuer
}

// Len returns the number of issuers.
func (s *issuers) Len() int { return len(s.list) }

// Verify verifies a token by the issuer that it names, if that is one of these.
func (s *issuers) Verify(ctx context.Context, token credential.IDToken) (name string, err error) {
	i := slices.IndexFunc(s.list, func(i *issuer) bool { return i.Issuer.URL == coalesce(token.Issuer) })
	if i < 0 {
		return "", &credential.TokenError{Reason: credential.ReasonIssuerNotTrusted}
	}
	return s.list[i].verify(ctx, token)
}

// Close ends what the issuers use. Tokens that are being verified are not affected.
func (s *issuers) Close() {
	for _, i := range s.list {
		i.close()
	}
}

// coalesce returns the issuer that the library takes an iss claim for: Google uses two names for one.
func coalesce(iss string) string {
	if iss == "accounts.google.com" {
		return "https://accounts.google.com"
	}
	return iss
}

// issuer verifies the tokens of one issuer.
type issuer struct {
	entry

	verifier *Verifier
	flow     fairness.Flow
	static   keySet  // the keys, if the value has them
	remote   *remote // nil without a place, or with static keys

	mu            sync.Mutex
	authenticator authenticator.Token // nil until it is compiled, or if it could not be kept
	free          func()              // releases the place of authenticator
	broken        bool                // whether the entry can't be compiled
	closed        bool
}

func (i *issuer) close() {
	if i.remote != nil {
		i.verifier.release(i.remote)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	if i.free != nil {
		i.free()
	}
	i.authenticator, i.free = nil, nil
}

// attempt is a token in the context of its verification. VerifySignature sets the verdict if it rejects the token: the
// library returns only texts.
type attempt struct {
	token   credential.IDToken
	verdict credential.TokenError
}

type attemptKey struct{}

func (i *issuer) verify(ctx context.Context, token credential.IDToken) (name string, err error) {
	tokens, err := i.compiled()
	if err != nil {
		return "", err
	}
	a := &attempt{token: token}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, attemptKey{}, a), evaluationTimeout)
	defer cancel()
	response, ok, err := tokens.AuthenticateToken(ctx, token.Text)
	switch {
	case err == nil && ok && isName(response.User.GetName()):
		return response.User.GetName(), nil
	case a.verdict.Reason != "":
		return "", &a.verdict
	case err == nil && !ok:
		return "", &credential.TokenError{Reason: credential.ReasonIssuerNotTrusted}
	case !slices.ContainsFunc(token.Audiences, func(a string) bool { return slices.Contains(i.Issuer.Audiences, a) }):
		return "", &credential.TokenError{Reason: credential.ReasonAudienceNotAccepted}
	}
	return "", &credential.TokenError{Reason: credential.ReasonClaimsNotAccepted, Detail: i.failedRule(err)}
}

// isName reports whether a text can be the name of a sender in records and logs.
func isName(name string) bool {
	return len(name) <= maxNameBytes && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// failedRule returns the configured message, or the expression, of the rule that the error of the library is about. It
// repeats nothing of the token.
func (i *issuer) failedRule(err error) string {
	if err == nil {
		return "the user name is too long, or has characters that can't be printed"
	}
	failed := func(expression string) bool {
		return expression != "" && strings.Contains(err.Error(), "validation expression '"+expression+"' failed")
	}
	for _, rule := range i.ClaimValidationRules {
		switch {
		case failed(rule.Expression) && rule.Message != "":
			return rule.Message
		case failed(rule.Expression):
			return rule.Expression
		case rule.Claim != "" && strings.Contains(err.Error(), "required claim "+rule.Claim+" "):
			return "the claim " + rule.Claim + " is not as required"
		}
	}
	for _, rule := range i.UserValidationRules {
		switch {
		case failed(rule.Expression) && rule.Message != "":
			return rule.Message
		case failed(rule.Expression):
			return rule.Expression
		}
	}
	return "a claim that an expression or claimMappings uses is missing or of another type"
}

// VerifySignature implements the library's KeySet. It sends no request.
func (i *issuer) VerifySignature(ctx context.Context, text string) ([]byte, error) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return nil, errors.New("the context has no token")
	}
	keys, err := i.keys()
	if err != nil {
		a.verdict = credential.TokenError{
			Reason: credential.ReasonKeysUnknown, RetryAfter: i.wantKeys(i.verifier.now()),
		}
		return nil, err
	}
	payload, found, err := keys.verify(text)
	switch {
	case err == nil:
		return payload, nil
	case found:
		a.verdict.Reason = credential.ReasonTokenSignatureMismatch
	default:
		a.verdict.Reason = credential.ReasonKeyNotFound
		if a.verdict.RetryAfter = i.wantKeys(a.token.IssuedAt); a.verdict.RetryAfter > 0 {
			a.verdict.Reason = credential.ReasonKeysUnknown
		}
	}
	return nil, err
}

// wantKeys asks for keys that a token issued at a time needs, and returns when to try again; 0 if that is useless.
func (i *issuer) wantKeys(issuedAt time.Time) time.Duration {
	switch {
	case i.remote != nil:
		return i.remote.want(issuedAt)
	case i.static != nil:
		return 0
	}
	return noPlaceRetry
}

func (i *issuer) keys() (keySet, error) {
	switch {
	case i.static != nil:
		return i.static, nil
	case i.remote != nil:
		return i.remote.current()
	}
	return nil, errKeysUnknown
}

var errBroken = &credential.TokenError{Reason: credential.ReasonInvalidConfiguration}

// compiled returns the library's authenticator, which is kept if the namespace has a place for it.
func (i *issuer) compiled() (authenticator.Token, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.broken:
		return nil, errBroken
	case i.authenticator != nil:
		return i.authenticator, nil
	}
	free, noPlace := i.verifier.kept.TryAcquire(i.flow, 1)
	compiled, err := i.compile()
	switch {
	case err != nil:
		i.broken = true
		klog.InfoS("An OIDC issuer of a namespace is not valid, its tokens are rejected", "namespace",
			i.flow.Namespace, "issuer", i.Issuer.URL, "err", oneLine(err))
	case noPlace == nil && !i.closed:
		i.authenticator, i.free = compiled, free
		return compiled, nil
	case noPlace != nil:
		i.verifier.notices.Refused(i.flow, "compiled OIDC issuers", "err", noPlace)
	}
	if noPlace == nil {
		free()
	}
	if err != nil {
		return nil, errBroken
	}
	return compiled, nil
}

// maxProblemBytes bounds a problem with a configuration in the log.
const maxProblemBytes = 1024

// oneLine returns an error, which may quote a configuration, as one line for the log.
func oneLine(err error) string {
	line := strings.Join(strings.Fields(err.Error()), " ")
	return strings.ToValidUTF8(line[:min(len(line), maxProblemBytes)], "")
}

func (i *issuer) compile() (authenticator.Token, error) {
	options := oidc.Options{
		KeySet:               i,
		Client:               &http.Client{Transport: noTransport{}},
		SupportedSigningAlgs: oidc.AllValidSigningAlgorithms(),
	}
	bounded := i.verifier.compiler
	bounded.namespace = i.flow.Namespace
	options.Compiler = bounded
	err := apiserverv1.Convert_v1_JWTAuthenticator_To_apiserver_JWTAuthenticator(
		&i.JWTAuthenticator, &options.JWTAuthenticator, nil)
	if err != nil {
		return nil, fmt.Errorf("could not convert the entry: %w", err)
	}
	options.JWTAuthenticator.Issuer.DiscoveryURL = "" // the library must not ask it
	if options.JWTAuthenticator.Issuer.AudienceMatchPolicy == "" && len(i.Issuer.Audiences) > 1 {
		options.JWTAuthenticator.Issuer.AudienceMatchPolicy = apiserver.AudienceMatchPolicyMatchAny
	}
	return oidc.New(i.verifier.lifetime, options)
}

// noTransport makes sure that the library sends no request.
type noTransport struct{}

func (noTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("the library must not send requests")
}
