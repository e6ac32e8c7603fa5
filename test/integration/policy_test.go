// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// policy creates and binds an admission policy for the creation of deliveries in this namespace. spec is the rest of
// its spec. It returns the name of both. kind is ValidatingAdmissionPolicy or MutatingAdmissionPolicy; the test is
// skipped if the latter is not served.
func (w *world) policy(kind, spec, bindingSpec string) string {
	w.T.Helper()
	return w.policyOn("{apiGroups: [postern.dev], apiVersions: ['*'], operations: [CREATE], resources: "+
		"[webhookdeliveries]}",
		kind, spec, bindingSpec)
}

// policyOn is policy for the given resource rule.
func (w *world) policyOn(rule, kind, spec, bindingSpec string) string {
	w.T.Helper()
	if kind == "MutatingAdmissionPolicy" {
		w.RequireMutatingPolicies(w.T)
	}
	name := w.Namespace
	manifest := `
apiVersion: admissionregistration.k8s.io/v1
kind: ` + kind + `
metadata: {name: ` + name + `}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ` + w.Namespace + `}}
    resourceRules: [` + rule + `]
` + spec + `
---
apiVersion: admissionregistration.k8s.io/v1
kind: ` + kind + `Binding
metadata: {name: ` + name + `}
spec: {policyName: ` + name + `, ` + bindingSpec + `}
`
	w.kubectl(manifest, "create", "--filename=-")
	w.T.Cleanup(func() {
		if _, err := w.Kubectl(context.Background(), manifest, "delete", "--filename=-"); err != nil {
			w.T.Error(err)
		}
	})
	return name
}

// onlyVersions accepts requests for refs that start with v, and deliveries without requests.
const onlyVersions = `
  validations:
  - expression: "object.spec.events.all(e, e.ref.startsWith('v'))"
    message: only versions are deployed here
`

// untilTried repeats a dry run for GatewaySync web until the answer satisfies the condition.
func (w *world) untilTried(s sender, body string, condition func(answer) error) {
	w.T.Helper()
	w.eventually(func() error {
		got, err := s.post(w.T.Context(), gatewaySyncPath("web")+dryRun, []byte(body), nil)
		if err == nil {
			err = condition(got)
		}
		return err
	})
}

func answeredWith(code int) func(answer) error {
	return func(a answer) error {
		if a.code != code {
			return fmt.Errorf("got %d, want %d: %s", a.code, code, a.body)
		}
		return nil
	}
}

func TestAdmission_PolicyRefusesAtEveryEndpoint(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	name := w.policy("ValidatingAdmissionPolicy", onlyVersions, "validationActions: [Deny]")
	w.untilTried(ci, `{"ref": "main"}`, answeredWith(http.StatusUnprocessableEntity))
	before := w.Get(gatewaySyncs, "web")
	message := "ValidatingAdmissionPolicy '" + name + "' with binding '" + name +
		"' denied request: only versions are deployed here"

	status := ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "main"}`, nil, http.StatusUnprocessableEntity).status(t)
	if status.Reason != metav1.StatusReasonInvalid || !strings.HasSuffix(status.Message, message) {
		t.Errorf("by target: got reason %q, message %q; want Invalid, %q", status.Reason, status.Message, message)
	}
	raw := w.refused(`{"ref": "main"}`, "create", "--raw="+w.absolute(gatewaySyncPath("web")), "--filename=-")
	mustBeIn(t, raw, message)
	mustBeIn(t, w.refused(delivery("refused", toWeb+", ref: main"), "create", "--filename=-"), message)
	mustBeIn(t, w.refused(delivery("refused", toWeb+", ref: main"), "create", "--filename=-", "--dry-run=server"),
		message)

	w.mustBeUntouched(gatewaySyncs, before)
	w.mustHaveRecords()
}

func TestAdmission_PolicyAllowsRefsAndPings(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	w.policy("ValidatingAdmissionPolicy", onlyVersions, "validationActions: [Deny]")
	w.untilTried(ci, `{"ref": "main"}`, answeredWith(http.StatusUnprocessableEntity))

	ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusAccepted)
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
	w.deliver(delivery("allowed", toWeb+", ref: v2"))
	w.mustHold(gatewaySyncs, "web", requestedRef, "v2")

	github := map[string]string{"X-GitHub-Event": "ping", "X-GitHub-Delivery": "1"}
	got := ci.mustPost(t, gatewaySyncPath("web"), ping, github, http.StatusAccepted).delivery(t)
	if got.Status.Phase != v1alpha1.DeliveryIgnored || got.Status.Reason != "Ping" {
		t.Errorf("ping: got phase %q, reason %q; want Ignored, Ping", got.Status.Phase, got.Status.Reason)
	}
}

func TestAdmission_PolicyReason(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	w.policy("ValidatingAdmissionPolicy", onlyVersions+"    reason: Forbidden\n", "validationActions: [Deny]")
	w.untilTried(ci, `{"ref": "main"}`, answeredWith(http.StatusForbidden))
	mustBeIn(t, w.refused(delivery("refused", toWeb+", ref: main"), "create", "--filename=-"),
		"Error from server (Forbidden)")
	w.mustHaveRecords()
}

func TestAdmission_PolicySeesSenderAndTarget(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.application("shop", nil)
	ci := w.ci()
	w.policy("ValidatingAdmissionPolicy", `
  validations:
  - expression: >-
      object.status.sender.method == 'ServiceAccount' && request.userInfo.username.endsWith(':ci') &&
      object.spec.source == 'generic' && object.spec.target.kind == 'GatewaySync' && object.spec.target.name == 'web' &&
      object.metadata.namespace == '`+w.Namespace+`'
    message: not by you, or not that
`, "validationActions: [Deny]")
	w.untilTried(ci, ping, answeredWith(http.StatusUnprocessableEntity)) // by another source

	ci.mustPost(t, applicationPath("shop"), `{"ref": "v1"}`, nil, http.StatusUnprocessableEntity)
	mustBeIn(t, w.refused(delivery("by-admin", toWeb+", ref: v1"), "create", "--filename=-"), "not by you, or not that")
	w.mustHaveRecords()
	ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusAccepted)
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
}

func TestAdmission_PolicyWarnings(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	w.policy("ValidatingAdmissionPolicy", onlyVersions, "validationActions: [Warn]")
	warned := func(a answer) error {
		if !strings.Contains(a.header.Get("Warning"), "only versions are deployed here") {
			return errors.New("there is no warning")
		}
		return answeredWith(http.StatusAccepted)(a)
	}
	w.untilTried(ci, `{"ref": "main"}`, warned)

	if err := warned(ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "main"}`, nil, http.StatusAccepted)); err != nil {
		t.Error(err)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "main")
}

func TestAdmission_TerminatingNamespace(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	ci := w.ci()
	before := w.Get(gatewaySyncs, "web")
	// No controller here removes the namespace's content, so it stays terminating.
	if err := w.Kube.CoreV1().Namespaces().Delete(t.Context(), w.Namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.untilTried(ci, `{"ref": "v1"}`, answeredWith(http.StatusForbidden))

	err := w.createdWith(delivery("late", toWeb+", ref: v1"), metav1.CreateOptions{})
	if !apierrors.HasStatusCause(err, "NamespaceTerminating") {
		t.Errorf("got %v, want that the namespace is terminating", err)
	}
	status := ci.mustPost(t, gatewaySyncPath("web"), `{"ref": "v1"}`, nil, http.StatusForbidden).status(t)
	mustBeIn(t, status.Message, "because it is being terminated")
	w.mustBeUntouched(gatewaySyncs, before)
	w.mustHaveRecords()
}
