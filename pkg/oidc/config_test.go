// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/pkg/credential"
)

func quoteJSON(text string) string {
	data, _ := json.Marshal(text) //nolint:errchkjson // a string
	return string(data)
}

func TestParse(t *testing.T) {
	issuerWith := func(more string) string {
		return "jwt:\n- issuer:\n    url: https://issuer.example.com\n    audiences: [postern]\n" + more
	}
	username := "  claimMappings: {username: {claim: sub, prefix: ''}}\n"
	var many strings.Builder
	many.WriteString("jwt:\n")
	for n := range maxIssuers + 1 {
		fmt.Fprintf(&many, "- issuer: {url: 'https://issuer.example.com/%d', audiences: [x]}\n", n)
	}
	for name, test := range map[string]struct{ value, says string }{
		"empty":      {" \n", ""},
		"one issuer": {issuerWith(username), ""},
		"JSON":       {`{"jwt":[{"issuer":{"url":"https://issuer.example.com","audiences":["x"]}}]}`, ""},
		"a whole file": {
			"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n" + issuerWith(username), "",
		},
		"of another kind":  {"apiVersion: v1\nkind: ConfigMap\n" + issuerWith(username), "apiVersion and kind"},
		"anonymous access": {"anonymous: {enabled: true}\n" + issuerWith(username), "not an object with a list jwt"},
		"an unknown field": {issuerWith("  claimValidationRule: []\n"), `unknown field "jwt[0].claimValidationRule"`},
		"a long field":     {issuerWith("  ? " + strings.Repeat("x", 16<<10) + "\n  : 1\n"), "unknown field"},
		"a field twice":    {issuerWith(username + username), "not an object"},
		"a secret":         {"hunter2", "not an object"},
		"a secret's key":   {"hunter2: x", "not an object"},
		"an alias":         {"x: &x [1]\ny: *x\n", "alias"},
		"two documents":    {issuerWith(username) + "---\nhunter2", ""},
		"too long":         {issuerWith(username) + strings.Repeat("#", maxValueBytes), "at most 32768"},
		"too many issuers": {many.String(), "at most 8"},
		"the same issuer":  {issuerWith(username) + issuerWith(username)[5:], "of another entry"},
		"http":             {strings.Replace(issuerWith(username), "https", "http", 1), "https://"},
		"a user in the URL": {strings.Replace(issuerWith(username), "https://", "https://a:hunter2@", 1),
			"without user"},
		"no audience": {strings.Replace(issuerWith(username), "[postern]", "[]", 1), "audiences"},
		"an egress": {
			strings.Replace(issuerWith(username), "    aud", "    egressSelectorType: cluster\n    aud", 1),
			"egressSelectorType",
		},
		"groups": {
			issuerWith("  claimMappings: {username: {claim: sub, prefix: ''}, groups: {claim: g, prefix: ''}}\n"),
			"only username",
		},
		"keys": {issuerWith("  jwks: {keys: []}\n"), "no RSA or EC public key"},
		"a weak key": {
			issuerWith(`  jwks: {"keys":[{"kty":"RSA","e":"AQAB","n":"3wYm"}]}` + "\n"), "no RSA or EC public key",
		},
		"a text as keys": {issuerWith("  jwks: hunter2\n"), "not a JSON Web Key Set"},
		"a long expression": {
			issuerWith("  claimValidationRules: [{expression: '" + strings.Repeat("!", maxExpressionBytes) +
				"true'}]\n"),
			"expression",
		},
	} {
		t.Run(name, func(t *testing.T) {
			issuers, err := newVerifier(t, Dial{}).Parse(namespace, []byte(test.value))
			switch {
			case err == nil && test.says != "":
				t.Errorf("accepted, want an error that says %q", test.says)
			case err != nil && (test.says == "" || !strings.Contains(err.Error(), test.says)):
				t.Errorf("got %q, want %q", err, test.says)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("the error repeats the value: %v", err)
			case err != nil && (len(err.Error()) > maxProblemBytes || strings.Contains(err.Error(), "\n")):
				t.Errorf("the error is too long for the log: %v", err)
			case err == nil:
				issuers.Close()
			}
		})
	}
}

