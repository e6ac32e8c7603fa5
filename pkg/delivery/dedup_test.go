// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
)

// push returns a delivery of GitHub with an id.
func push(id, body string) Request {
	return Request{
		Header: http.Header{"X-Github-Event": {"push"}, "X-Github-Delivery": {id}}, Body: []byte(body), User: ci,
	}
}

// nameOf returns the name under which a delivery is recorded.
func nameOf(t *testing.T, d *postern.WebhookDelivery, in Request) string {
	t.Helper()
	p := newDefaultPipeline()
	var recorded *postern.WebhookDelivery
	p.onRecord = func(d *postern.WebhookDelivery) error { recorded = d; return nil }
	if _, err := p.Deliver(t.Context(), d, in, false); err != nil {
		t.Fatal(err)
	}
	p.Drain()
	return recorded.GenerateName + recorded.Name
}

func TestDedup_NameFollowsDeliveryID(t *testing.T) {
	other := `{"ref":"refs/heads/dev","after":"` + revision + `"}`
	first := nameOf(t, toPlant(), push("d-1", pushed))
	// Replicas and versions of Postern must agree on the name.
	if want := "github-f67cbd2ac20d53800ea7"; first != want {
		t.Errorf("named %s, want %s", first, want)
	}
	if got := nameOf(t, toPlant(), push("d-1", pushed)); got != first {
		t.Errorf("a repeat is named %s, want %s", got, first)
	}
	shop := toPlant()
	shop.Spec.Target = &postern.TargetReference{Kind: postern.TargetApplication, Name: "plant"}
	web := toPlant()
	web.Spec.Target.Name = "web"
	for what, got := range map[string]string{
		"another id":              nameOf(t, toPlant(), push("d-2", pushed)),
		"another body":            nameOf(t, toPlant(), push("d-1", other)),
		"another target":          nameOf(t, web, push("d-1", pushed)),
		"another kind":            nameOf(t, shop, push("d-1", pushed)),
		"no target in particular": nameOf(t, toAll(), push("d-1", pushed)),
	} {
		if got == first {
			t.Errorf("%s: has the name of a repeat", what)
		}
	}
	// Without ids, v1, v2, v1 in a row are three deliveries.
	if got := nameOf(t, toPlant(), release()); got != "generic-" {
		t.Errorf("without an id: named %s, want a generated name", got)
	}
}

// The client has named the object, or wants a new one each time.
func TestDedup_ObjectKeepsItsName(t *testing.T) {
	d := objectToPlant(postern.WebhookDeliverySpec{
		RawPayload: []byte(pushed), Headers: map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "d-1"},
	})
	d.Status.Identity = "chosen-by-the-client"
	if err := newDefaultPipeline().ReceiveObject(t.Context(), d, ci, "", false); err != nil {
		t.Fatal(err)
	}
	if d.Name != "" || d.GenerateName != "github-" || d.Status.Identity != "" {
		t.Errorf("named %q, %q, identified as %q", d.Name, d.GenerateName, d.Status.Identity)
	}
}

// occupy creates objects with the first names of a delivery.
func occupy(t *testing.T, s *memoryRecords, names int) {
	t.Helper()
	d := toPlant()
	d.Spec.Source = "github"
	p := newDefaultPipeline()
	if err := p.receiveOnly(t.Context(), d, push("d-1", pushed)); err != nil {
		t.Fatal(err)
	}
	setIdentity(d, "d-1")
	for n := range names {
		object := &postern.WebhookDelivery{
			ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: nthName(d, n)}, Spec: d.Spec,
		}
		object.Status.Phase, object.Status.Payload = postern.DeliveryApplied, d.Status.Payload
		if _, err := s.Create(t.Context(), object, false); err != nil {
			t.Fatal(err)
		}
	}
}

// A sender that may create objects can predict the names.
func TestDedup_ObjectOfSameNameIsNoDuplicate(t *testing.T) {
	for names := 1; names <= maxNames; names++ {
		s := &memoryRecords{}
		occupy(t, s, names)
		p := pipelineOn(s)
		for _, repeated := range []bool{false, true} {
			delivered, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
			if err != nil {
				t.Fatal(err)
			}
			p.Drain()
			known := repeated && names < maxNames // without a free name, a repeat is not detected
			if isRepeat := delivered.Status.Reason == ReasonAlreadyDelivered; isRepeat != known ||
				delivered.Status.Phase != "Applied" {
				t.Errorf("%d names taken, repeated %v: answered %s, %s", names, repeated, delivered.Status.Phase,
					delivered.Status.Reason)
			}
		}
		for _, object := range s.all() {
			if object.Status.Identity == "" && object.ResourceVersion == "" || object.Status.Identity == "" &&
				object.Status.Repeats != nil {
				t.Errorf("an object was changed: %+v", object)
			}
		}
		if written := len(firstRequests(p.requests)); names < maxNames && written != 1 {
			t.Errorf("%d names taken: written %d times, want once", names, written)
		}
	}
}

// The name may be taken after the check.
func TestDedup_NameTakenMeanwhile(t *testing.T) {
	for _, shared := range []bool{false, true} {
		s := &memoryRecords{}
		p := pipelineOn(s, func(c *Config) { c.Shared = shared })
		p.onValidate = func(*postern.WebhookDelivery) error { occupy(t, s, 2); return nil }
		delivered, err := p.Deliver(t.Context(), toPlant(), push("d-1", pushed), false)
		if err != nil {
			t.Fatal(err)
		}
		p.Drain()
		if delivered.Status.Phase != "Applied" || delivered.Status.Reason != "Requested" || len(p.requests) != 1 {
			t.Errorf("shared %v: answered %s, %s after %d writes", shared, delivered.Status.Phase,
				delivered.Status.Reason, len(p.requests))
		}
		var phases []postern.DeliveryPhase
		for _, record := range s.all() {
			phases = append(phases, record.Status.Phase)
		}
		if diff := cmp.Diff([]postern.DeliveryPhase{"Applied", "Applied", "Applied"}, phases); diff != "" {
			t.Errorf("shared %v: records (-want +got):\n%s", shared, diff)
		}
	}
}
