// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// badBodies can never be delivered. advice is a part of the answer.
var badBodies = []struct{ name, body, advice string }{
	{"empty", "", "the body is empty: send a JSON object"},
	{"white space", " \r\n\t", "the body is empty: send a JSON object"},
	{"not JSON", "deploy v1 please", "the body is not JSON"},
	{"cut off", `{"ref":"v1"`, "the body is not JSON"},
	{"two objects", `{"ref":"v1"}{"ref":"v2"}`, "the body is not JSON"},
	{"more after the object", `{"ref":"v1"} v2`, "the body is not JSON"},
	{"comment", `{"ref":"v1" /* please */}`, "the body is not JSON"},
	{"array", `[{"ref":"v1"}]`, "must be a JSON object"},
	{"string", `"v1"`, "must be a JSON object"},
	{"number", `42`, "must be a JSON object"},
	{"null", `null`, "must be a JSON object"},
	{"empty object", `{}`, `to ask for a ref yourself, send {"ref": "main"}`},
	{"unknown field", `{"reference":"v1"}`, `to ask for a ref yourself, send {"ref": "main"}`},
	{"name in another case", `{"Ref":"v1"}`, `to ask for a ref yourself, send {"ref": "main"}`},

	{"objects, 100,000 deep", strings.Repeat(`{"ref":`, 100_000) + `"v1"` + strings.Repeat("}", 100_000),
		"exceeded max depth"},
	{"arrays, 100,000 deep", `{"ref":"v1","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}",
		"exceeded max depth"},
	{"arrays, 100,000 deep and never closed", `{"ref":"v1","x":` + strings.Repeat("[", 100_000), "exceeded max depth"},
	{"arrays, 2,000 deep", `{"ref":"v1","x":` + strings.Repeat("[", 2_000) + strings.Repeat("]", 2_000) + "}",
		"nests more than 1000 levels deep"},

	{"name twice", `{"ref":"v1","ref":"v2"}`, `the name "ref" twice`},
	{"name twice, nested", `{"ref":"v1","x":[{"y":{"a":1,"b":2,"a":3}}]}`, `the name "a" twice`},
	{"name twice, once escaped", `{"ref":"v1","\u0072ef":"v2"}`, `the name "ref" twice`},
	{"name twice, nested and escaped", `{"ref":"v1","x":{"\u00e9":1,"é":2}}`, "twice in one object"},

	{"not UTF-8", "{\"ref\":\"v1\",\"x\":\"\xff\xfe\"}", "not UTF-8"},
	{"UTF-8 of a surrogate", "{\"ref\":\"v\xed\xa0\x80\"}", "not UTF-8"},
	{"half of a surrogate pair", `{"ref":"v1","x":"\ud800"}`, "half of a surrogate pair"},
	{"control character in a string", "{\"ref\":\"v\x01\"}", "the body is not JSON"},

	{"ref is a number", `{"ref":1}`, "ref must be a string, got number"},
	{"ref is true", `{"ref":true}`, "ref must be a string, got bool"},
	{"ref is an object", `{"ref":{"name":"v1"}}`, "ref must be a string, got object"},
	{"ref is an array", `{"ref":["v1"]}`, "ref must be a string, got array"},
	{"ref is null", `{"ref":null}`, "it is empty"},

	{"form without the field", "ref=v1", "the body is not JSON"},
	{"form with two payloads", "payload=%7B%7D&payload=%7B%7D", "exactly one field named payload, not 2"},
	{"form that is malformed", "payload=%zz", "not a valid form"},
}

// badRefs are invalid refs. broken is the rule that they violate.
var badRefs = []struct{ ref, broken string }{
	{"", "is empty"},
	{"refs/heads/", "is empty"},
	{"../x", `must not contain ".."`},
	{"x/.y", "component that begins with a dot"},
	{"..", "must not"},
	{"a..b", `must not contain ".."`},
	{"-x", "must not begin with a dash"},
	{"refs/tags/--upload-pack=x", "must not begin with a dash"},
	{"x.lock", "ends with .lock"},
	{"x.lock/y", "ends with .lock"},
	{"x.", "must not end with a dot"},
	{"/x", "slash"},
	{"x//y", "slash"},
	{"x/", "slash"},
	{"@", "it is not the name of a branch or tag"},
	{"HEAD", "it is not the name of a branch or tag"},
	{"x@{1}", `must not contain "@{"`},
	{"refs/pull/7/head", "below refs/"},
	{"a b", "spaces or control characters"},
	{"v1\n", "spaces or control characters"},
	{"v1\r\nSet-Cookie: x", "spaces or control characters"},
	{"v\x00", "spaces or control characters"},
	{"\x1b[31mred", "spaces or control characters"},
	{"x\x7f", "spaces or control characters"},
	{"\u009b31mred", "spaces or control characters"},
	{"a~1", "must not contain any of"},
	{"a^", "must not contain any of"},
	{"a:b", "must not contain any of"},
	{"*", "must not contain any of"},
	{`a\b`, "must not contain any of"},
	{strings.Repeat("x", 300), "longer than 255 bytes"},
	{strings.Repeat("é", 200), "longer than 255 bytes"},
}

// unharmed creates a target and a sender that may deliver to it. check fails the test if the target has changed, a
// record exists, or Postern has ended.
func unharmed(t *testing.T) (releaser sender, check func()) {
	t.Helper()
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser = w.releaser("web")
	before, pid := w.Get(gatewaySyncs, "web"), w.postern.PID()
	return releaser, func() {
		t.Helper()
		w.mustBeUntouched(gatewaySyncs, before)
		w.mustHaveRecords()
		if !w.postern.Running() || w.postern.PID() != pid {
			t.Fatalf("Postern has ended: %s", w.postern.LogTail())
		}
		releaser.mustPost(t, gatewaySyncPath("web"), anyBody, nil, http.StatusAccepted)
		w.checkRequested("web", "v1", "generic")
	}
}

// mustBeRefused fails the test unless a delivery is answered with a Status that has the advice.
func (s sender) mustBeRefused(t *testing.T, r request, code int, reason metav1.StatusReason, advice string) {
	t.Helper()
	status := s.mustPost(t, gatewaySyncPath("web"), r.body, r.header, code).status(t)
	want := metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Code: int32(code), Reason: reason, Message: status.Message,
	}
	status.Details = nil
	if diff := cmp.Diff(&want, status); diff != "" {
		t.Error(diff)
	}
	const longest = 1000 // the answer must not repeat the payload
	if !strings.Contains(status.Message, advice) || len(status.Message) > longest {
		t.Errorf("got message %q, want %q in it", status.Message, advice)
	}
	if strings.ContainsFunc(status.Message, unicode.IsControl) {
		t.Errorf("the message has control characters: %q", status.Message)
	}
}

func TestBody_InvalidIsRefused(t *testing.T) {
	releaser, check := unharmed(t)
	for _, bad := range badBodies {
		t.Run(bad.name, func(t *testing.T) {
			releaser.mustBeRefused(t, request{body: bad.body}, http.StatusBadRequest, metav1.StatusReasonBadRequest,
				bad.advice)
		})
	}
	check()
}

func TestRef_InvalidIsRefusedWithRule(t *testing.T) {
	releaser, check := unharmed(t)
	for i, bad := range badRefs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			ref := string(mustJSON(t, bad.ref))
			bodies := []string{`{"ref":` + ref + `}`}
			if bad.ref != "" { // for other senders the ref is elsewhere
				bodies = append(bodies,
					`{"freight":{"commits":[]},"ref":`+ref+`}`,
					`{"app":{"status":{"sync":{"revision":""}}},"ref":`+ref+`}`)
			}
			for _, body := range bodies {
				releaser.mustBeRefused(t, request{body: body}, http.StatusBadRequest, metav1.StatusReasonBadRequest,
					bad.broken)
			}
		})
	}
	check()
}

func TestPayload_UnknownFieldsAreAccepted(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	const body = `{"ref":"v1","event":"deploy","apiVersion":"v1","kind":"Secret","metadata":{"name":"x",` +
		`"namespace":"kube-system"},` +
		`"spec":{"target":{"name":"other"}},"repository":{"full_name":"a/b"},"__proto__":{"a":1},"":null,` +
		`"deep":[[[[{}]]]]}`
	d := releaser.mustPost(t, gatewaySyncPath("web"), body, nil, http.StatusAccepted).delivery(t)
	checkApplied(t, d, "generic", v1alpha1.TargetResult{
		Kind: v1alpha1.TargetGatewaySync, Name: "web", Ref: "v1", PreviousRef: "main",
		Message: `stoker.io/requested-ref set to "v1"`,
		Changes: []v1alpha1.FieldChange{{Field: "stoker.io/requested-ref", New: "v1"}},
	})
}
