// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// writesTo counts the patches of an object in the cluster's audit log.
func (w *world) writesTo(name string) int {
	w.T.Helper()
	writes := 0
	for _, event := range w.auditEvents(w.T, `"`+w.Namespace+`"`) {
		ref := event.ObjectRef
		if ref == nil || ref.APIGroup != "stoker.io" || ref.Namespace != w.Namespace || ref.Name != name {
			continue
		}
		switch event.Verb {
		case "patch", "update":
			writes++
		}
	}
	return writes
}

func TestAnswer_IsJSONAndTargetWrittenOnce(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	for i, accept := range []string{
		"", "*/*", "application/json", "text/plain", "text/html, image/gif; q=.2", "application/yaml",
		"application/vnd.kubernetes.protobuf", "application/json;as=Table;g=meta.k8s.io;v=v1", "nonsense",
	} {
		header := map[string]string{"Accept": accept}
		ref := "v" + string(rune('1'+i))
		got := releaser.mustPost(t, gatewaySyncPath("web"), `{"ref":"`+ref+`"}`, header, http.StatusAccepted)
		if contentType := got.header.Get("Content-Type"); contentType != "application/json" {
			t.Errorf("Accept: %s: got Content-Type %q, want JSON", accept, contentType)
		}
		if d := got.delivery(t); d.Kind != "WebhookDelivery" || d.Status.Phase != v1alpha1.DeliveryApplied {
			t.Errorf("Accept: %s: got %s", accept, got.body)
		}
		w.checkRequested("web", ref, "generic")
		w.eventually(func() error { return want("patches of the target", w.writesTo("web"), i+1) })

		status := releaser.mustPost(t, gatewaySyncPath("web"), useless, header, http.StatusBadRequest).status(t)
		if status.Kind != "Status" || status.Reason != metav1.StatusReasonBadRequest {
			t.Errorf("Accept: %s: got error %+v, want a Status", accept, status)
		}
		if got, want := len(w.records()), i+1; got != want {
			t.Errorf("Accept: %s: got %d records, want %d", accept, got, want)
		}
	}
}

func TestContentType_JSONOrForm(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	for _, contentType := range []string{
		"", "application/json", "application/json; charset=utf-8", "text/plain", "application/octet-stream",
		"application/xml",
		"application/x-www-form-urlencoded", "application/yaml", "application/vnd.kubernetes.protobuf", ";;;",
		"multipart/form-data",
	} {
		got := releaser.mustPost(t, gatewaySyncPath("web"), `{"ref":"v1"}`,
			map[string]string{"Content-Type": contentType}, http.StatusAccepted)
		if phase := got.delivery(t).Status.Phase; phase != v1alpha1.DeliveryApplied {
			t.Errorf("Content-Type %q: got phase %s, want Applied", contentType, phase)
		}
	}
	got := releaser.mustPost(t, gatewaySyncPath("web"), "ref: v2\n",
		map[string]string{"Content-Type": "application/yaml"}, http.StatusBadRequest)
	if message := got.status(t).Message; !strings.Contains(message, "not JSON") {
		t.Errorf("YAML: got %q, want an error that it is not JSON", message)
	}
	w.checkRequested("web", "v1", "generic")
}

func TestContentEncoding_IsRefused(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	var compressed bytes.Buffer
	writer := gzip.NewWriter(&compressed)
	if _, err := writer.Write([]byte(`{"ref":"v1"}`)); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	for header, advice := range map[string]string{"gzip": "without Content-Encoding", "": "not compressed"} {
		got := releaser.mustPost(t, gatewaySyncPath("web"), compressed.String(),
			map[string]string{"Content-Encoding": header}, http.StatusBadRequest)
		if message := got.status(t).Message; !strings.Contains(message, advice) {
			t.Errorf("Content-Encoding %q: got %q, want the advice %q", header, message, advice)
		}
	}
	if got := w.annotations(gatewaySyncs, "web"); len(got) > 0 {
		t.Errorf("a compressed delivery was written: %v", got)
	}
}