// A key that can't be used rejects all tokens; it does not open the namespace.
func TestParse_BrokenValueRejects(t *testing.T) {
	issuer := newSigner(t, "k1")
	replaced := func(old, by string) string { return strings.Replace(withKeys(t, anyConfig, issuer), old, by, 1) }
	for name, value := range map[string]string{
		"empty":             "",
		"not a list":        "jwt: x",
		"no username":       replaced("username: {claim: sub, prefix: \"test:\"}", "{}"),
		"no prefix":         replaced(`, prefix: "test:"`, ""),
		"not an expression": replaced("!claims.sub", "!!claims sub"),
		"not a condition":   replaced("!claims.sub.startsWith('evil')", "claims.sub"),
	} {
		secrets := &credential.Secrets{ParseIssuers: newVerifier(t, Dial{}).Parse}
		data := map[string][]byte{"oidc": []byte(value)}
		secrets.Set(namespace, data)
		if got, rejection := send(t, secrets, issuer.token(t, anyClaims)); rejection == nil {
			t.Errorf("%s: accepted as %q", name, got)
		}
		open := credential.NewVerifier(credential.Config{RequireSecret: false}, secrets)
		if proof, err := open.Verify(t.Context(), credential.Attempt{Namespace: namespace}); err == nil {
			t.Errorf("%s: without a credential accepted by %q", name, proof.Method)
		}
	}
}

// Expressions that could take much time or memory are refused when they are compiled, or end at their bound.
func TestExpressions_Bounded(t *testing.T) {
	issuer := newSigner(t, "k1")
	numbers := strings.TrimSuffix(strings.Repeat("1,", 200), ",")
	nested := "true"
	for range 4 {
		nested = "[" + numbers + "].all(x, " + nested + ")"
	}
	for name, expression := range map[string]string{
		"nested loops":           nested,
		"a large pattern":        `claims.sub.matches('((a{100}){100}){100}')`,
		"a medium pattern":       `claims.sub.matches('^(a?){300}$')`,
		"many matches":           `[` + numbers + `].all(x, claims.group.matches('^[a-z]+$'))`,
		"a pattern from a claim": `claims.sub.matches(claims.group)`,
		"a pattern put together": `claims.sub.matches('a' + '{1000}')`,
		"a replacement":          `claims.sub.replace('', claims.sub) != ''`,
		"joined":                 `[claims.sub].join(claims.sub) == ''`,
		"formatted":              `'%s'.format([claims.sub]) == ''`,
		"a range":                `lists.range(1000000).size() > 0`,
		"found":                  `claims.sub.find('a') == ''`,
		"a chain of macros":      `claims.?sub` + strings.Repeat(`.optMap(a, a)`, 60) + `.hasValue()`,
		"lists of twice a list":  `[[1]]` + strings.Repeat(`.map(a, [a, a])`, 60) + `.exists(a, a != a)`,
		"maps of twice a map":    `[{1: 1}]` + strings.Repeat(`.map(a, {1: a, 2: a})`, 60) + `.exists(a, a != a)`,
		"a message of twice a value": `[google.protobuf.Value{}]` + strings.Repeat(
			`.map(a, google.protobuf.Struct{fields: {'a': a, 'b': a}})`, 20) + `.exists(a, a != a)`,
		"many loops": `[[1]]` + strings.Repeat(`.map(a, a)`, 200) + `.exists(a, a != a)`,
		"a list that grows": `[[` + numbers + `]]` + strings.Repeat(`.map(a, a+a+a+a+a+a+a+a)`, 6) +
			`.exists(a, 2 in a)`,
		"a list mapped often": `[[` + numbers + `]]` + strings.Repeat(`.map(a, [`+numbers+`].map(b, a))`, 3) +
			`.exists(a, a != a)`,
		"a text that grows":     `['1']` + strings.Repeat(`.map(a, a+a+a+a+a+a+a+a)`, 7) + `.exists(a, a != a)`,
		"many equal, in a list": `[` + numbers + `].all(i, [` + numbers + `].all(j, [dyn(claims)] == [dyn(claims)]))`,
	} {
		t.Run(name, func(t *testing.T) {
			config := strings.Replace(withKeys(t, anyConfig, issuer), `"!claims.sub.startsWith('evil')"`,
				quoteJSON(expression), 1)
			secrets := secretsWith(newVerifier(t, Dial{}), config)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, rejection := send(t, secrets, issuer.token(t, anyClaims))
			start := time.Now()
			_, _ = send(t, secrets, issuer.token(t, anyClaims))
			t.Logf("once compiled, a token takes %s", time.Since(start))
			runtime.ReadMemStats(&after)
			reason := reasonOf(rejection)
			if reason != credential.ReasonInvalidConfiguration && reason != credential.ReasonClaimsNotAccepted {
				t.Errorf("got %+v, want a rejection because of the expression", rejection)
			}
			if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 96<<20 { // more with the race detector
				t.Errorf("took %d MiB", bytes>>20)
			}
		})
	}
}

