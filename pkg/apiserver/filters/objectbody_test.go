// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"postern.dev/postern/apis/postern"
)

func toCreate(verb, contentType, body string) *http.Request {
	info := toObject
	info.Verb = verb
	method := http.MethodPost
	if verb == "patch" {
		method = http.MethodPatch
	}
	req := httptest.NewRequest(method, "/", strings.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	return req.WithContext(genericapirequest.WithRequestInfo(req.Context(), &info))
}

func TestObjectBody_PayloadIsExtractedAndRestored(t *testing.T) {
	for verb, contentTypes := range map[string][]string{
		"create": {"", "application/json"},
		"update": {"application/json"},
		"patch": {"application/apply-patch+yaml", "application/merge-patch+json",
			"application/strategic-merge-patch+json"},
	} {
		for _, contentType := range contentTypes {
			t.Run(verb+" "+contentType, func(t *testing.T) { mustExtractAndRestore(t, verb, contentType) })
		}
	}
}

func mustExtractAndRestore(t *testing.T, verb, contentType string) {
	t.Helper()
	const body = `{"spec":{"payload":{"ref":"main"},"headers":{}}}`
	served := false
	WithObjectLimit(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		served = true
		rest, err := io.ReadAll(req.Body)
		if err != nil || string(rest) != `{"spec":{"payload":{},"headers":{}}}` {
			t.Errorf("got %s, %v", rest, err)
		}
		d := &postern.WebhookDelivery{Spec: postern.WebhookDeliverySpec{Payload: &postern.JSON{Raw: []byte("{}")}}}
		if RestorePayload(req.Context(), d); string(d.Spec.Payload.Raw) != `{"ref":"main"}` {
			t.Errorf("restored %s", d.Spec.Payload.Raw)
		}
		none := &postern.WebhookDelivery{}
		if RestorePayload(req.Context(), none); none.Spec.Payload != nil {
			t.Errorf("restored %s without a payload", none.Spec.Payload.Raw)
		}
	}), 1000).ServeHTTP(httptest.NewRecorder(), toCreate(verb, contentType, body))
	if !served {
		t.Error("the request was not served")
	}
}

func TestObjectBody_RefusedBeforeDecoding(t *testing.T) {
	many := `{"metadata":{"managedFields":[{}` + strings.Repeat(",{}", maxObjectParts) + `]}}`
	for _, test := range []struct {
		name   string
		req    *http.Request
		code   int
		reason metav1.StatusReason
		says   string
	}{
		{"many items", toCreate("create", "application/json", many), 400, metav1.StatusReasonBadRequest,
			"but at most 1024 are read"},
		{"not UTF-8", toCreate("create", "application/json", "{\"spec\":{\"ref\":\"\xff\"}}"), 400,
			metav1.StatusReasonBadRequest, "is not UTF-8"},
		{"not JSON", toCreate("create", "", `{"spec":{"ref":`), 400, metav1.StatusReasonBadRequest, "is not JSON"},
		{"YAML", toCreate("create", "application/yaml", "a: b"), 415, metav1.StatusReasonUnsupportedMediaType,
			"must be sent as JSON"},
		{"applied YAML", toCreate("patch", "application/apply-patch+yaml", "a: b"), 415,
			metav1.StatusReasonUnsupportedMediaType, "must be sent as JSON"},
		{"an update that is no JSON", toCreate("update", "application/yaml", "a: b"), 415,
			metav1.StatusReasonUnsupportedMediaType, "must be sent as JSON"},
		{"many operations", toCreate("patch", "application/json-patch+json",
			`[{}`+strings.Repeat(",{}", maxObjectParts)+`]`), 400, metav1.StatusReasonBadRequest,
			"but at most 1024 are read"},
		{"too large", toCreate("create", "application/json", strings.Repeat(" ", 100_001)), 413,
			metav1.StatusReasonRequestEntityTooLarge,
			"the object is over 100000 bytes"},
		{"large options of a deletion",
			toCreate("deletecollection", "application/json", strings.Repeat(" ", maxOptionsBytes+1)), 413,
			metav1.StatusReasonRequestEntityTooLarge, "the object is over 65536 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := httptest.NewRecorder()
			WithObjectLimit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				t.Error("the request was served")
			}), 100_000).ServeHTTP(answer, test.req)
			mustAnswerTooManyRequests(t, answer, test.code, test.reason, test.says)
		})
	}
}

func TestObjectBody_OtherBodiesAreNotRead(t *testing.T) {
	endpointReq := toCreate("create", "application/json", "{")
	info := toEndpoint
	endpointReq = endpointReq.WithContext(genericapirequest.WithRequestInfo(endpointReq.Context(), &info))
	for name, req := range map[string]*http.Request{"a payload": endpointReq,
		"no body": httptest.NewRequest(http.MethodGet, "/", nil)} {
		WithObjectLimit(http.HandlerFunc(func(_ http.ResponseWriter, got *http.Request) {
			if got != req {
				t.Errorf("%s: the request was changed", name)
			}
		}), 10).ServeHTTP(httptest.NewRecorder(), req)
	}
}
