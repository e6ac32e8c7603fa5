// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

func redelivery(name string) string { return "webhookdeliveries/" + name + "/redeliver" }

// redeliver redelivers with kubectl, and returns the answer.
func (w *world) redeliver(name string) *v1alpha1.WebhookDelivery {
	w.T.Helper()
	out := w.kubectl("", "create", "--raw="+w.absolute(redelivery(name)), "--filename=/dev/null")
	d := &v1alpha1.WebhookDelivery{}
	if err := json.Unmarshal([]byte(out), d); err != nil {
		w.T.Fatalf("kubectl did not write JSON: %v: %q", err, out)
	}
	return d
}

// allowRedelivery permits the subject to redeliver records, to targets that it may deliver to.
func (w *world) allowRedelivery(subject rbacv1.Subject) {
	w.T.Helper()
	w.Grant(subject, "create", "webhookdeliveries/redeliver")
}

func TestRedelivery_OverridesOrderOnce(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	old := w.concluded(ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v1", earlier), numbered("a"),
		http.StatusAccepted).delivery(t).Name)
	ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v2", later), numbered("b"), http.StatusAccepted)
	record := w.Get(webhookDeliveries, old.Name)

	again := w.redeliver(old.Name)

	checkOutcome(t, again, v1alpha1.DeliveryApplied, "Requested")
	w.checkRequested("web", "v1", "github")
	stored := w.concluded(again.Name)
	wantSpec := old.Spec.DeepCopy()
	wantSpec.RedeliveryOf = old.Name
	if diff := cmp.Diff(*wantSpec, stored.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if got, want := stored.Status.Sender, (&v1alpha1.Sender{Name: "admin", Method: "User"}); !cmp.Equal(got, want) {
		t.Errorf("got sender %v, want %v", got, want)
	}
	if stored.Status.Payload != nil || stored.Status.AuditID == "" || stored.Status.AuditID == old.Status.AuditID {
		t.Errorf("got payload %v, auditID %q; want no payload, and a new auditID", stored.Status.Payload,
			stored.Status.AuditID)
	}
	w.mustBeUntouched(webhookDeliveries, record)

	// An event between the two is as late as it was before.
	between := ci.mustPost(t, gatewaySyncPath("web"), releaseOf(plantRepository, "v1.5", "2026-03-04T05:06:07.5Z"),
		numbered("c"), http.StatusAccepted).delivery(t)
	checkOutcome(t, between, v1alpha1.DeliverySuperseded, "Superseded")
	// A redelivery can itself be redelivered.
	ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v3"}`, nil, http.StatusAccepted)
	if twice := w.redeliver(again.Name); twice.Spec.RedeliveryOf != again.Name {
		t.Errorf("got redeliveryOf %q, want %q", twice.Spec.RedeliveryOf, again.Name)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
}

func TestRedelivery_NeedsOwnRole(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci() // it may deliver to all targets
	record := w.concluded(ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil,
		http.StatusAccepted).delivery(t).Name)
	ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v2"}`, nil, http.StatusAccepted)
	subject, token := w.serviceAccount("operator")
	operator := w.sender(token)

	for _, s := range []sender{ci, operator} {
		status := s.mustPost(t, redelivery(record.Name), "", nil, http.StatusForbidden).status(t)
		mustBeIn(t, status.Message, `cannot create resource "webhookdeliveries/redeliver"`)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v2")

	w.allowRedelivery(subject)
	w.untilAnswered(http.StatusNotFound, operator, redelivery("nothing"), "", nil)
	status := operator.mustPost(t, redelivery(record.Name), "", nil, http.StatusForbidden).status(t)
	mustBeIn(t, status.Message, `must be allowed to create gatewaysyncs/webhookdeliveries named "web"`)
	w.mustHold(gatewaySyncs, "web", requestedRef, "v2")

	w.allow(subject, "gatewaysyncs", "web")
	w.untilAnswered(http.StatusAccepted, operator, redelivery(record.Name)+dryRun, "", nil)
	d := operator.mustPost(t, redelivery(record.Name), "", nil, http.StatusAccepted).delivery(t)
	if got, want := *d.Status.Sender, (v1alpha1.Sender{Name: "system:serviceaccount:" + w.Namespace + ":operator",
		Method: "ServiceAccount"}); got != want {
		t.Errorf("got sender %v, want %v", got, want)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
	ci.mustPost(t, redelivery(record.Name), "", nil, http.StatusForbidden)
}

// A redelivery needs the same permission as the first delivery, by target or by source. The permission for one target
// does not include another, however many records a role permits to redeliver.
func TestRedelivery_NeedsPermissionOnTarget(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.gatewaySync("other")
	w.application("shop", nil)
	toOther := w.concluded(w.deliver(delivery("to-other", "target: {kind: GatewaySync, name: other}, ref: v1")).Name)
	toShop := w.concluded(w.deliver(delivery("to-shop", toShop+", ref: v1")).Name)
	bySource := w.concluded(w.deliver(delivery("by-source", "source: generic, ref: v1")).Name)
	subject, token := w.serviceAccount("operator")
	operator := w.sender(token)
	w.allowRedelivery(subject)
	w.allow(subject, "gatewaysyncs", "web")
	w.allow(subject, "webhooksources", "github")
	w.untilAccepted(operator, gatewaySyncPath("web"), noProof)

	for record, missing := range map[string]string{
		toOther.Name:  `gatewaysyncs/webhookdeliveries named "other"`,
		toShop.Name:   `applications/webhookdeliveries named "shop"`,
		bySource.Name: `webhooksources/webhookdeliveries named "generic"`,
	} {
		for _, query := range []string{"", dryRun} {
			status := operator.mustPost(t, redelivery(record)+query, "", nil, http.StatusForbidden).status(t)
			mustBeIn(t, status.Message, missing)
		}
	}
	w.mustHaveRecords("by-source", "to-other", "to-shop")

	w.allow(subject, "applications", "shop")
	w.allow(subject, "webhooksources", "generic")
	for _, record := range []string{toShop.Name, bySource.Name} {
		w.untilAnswered(http.StatusAccepted, operator, redelivery(record)+dryRun, "", nil)
	}
}

func TestRedelivery_AnonymousIsForbidden(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("first", toWeb+", ref: v1")).Name)
	w.deliver(delivery("second", toWeb+", ref: v2"))
	before := w.Get(gatewaySyncs, "web")
	secret := newSecret()
	w.secret(map[string]string{"hmac": secret})
	w.allowRedelivery(unauthenticated)
	w.allow(unauthenticated, "gatewaysyncs")
	w.untilAccepted(w.anonymous(), gatewaySyncPath("web"), bySignature(secret))

	w.untilAnswered(http.StatusUnauthorized, w.anonymous(), redelivery("first"), "", nil)
	w.anonymous().mustPost(t, redelivery("first"), "", signed(secret, ""), http.StatusUnauthorized)

	w.mustBeUntouched(gatewaySyncs, before)
	w.mustHaveRecords("first", "second")
}

