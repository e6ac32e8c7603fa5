// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"postern.dev/postern/pkg/secretheader"
)

const (
	// maxIDTokenBytes is more than proxies let through in a header.
	maxIDTokenBytes = 16 << 10
	// clockSkew is how far the clock of an issuer may be ahead.
	clockSkew = time.Minute
)

// IDToken is an OIDC token that a sender presents. Nothing of it is verified.
type IDToken struct {
	Text      string
	Issuer    string
	Audiences []string
	// IssuedAt is the zero time if the token does not say it.
	IssuedAt time.Time
}

// Issuers are the issuers of OIDC tokens that the value of one key trusts.
type Issuers interface {
	// Verify returns the name of the sender of a token. The error is a *TokenError.
	Verify(ctx context.Context, token IDToken) (name string, err error)
	// Len returns their number. Without any, no token is accepted.
	Len() int
	// Close is called when the value has been replaced. Verify may still be called.
	Close()
}

// IssuerParser reads the value of a key in a namespace. Its error must not repeat the value.
type IssuerParser func(namespace string, value []byte) (Issuers, error)

// TokenError is why a token is not accepted. Only the operator may see it.
type TokenError struct {
	Reason Reason
	// Detail is more about the reason, from the configuration and not from the token; "" if there is none.
	Detail string
	// RetryAfter is when the token may be accepted; 0 is never.
	RetryAfter time.Duration
}

// Error returns the reason and its detail.
func (e *TokenError) Error() string {
	if e.Detail == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Detail
}

// readIDTokens reads the tokens of an attempt, at most one of each header. Authorization may also have a shared secret,
// so a value that is no token is ignored there.
func readIDTokens(a Attempt, now time.Time) (tokens []IDToken, problem Reason) {
	own, problem := singleValue(a.Header, secretheader.IDToken)
	texts := []string{own}
	bearer, _ := authorizationTokens(a)
	if len(bearer) == 2 && looksLikeIDToken(bearer[1]) {
		texts = append(texts, bearer[1])
	}
	for _, text := range texts {
		if text == "" {
			continue
		}
		token, unreadable := readIDToken(text, now)
		if unreadable != "" {
			problem = unreadable
			continue
		}
		tokens = append(tokens, token)
	}
	return tokens, problem
}

// looksLikeIDToken reports whether a text has the parts of a token in compact form: three, or five if it is encrypted.
func looksLikeIDToken(text string) bool {
	dots := strings.Count(text, ".")
	return strings.HasPrefix(text, "eyJ") && (dots == 2 || dots == 4)
}

// readIDToken reads a signed token in compact form, and checks what does not depend on any configuration.
func readIDToken(text string, now time.Time) (IDToken, Reason) {
	if len(text) > maxIDTokenBytes {
		return IDToken{}, ReasonTokenTooLong
	}
	parts := strings.Split(text, ".")
	if len(parts) == 5 {
		return IDToken{}, ReasonTokenEncrypted
	}
	if len(parts) != 3 {
		return IDToken{}, ReasonMalformedToken
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	var claims struct {
		Issuer    string      `json:"iss"`
		Audience  audience    `json:"aud"`
		Expiry    json.Number `json:"exp"`
		NotBefore json.Number `json:"nbf"`
		IssuedAt  json.Number `json:"iat"`
	}
	if decodePart(parts[0], &header) != nil || decodePart(parts[1], &claims) != nil || claims.Issuer == "" {
		return IDToken{}, ReasonMalformedToken
	}
	expiry, err := parseTime(claims.Expiry)
	notBefore, notBeforeErr := parseTime(claims.NotBefore)
	issuedAt, issuedAtErr := parseTime(claims.IssuedAt)
	switch {
	case !isAsymmetric(header.Algorithm):
		return IDToken{}, ReasonTokenAlgorithm
	case errors.Join(err, notBeforeErr, issuedAtErr) != nil, expiry.IsZero():
		return IDToken{}, ReasonMalformedToken
	case expiry.Before(now):
		return IDToken{}, ReasonTokenExpired
	case notBefore.After(now.Add(clockSkew)):
		return IDToken{}, ReasonTokenNotYetValid
	}
	return IDToken{Text: text, Issuer: claims.Issuer, Audiences: claims.Audience, IssuedAt: issuedAt}, ""
}

// isAsymmetric reports whether an algorithm of JWS is one with a public key that issuers use.
func isAsymmetric(algorithm string) bool {
	family, bits := algorithm[:min(len(algorithm), 2)], algorithm[min(len(algorithm), 2):]
	return (family == "RS" || family == "PS" || family == "ES") && (bits == "256" || bits == "384" || bits == "512")
}

// registered are the claims that are read here and by the library. encoding/json finds them in any case, expressions
// do not; a token that differs only in case is rejected.
var registered = []string{"iss", "aud", "exp", "nbf", "iat", "sub", "alg", "kid"}

// decodePart decodes a part of a token into the fields of an object.
func decodePart(part string, fields any) error {
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return err
	}
	var names map[string]json.RawMessage
	if err := json.Unmarshal(data, &names); err != nil {
		return err
	}
	for name := range names {
		for _, exact := range registered {
			if name != exact && strings.EqualFold(name, exact) {
				return errors.New("a name in the wrong case")
			}
		}
	}
	return json.Unmarshal(data, fields)
}

// audience is one text or a list.
type audience []string

// UnmarshalJSON reads either form.
func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// parseTime returns the zero time for an absent claim. Seconds may have a fraction.
func parseTime(seconds json.Number) (time.Time, error) {
	if seconds == "" {
		return time.Time{}, nil
	}
	value, err := seconds.Float64()
	if err != nil || math.Abs(value) > 1<<40 {
		return time.Time{}, errors.New("not a time")
	}
	return time.Unix(int64(value), 0), nil
}