// A namespace keeps no more than its share compiled; its other issuers still work.
func TestExpressions_CompiledAreBounded(t *testing.T) {
	issuer := newSigner(t, "k1")
	v := newVerifier(t, Dial{})
	config := withKeys(t, anyConfig, issuer)
	var kept int
	for n := range maxCompiled {
		secrets := &credential.Secrets{ParseIssuers: v.Parse}
		secrets.Set(namespace, map[string][]byte{"oidc": []byte(config + fmt.Sprintf("# %d\n", n))})
		if _, rejection := send(t, secrets, issuer.token(t, anyClaims)); rejection != nil {
			t.Fatalf("got %+v", rejection)
		}
		kept = n
		if release, err := v.kept.TryAcquire(fairnessFlow(), 1); err != nil {
			break
		} else {
			release()
		}
	}
	if kept >= maxCompiled/2 {
		t.Errorf("one namespace keeps %d compiled", kept)
	}
	secrets := secretsWith(v, config)
	if _, rejection := send(t, secrets, issuer.token(t, anyClaims)); rejection != nil {
		t.Errorf("beyond the share: %+v", rejection)
	}
}

// tooLong is far above what the tests below measure, also on a busy machine with the race detector, and far below what
// a cost that grows with the square of the input, or faster, takes.
const tooLong = 5 * time.Second

// An expression whose evaluation is as expensive as it may be takes little time.
func TestExpressions_Time(t *testing.T) {
	issuer := newSigner(t, "k1")
	letters := strings.Repeat("a", 15_000)
	for name, expression := range map[string]string{
		"the longest match": `claims.text.matches('^(a?){40}b$')`,
		"equal lists":       `dyn(claims.list).all(x, [dyn(claims)] == [dyn(claims)])`,
		"loops":             `dyn(claims.list).all(x, dyn(claims.list).all(y, x + y >= 0))`,
	} {
		config := strings.Replace(withKeys(t, anyConfig, issuer), `"!claims.sub.startsWith('evil')"`,
			quoteJSON(expression), 1)
		secrets := secretsWith(newVerifier(t, Dial{}), config)
		more := map[string]any{"text": letters[:9000], "list": make([]int, 1000)}
		token := issuer.token(t, but(anyClaims, more))
		_, _ = send(t, secrets, token) // compiles
		best := time.Hour
		for range 5 {
			start := time.Now()
			_, rejection := send(t, secrets, token)
			best = min(best, time.Since(start))
			if reasonOf(rejection) != credential.ReasonClaimsNotAccepted {
				t.Errorf("%s: got %s", name, reasonOf(rejection))
			}
		}
		t.Logf("%s: %s", name, best)
		if best > tooLong {
			t.Errorf("%s: took %s", name, best)
		}
	}
}

// A value as large as allowed is parsed fast: the Secrets of all namespaces wait for it.
func TestParse_Time(t *testing.T) {
	v := newVerifier(t, Dial{})
	for name, value := range map[string]string{
		"nested":  strings.Repeat("[", maxValueBytes/2) + strings.Repeat("]", maxValueBytes/2),
		"a list":  "jwt: [" + strings.Repeat("1,", maxValueBytes/2-10) + "1]",
		"objects": "jwt: [" + strings.Repeat("{},", maxValueBytes/3-10) + "{}]",
		"escapes": `jwt: "` + strings.Repeat(`\x41`, maxValueBytes/4-10) + `"`,
	} {
		best := time.Hour
		for range 3 {
			start := time.Now()
			if _, err := v.Parse(namespace, []byte(value)); err == nil {
				t.Errorf("%s: accepted", name)
			}
			best = min(best, time.Since(start))
		}
		t.Logf("%s: %s", name, best)
		if best > tooLong {
			t.Errorf("%s: took %s", name, best)
		}
	}
}
