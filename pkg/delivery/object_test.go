// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/credential"
)

const (
	pushed   = `{"ref":"refs/heads/main","after":"1111111111111111111111111111111111111111"}`
	revision = "1111111111111111111111111111111111111111"
	released = `{"release":{"tag_name":"v2.0.0","published_at":"2026-01-01T00:00:00Z"}}`
)

// sign returns the value of X-Hub-Signature-256 for a body, with the secret of the namespace demo.
func sign(body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func digest(body string) *postern.PayloadDigest {
	sum := sha256.Sum256([]byte(body))
	return &postern.PayloadDigest{SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(body))}
}

// objectToPlant returns a delivery to the GatewaySync plant that is created as an object.
func objectToPlant(spec postern.WebhookDeliverySpec) *postern.WebhookDelivery {
	d := toPlant()
	spec.Target = d.Spec.Target
	d.Spec = spec
	return d
}

// Admission and storage see what remains of the object: what it requests, without payload and credentials.
func TestObject_HoldsRequestWithoutSecrets(t *testing.T) {
	event := postern.DeliveryEvent{
		Source: "github", Event: "push", Ref: "main", RefType: postern.RefTypeBranch, Revision: revision,
		DeliveryID: "d-1",
	}
	headers := map[string]string{
		"x-github-event": "push", "X-GitHub-Delivery": "d-1", "X-Hub-Signature-256": sign([]byte(pushed)),
		"X-Other": "dropped",
	}
	kept := map[string]string{"X-Github-Event": "push", "X-Github-Delivery": "d-1"}
	for name, test := range map[string]struct {
		spec, want postern.WebhookDeliverySpec
		payload    *postern.PayloadDigest
	}{
		"payload": {
			postern.WebhookDeliverySpec{Payload: &postern.JSON{Raw: []byte(pushed)}, Headers: headers},
			postern.WebhookDeliverySpec{Source: "github", Headers: kept, Events: []postern.DeliveryEvent{event}},
			digest(pushed),
		},
		"raw payload": {
			postern.WebhookDeliverySpec{RawPayload: []byte(pushed), Headers: headers},
			postern.WebhookDeliverySpec{Source: "github", Headers: kept, Events: []postern.DeliveryEvent{event}},
			digest(pushed),
		},
		"raw payload of something that happened at a known time": {
			postern.WebhookDeliverySpec{RawPayload: []byte(released)},
			postern.WebhookDeliverySpec{Source: "github", Events: []postern.DeliveryEvent{{
				Source: "github", Event: "release", Ref: "v2.0.0", RefType: postern.RefTypeTag,
				Time: &metav1.MicroTime{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
			}}},
			digest(released),
		},
		"ref": {
			postern.WebhookDeliverySpec{Ref: "v2.0.0", Headers: headers},
			postern.WebhookDeliverySpec{
				Source: "generic", Ref: "v2.0.0",
				Events: []postern.DeliveryEvent{{Source: "generic", Event: "request", Ref: "v2.0.0"}},
			},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := objectToPlant(test.spec)
			if err := newDefaultPipeline().ReceiveObject(t.Context(), d, ci, "", false); err != nil {
				t.Fatal(err)
			}
			test.want.Target = toPlant().Spec.Target
			if diff := cmp.Diff(test.want, d.Spec); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.payload, d.Status.Payload); diff != "" {
				t.Errorf("payload (-want +got):\n%s", diff)
			}
			if d.GenerateName != d.Spec.Source+"-" {
				t.Errorf("got generateName %q", d.GenerateName)
			}
		})
	}
}

// The bytes of a payload that was decoded and encoded again are not those that were signed, and a ref has no bytes.
func TestObject_SignatureNeedsRawPayload(t *testing.T) {
	const ref = `{"ref":"v2.0.0"}`
	for name, test := range map[string]struct {
		spec postern.WebhookDeliverySpec
		want string
	}{
		"raw payload": {postern.WebhookDeliverySpec{RawPayload: []byte(pushed)}, "HMAC"},
		"payload":     {postern.WebhookDeliverySpec{Payload: &postern.JSON{Raw: []byte(pushed)}}, "NoCredential"},
		"ref":         {postern.WebhookDeliverySpec{Ref: "v2.0.0"}, "NoCredential"},
	} {
		for who, caller := range map[string]user.Info{
			"no user": nil, "anonymous": &user.DefaultInfo{Name: user.Anonymous},
		} {
			t.Run(name+" of "+who, func(t *testing.T) {
				d := objectToPlant(test.spec)
				d.Spec.Headers = map[string]string{
					"X-Hub-Signature-256": sign([]byte(pushed)),
					"X-Gitea-Signature":   sign([]byte(ref))[len("sha256="):],
				}
				err := newDefaultPipeline().ReceiveObject(t.Context(), d, caller, "", false)
				if got := verdict(t, d, err); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
			})
		}
	}
}

