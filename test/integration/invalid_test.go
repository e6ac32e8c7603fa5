// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	sendertypes "postern.dev/postern/pkg/payload"
)

// createdWith creates a manifest without kubectl's checks.
func (w *world) createdWith(manifest string, options metav1.CreateOptions) error {
	w.T.Helper()
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &obj.Object); err != nil {
		w.T.Fatal(err)
	}
	_, err := w.Objects.Resource(webhookDeliveries).Namespace(w.Namespace).Create(w.T.Context(), obj, options)
	return err
}

// causes returns the messages of an Invalid error by field.
func causes(err error) map[string]string {
	messages := map[string]string{}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) || status.Status().Details == nil {
		return map[string]string{"not invalid": err.Error()}
	}
	for _, cause := range status.Status().Details.Causes {
		messages[cause.Field] += cause.Message
	}
	return messages
}

func TestInvalid_AllErrorsAndLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	before := w.Get(gatewaySyncs, "web")
	const oneOf = "Invalid value: exactly one of payload, rawPayload and ref must be given"
	const token = "Forbidden: it holds a token, and this object may be written to an audit log: " +
		"change the token, and send the webhook to the target's webhookdeliveries instead"

	for name, test := range map[string]struct {
		spec string
		want map[string]string
	}{
		"events given": {
			toWeb + ", ref: v1, events: [{source: github, event: push, ref: v1}]",
			map[string]string{"spec.events": "Forbidden: the server fills it from payload, rawPayload or ref"},
		},
		"no request": {toWeb, map[string]string{"spec": oneOf}},
		"two requests": {
			toWeb + ", ref: v1, payload: " + ping,
			map[string]string{"spec": oneOf},
		},
		"a bad ref": {
			toWeb + ", ref: a..b",
			map[string]string{"spec.ref": `Invalid value: "a..b": the ref "a..b" is not valid: it must not contain ` +
				`".."`},
		},
		"tokens in headers": {
			toWeb + ", payload: " + ping + ", headers: {x-gitlab-token: a, X-Webhook-Secret: b, X-Webhook-Token: c, " +
				"Authorization: d, Cookie: e}",
			map[string]string{
				"spec.headers[x-gitlab-token]":   token,
				"spec.headers[X-Webhook-Secret]": token,
				"spec.headers[X-Webhook-Token]":  token,
				"spec.headers[Authorization]":    token,
				"spec.headers[Cookie]":           token,
			},
		},
		"all at once": {
			"source: absent, target: {kind: Deployment, name: UPPER}, payload: " + ping +
				", events: [{source: a, event: b, ref: c}]",
			map[string]string{
				"spec.source": `Unsupported value: "absent": supported values: "` +
					strings.Join(sendertypes.Sources(), `", "`) + `"`,
				"spec.target.kind": `Unsupported value: "Deployment": supported values: ` +
					`"Application", "ApplicationSet", "GatewaySync"`,
				"spec.target.name": `Invalid value: "UPPER": a lowercase RFC 1123 subdomain must consist of lower ` +
					`case alphanumeric ` +
					`characters, '-' or '.', and must start and end with an alphanumeric character (e.g. ` +
					`'example.com', regex used for ` +
					`validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
				"spec.events": "Forbidden: the server fills it from payload, rawPayload or ref",
			},
		},
	} {
		err := w.createdWith(delivery("wrong", test.spec), metav1.CreateOptions{})
		if err == nil {
			t.Fatalf("%s: it was accepted", name)
		}
		if diff := cmp.Diff(test.want, causes(err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	w.mustHaveRecords()
	w.mustBeUntouched(gatewaySyncs, before)
}

func TestInvalid_UnknownFieldsIfStrict(t *testing.T) {
	w := newWorld(t)
	w.openAPIv3Paths() // before it is listed, kubectl validates by itself
	w.gatewaySync("web")
	manifest := delivery("typo", toWeb+", ref: v1, refs: v2")

	mustBeIn(t, w.refused(manifest, "create", "--filename=-"), `unknown field "spec.refs"`)
	err := w.createdWith(manifest, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if !apierrors.IsBadRequest(err) {
		t.Fatalf("got %v, want 400 BadRequest", err)
	}
	mustBeIn(t, err.Error(), `strict decoding error: unknown field "spec.refs"`)
	w.mustHaveRecords()

	if err := w.createdWith(manifest, metav1.CreateOptions{FieldValidation: metav1.FieldValidationIgnore}); err != nil {
		t.Errorf("a client without strict validation gets %v", err)
	}
}

func TestInvalid_UnknownPayload(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	raw := base64.StdEncoding.EncodeToString([]byte("not JSON"))
	for name, spec := range map[string]string{
		"payload of no sender":      `payload: {"hello": "world"}`,
		"payload of another sender": "source: argocd, payload: " + ping,
		"broken raw payload":        "rawPayload: " + raw,
	} {
		output := w.refused(delivery("strange", toWeb+", "+spec), "create", "--filename=-")
		if !strings.Contains(output, "Error from server (BadRequest)") {
			t.Errorf("%s: got %q, want a BadRequest", name, output)
		}
	}
	output := w.refused(delivery("strange", toWeb+`, payload: {"hello": "world"}`), "create", "--filename=-")
	mustBeIn(t, output, `to ask for a ref yourself, send {"ref": "main"}`)
	w.mustHaveRecords()
}

func TestInvalid_MissingTargetAtEveryEndpoint(t *testing.T) {
	w := newWorld(t)
	ci := w.ci()

	output := w.refused(delivery("lost", toWeb+", ref: v1"), "create", "--filename=-")
	mustBeIn(t, output, "Error from server (NotFound)", `gatewaysyncs.stoker.io "web" not found`)
	status := ci.mustPost(t, applicationPath("shop"), `{"ref": "v1"}`, nil, 404).status(t)
	if status.Reason != metav1.StatusReasonNotFound || status.Status != metav1.StatusFailure {
		t.Errorf("got status %q, reason %q; want Failure, NotFound", status.Status, status.Reason)
	}
	mustBeIn(t, status.Message, `applications.argoproj.io "shop" not found`)
	w.mustHaveRecords()
}