func TestRedelivery_PoliciesApply(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	w.concluded(w.deliver(delivery("branch", toWeb+", ref: main")).Name)
	w.concluded(w.deliver(delivery("version", toWeb+", ref: v1")).Name)
	w.policy("ValidatingAdmissionPolicy", onlyVersions+`
  - expression: "!has(object.spec.redeliveryOf) || request.userInfo.username == 'admin'"
    message: only the administrator delivers again
`, "validationActions: [Deny]")
	w.untilTried(ci, `{"ref": "main"}`, answeredWith(http.StatusUnprocessableEntity))
	before := w.Get(gatewaySyncs, "web")

	mustBeIn(t, w.refused("", "create", "--raw="+w.absolute(redelivery("branch")), "--filename=/dev/null"),
		"only versions are deployed here")
	subject, token := w.serviceAccount("operator")
	w.allowRedelivery(subject)
	w.allow(subject, "gatewaysyncs", "web")
	operator := w.sender(token)
	w.untilAnswered(http.StatusUnprocessableEntity, operator, redelivery("version")+dryRun, "", nil)
	status := operator.mustPost(t, redelivery("version"), "", nil, http.StatusUnprocessableEntity).status(t)
	mustBeIn(t, status.Message, "only the administrator delivers again")
	w.mustBeUntouched(gatewaySyncs, before)
	w.mustHaveRecords("branch", "version")

	checkOutcome(t, w.redeliver("version"), v1alpha1.DeliveryApplied, "Requested")
}

func TestRedelivery_NothingToRedeliver(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("ping", toWeb+", payload: "+ping)).Name)
	w.concluded(w.deliver(delivery("first", toWeb+", ref: v1")).Name)

	mustBeIn(t, w.refused("", "create", "--raw="+w.absolute(redelivery("nothing")), "--filename=/dev/null"),
		`(NotFound): webhookdeliveries.postern.dev "nothing" not found`)
	mustBeIn(t, w.refused("", "create", "--raw="+w.absolute(redelivery("ping")), "--filename=/dev/null"),
		"(BadRequest)", "the delivery requested nothing")
	mustBeIn(t, w.refused("", "get", "--raw="+w.absolute(redelivery("first"))), "(MethodNotAllowed)")
	w.kubectl("", "delete", "gatewaysync", "web")
	mustBeIn(t, w.refused("", "create", "--raw="+w.absolute(redelivery("first")), "--filename=/dev/null"), "(NotFound)")
	w.mustHaveRecords("first", "ping")
}

func TestRedelivery_DryRunLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("first", toWeb+", ref: v9")).Name)
	w.concluded(w.deliver(delivery("second", toWeb+", ref: v1")).Name)
	before := w.Get(gatewaySyncs, "web")

	out := w.kubectl("", "create", "--raw="+w.absolute(redelivery("first")+dryRun), "--filename=/dev/null")

	if diff := cmp.Diff(wouldSet("v9"), answer{body: []byte(out)}.delivery(t).Status.Targets, ignoreTimes); diff != "" {
		t.Errorf("status.targets (-want +got):\n%s", diff)
	}
	w.mustBeUntouched(gatewaySyncs, before)
	w.mustHaveRecords("first", "second")
}

func TestRedelivery_FieldIsSetByServerOnly(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("first", toWeb+", ref: v1")).Name)
	mustBeIn(t, w.refused(delivery("forged", toWeb+", ref: v2, redeliveryOf: first"), "create", "--filename=-"),
		"spec.redeliveryOf", "Forbidden")
	w.mustHaveRecords("first")
	mustBeIn(t, w.kubectl("", "explain", "whd.spec.redeliveryOf"), "Only the server sets it.")
}
