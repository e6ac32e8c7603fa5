// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// release is a GitHub release with white space that decoding and encoding would lose.
const release = `{"action": "published",
  "release": {"tag_name": "v2.0.0", "draft": false, "published_at": "2026-03-04T05:06:07Z"},
  "repository": {"clone_url": "https://github.com/example/plant.git"}}`

var releaseEvent = v1alpha1.DeliveryEvent{
	Source: "github", Event: "release.published", Ref: "v2.0.0", RefType: v1alpha1.RefTypeTag,
	Repository: "https://github.com/example/plant.git",
	Time:       &metav1.MicroTime{Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)},
}

func digestOf(body string) *v1alpha1.PayloadDigest {
	digest := sha256.Sum256([]byte(body))
	return &v1alpha1.PayloadDigest{SHA256: hex.EncodeToString(digest[:]), Bytes: int64(len(body))}
}

func TestKubectlCreate_Ref(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	file := filepath.Join(t.TempDir(), "delivery.yaml")
	if err := os.WriteFile(file, []byte(delivery("by-hand", toWeb+", ref: v1.2.0")), 0o600); err != nil {
		t.Fatal(err)
	}

	if got, want := w.kubectl("", "create", "-f", file), "webhookdelivery.postern.dev/by-hand created\n"; got != want {
		t.Errorf("kubectl printed %q, want %q", got, want)
	}

	w.mustHold(gatewaySyncs, "web", requestedRef, "v1.2.0")
	w.mustHold(gatewaySyncs, "web", requestedBy, "generic")
	got := w.concluded("by-hand")
	wantSpec := v1alpha1.WebhookDeliverySpec{
		Source: "generic",
		Target: &v1alpha1.TargetReference{Kind: v1alpha1.TargetGatewaySync, Name: "web"},
		Ref:    "v1.2.0",
		Events: []v1alpha1.DeliveryEvent{{Source: "generic", Event: "request", Ref: "v1.2.0"}},
	}
	if diff := cmp.Diff(wantSpec, got.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	const message = `stoker.io/requested-ref set to "v1.2.0"`
	wantStatus := v1alpha1.WebhookDeliveryStatus{
		Phase: v1alpha1.DeliveryApplied, Reason: "Requested", Message: message,
		Conditions: []metav1.Condition{
			{Type: "Verified", Status: metav1.ConditionTrue, Reason: "User", Message: "the sender proved itself"},
			{Type: "Applied", Status: metav1.ConditionTrue, Reason: "Requested", Message: message},
		},
		Targets: []v1alpha1.TargetResult{{
			Kind: v1alpha1.TargetGatewaySync, Name: "web", Ref: "v1.2.0", PreviousRef: "main",
			Result: v1alpha1.TargetWritten, Reason: "Requested", Message: message,
			Changes: []v1alpha1.FieldChange{{Field: "stoker.io/requested-ref", New: "v1.2.0"}},
		}},
		Sender: &v1alpha1.Sender{Name: "admin", Method: "User"},
	}
	if diff := cmp.Diff(wantStatus, got.Status, ignoreTimes,
		cmpopts.IgnoreFields(v1alpha1.WebhookDeliveryStatus{}, "AuditID", "ReceivedTime")); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(w.auditLog()), `"auditID":"`+got.Status.AuditID+`"`) {
		t.Errorf("the cluster's audit log has no event %q", got.Status.AuditID)
	}
}

func (w *world) auditLog() []byte {
	w.T.Helper()
	log, err := os.ReadFile(w.AuditLog())
	if err != nil {
		w.T.Fatal(err)
	}
	return log
}