// verdict returns the method by which a sender was accepted, or the reason for the rejection.
func verdict(t *testing.T, d *postern.WebhookDelivery, err error) string {
	t.Helper()
	if rejected, ok := errors.AsType[*rejectedError](err); ok {
		return rejected.reason
	}
	if d.Status.Sender == nil {
		t.Fatalf("neither accepted nor rejected: %v", err)
	}
	return d.Status.Sender.Method
}

func TestObject_SecretForItsSenderOrTargetOnly(t *testing.T) {
	shop := &postern.TargetReference{Kind: postern.TargetApplication, Name: "shop"}
	gitHub := map[string]string{"X-GitHub-Event": "push"}
	for name, test := range map[string]struct {
		target  *postern.TargetReference
		headers map[string]string
		want    string
	}{
		"its sender":     {toPlant().Spec.Target, gitHub, "HMAC"},
		"another sender": {toPlant().Spec.Target, nil, "NoSecretConfigured"},
		"its target":     {shop, nil, "HMAC"},
		"another kind": {
			&postern.TargetReference{Kind: postern.TargetGatewaySync, Name: "shop"}, nil, "NoSecretConfigured",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := objectToPlant(postern.WebhookDeliverySpec{RawPayload: []byte(pushed), Headers: map[string]string{}})
			d.Namespace, d.Spec.Target = "strict", test.target
			maps.Copy(d.Spec.Headers, test.headers)
			d.Spec.Headers["X-Hub-Signature-256"] = sign([]byte(pushed))
			err := newDefaultPipeline().ReceiveObject(t.Context(), d, nil, "", false)
			if got := verdict(t, d, err); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}

	// A ref is from a generic sender, so no secret of another source matters.
	ref := objectToPlant(postern.WebhookDeliverySpec{Ref: "main"})
	ref.Namespace = "strict"
	err := newPipeline(credential.Config{RequireSecret: false}).ReceiveObject(t.Context(), ref, nil, "", false)
	if got := verdict(t, ref, err); got != "None" {
		t.Errorf("a ref: got %s, want None", got)
	}
}

func TestObject_QuerySecretReachesVerifier(t *testing.T) {
	for name, test := range map[string]struct{ source, query, want string }{
		"right":                     {"quay.io", secret, "QueryToken"},
		"wrong":                     {"quay.io", "guessed", "TokenMismatch"},
		"none":                      {"quay.io", "", "NoCredential"},
		"of a sender that can sign": {"github", secret, "QueryTokenNotAllowed"},
	} {
		t.Run(name, func(t *testing.T) {
			d := toPlant()
			d.Spec.Source = test.source
			err := newDefaultPipeline().receiveOnly(t.Context(), d, Request{
				Body: []byte(pushed), QuerySecret: test.query,
			})
			if got := verdict(t, d, err); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}

	object := toPlant()
	object.Spec.Ref = "main"
	err := newDefaultPipeline().ReceiveObject(t.Context(), object, nil, secret, false)
	if got := verdict(t, object, err); got != "QueryTokenNotAllowed" {
		t.Errorf("an object: got %s, want QueryTokenNotAllowed", got)
	}
}

func TestObject_RejectionHidesConfiguration(t *testing.T) {
	var answers []metav1.Status
	for _, namespace := range []string{"demo", "open"} {
		d := toPlant()
		d.Namespace = namespace
		_, err := newDefaultPipeline().Deliver(t.Context(), d, Request{
			Body: []byte(pushed), Header: http.Header{"X-Hub-Signature-256": {sign([]byte("another body"))}},
		}, false)
		answers = append(answers, answered(t, err))
	}
	if answers[0].Code != http.StatusUnauthorized {
		t.Errorf("answered %d, want 401", answers[0].Code)
	}
	if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
		t.Errorf("with a secret and without (-with +without):\n%s", diff)
	}
}

func TestObject_InvalidIsNotVerified(t *testing.T) {
	d := toPlant()
	d.Spec.Headers = map[string]string{"X-Gitlab-Token": secret}
	err := newPipeline(credential.Config{}).ReceiveObject(t.Context(), d, nil, "", false)
	var fields []string
	for _, cause := range answered(t, err).Details.Causes {
		fields = append(fields, cause.Field)
	}
	if diff := cmp.Diff([]string{"spec", "spec.headers[X-Gitlab-Token]"}, fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if d.Status.Sender != nil {
		t.Errorf("got sender %v", d.Status.Sender)
	}
}

// The metrics and the log name the sender of a delivery, even if it is refused. An object must not set it.
func TestObject_ClientStatusIsDropped(t *testing.T) {
	d := New(Config{MaxPayloadBytes: 1})
	forged := &postern.WebhookDelivery{
		Status: postern.WebhookDeliveryStatus{Sender: &postern.Sender{Name: "system:admin", Method: "made-up"}},
	}
	if err := d.ReceiveObject(t.Context(), forged, nil, "", false); err == nil {
		t.Error("an empty delivery was received")
	}
	if forged.Status.Sender != nil {
		t.Errorf("the forged sender %v remains", forged.Status.Sender)
	}
}