func TestKubectlCreate_Payload(t *testing.T) {
	w := newWorld(t)
	w.application("shop", nil)

	w.deliver(delivery("release", toShop+", payload: "+release+
		", headers: {x-github-event: release, X-GitHub-Delivery: id-1}"))

	got := w.concluded("release")
	event := releaseEvent
	event.DeliveryID = "id-1"
	want := v1alpha1.WebhookDeliverySpec{
		Source:  "github",
		Target:  &v1alpha1.TargetReference{Kind: v1alpha1.TargetApplication, Name: "shop"},
		Headers: map[string]string{"X-Github-Event": "release", "X-Github-Delivery": "id-1"},
		Events:  []v1alpha1.DeliveryEvent{event},
	}
	if diff := cmp.Diff(want, got.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if got.Status.Phase != v1alpha1.DeliveryApplied || got.Status.Payload == nil {
		t.Errorf("got phase %q, payload %v; want it applied, with the payload's digest", got.Status.Phase,
			got.Status.Payload)
	}
	w.mustHold(applications, "shop", "postern.dev/requested-ref", "v2.0.0")
}

func TestKubectlCreate_RawPayload(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	raw := base64.StdEncoding.EncodeToString([]byte(release))

	w.deliver(delivery("raw", toWeb+", rawPayload: "+raw))

	got := w.concluded("raw")
	want := v1alpha1.WebhookDeliverySpec{
		Source: "github",
		Target: &v1alpha1.TargetReference{Kind: v1alpha1.TargetGatewaySync, Name: "web"},
		Events: []v1alpha1.DeliveryEvent{releaseEvent},
	}
	if diff := cmp.Diff(want, got.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(digestOf(release), got.Status.Payload); diff != "" {
		t.Errorf("status.payload (-want +got):\n%s", diff)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v2.0.0")
}

func TestKubectlCreate_GenerateName(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	nameless := strings.Replace(delivery("", toWeb+", ref: v1"), "metadata: {name: }", "metadata: {}", 1)
	if got := w.deliver(nameless).Name; !strings.HasPrefix(got, "generic-") || len(got) == len("generic-") {
		t.Errorf("got name %q, want generic- and random letters", got)
	}
}

func TestKubectlApply_LeavesNoPayload(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	raw := base64.StdEncoding.EncodeToString([]byte(release))
	signature := sign(newSecret(), release)
	for name, spec := range map[string]string{
		"raw":     "rawPayload: " + raw + ", headers: {X-Hub-Signature-256: " + signature + "}",
		"payload": "payload: " + release + ", headers: {X-Hub-Signature-256: " + signature + "}",
		"ref":     "ref: v3, headers: {X-Hub-Signature-256: " + signature + "}",
	} {
		w.kubectl(delivery(name, toWeb+", "+spec), "apply", "--filename=-")
		record := w.kubectl("", "get", "whd", name, "--output=json")
		for _, secret := range []string{signature, raw, "tag_name"} {
			if strings.Contains(record, secret) {
				t.Errorf("%s: %q is in the record: %s", name, secret, record)
			}
		}
	}
}

func TestKubectlApply_SameRefChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	manifest := delivery("wanted", toWeb+", ref: v3")
	for _, want := range []string{"created", "unchanged"} {
		if got := w.kubectl(manifest, "apply", "--filename=-"); got != "webhookdelivery.postern.dev/wanted "+want+"\n" {
			t.Errorf("kubectl printed %q, want %q", got, want)
		}
	}
}

func TestKubectlCreate_RawFile(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	file := filepath.Join(t.TempDir(), "payload.json")
	if err := os.WriteFile(file, []byte(release), 0o600); err != nil {
		t.Fatal(err)
	}

	out := answer{body: []byte(w.kubectl("", "create", "--raw", w.absolute(gatewaySyncPath("web")), "-f",
		file))}.delivery(t)

	if out.Kind != "WebhookDelivery" || out.APIVersion != "postern.dev/v1alpha1" {
		t.Errorf("got a %s of %s, want a WebhookDelivery of postern.dev/v1alpha1", out.Kind, out.APIVersion)
	}
	got := w.concluded(out.Name)
	if diff := cmp.Diff([]v1alpha1.DeliveryEvent{releaseEvent}, got.Spec.Events); diff != "" {
		t.Errorf("spec.events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(digestOf(release), got.Status.Payload); diff != "" {
		t.Errorf("status.payload (-want +got):\n%s", diff)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v2.0.0")
	w.mustHold(gatewaySyncs, "web", requestedBy, "github")
}

// Clients that may list CustomResourceDefinitions do not need the operation that this tests; a CI job may not list
// them.
func TestKubectlCreate_WithCreatePermissionOnly(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.creator()
	creator := "--as=system:serviceaccount:" + w.Namespace + ":creator"

	output := w.kubectl(delivery("by-ci", toWeb+", ref: v1.2.0"), "create", "--filename=-", creator)

	if want := "webhookdelivery.postern.dev/by-ci created\n"; output != want {
		t.Errorf("kubectl printed %q, want %q", output, want)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1.2.0")
	mustBeIn(t, w.refused(delivery("typo", toWeb+", reff: v1.2.0"), "create", "--filename=-", creator),
		`unknown field "spec.reff"`)
}
