// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

const plant = "GatewaySync demo/plant"

// Nothing is looked up before the sender is verified, and nothing is written or recorded before admission.
func TestDeliverer_StagesStopAtFirstError(t *testing.T) {
	for name, test := range map[string]struct {
		arrange func(*pipeline, *Request)
		dryRun  bool
		journal []string
		code    int32 // 0 for no error
	}{
		"delivered": {
			journal: []string{
				"mutate", "validate", "resolve " + plant, "write " + plant + " v2.0.0", "record Applied",
			},
		},
		"dry run": {
			dryRun: true,
			journal: []string{"mutate, dry run", "validate, dry run", "resolve " + plant,
				"write " + plant + " v2.0.0, dry run",
				"record Applied, dry run"},
		},
		"asks for nothing": {
			arrange: func(_ *pipeline, in *Request) { *in = ping() },
			journal: []string{"mutate", "validate", "record Ignored"},
		},
		"asks for nothing, dry run": {
			arrange: func(_ *pipeline, in *Request) { *in = ping() },
			dryRun:  true,
			journal: []string{"mutate, dry run", "validate, dry run", "record Ignored, dry run"},
		},
		"admission leaves nothing": {
			arrange: func(p *pipeline, _ *Request) {
				p.onMutate = func(d *postern.WebhookDelivery) error { d.Spec.Events = nil; return nil }
			},
			journal: []string{"mutate", "validate", "record Ignored"},
		},
		"no credential": {
			arrange: func(_ *pipeline, in *Request) { in.User = nil },
			code:    http.StatusUnauthorized,
		},
		"an invalid body": {
			arrange: func(_ *pipeline, in *Request) { in.Body = []byte("v2.0.0") },
			code:    http.StatusBadRequest,
		},
		"mutating admission refuses": {
			arrange: func(p *pipeline, _ *Request) { p.onMutate = denied },
			journal: []string{"mutate"},
			code:    http.StatusForbidden,
		},
		"mutating admission sets a ref that git rejects": {
			arrange: func(p *pipeline, _ *Request) {
				p.onMutate = func(d *postern.WebhookDelivery) error { d.Spec.Events[0].Ref = "a..b"; return nil }
			},
			journal: []string{"mutate"},
			code:    http.StatusUnprocessableEntity,
		},
		"validating admission refuses": {
			arrange: func(p *pipeline, _ *Request) { p.onValidate = denied },
			journal: []string{"mutate", "validate"},
			code:    http.StatusForbidden,
		},
		"no such target": {
			arrange: func(p *pipeline, _ *Request) { p.resolveErr = notFound() },
			journal: []string{"mutate", "validate", "resolve " + plant},
			code:    http.StatusNotFound,
		},
		"the name is taken": {
			arrange: func(p *pipeline, _ *Request) { p.onRecord = nameTaken },
			journal: []string{"mutate", "validate", "resolve " + plant, "write " + plant + " v2.0.0", "record Applied"},
			code:    http.StatusConflict,
		},
		"the target can't be written": {
			arrange: func(p *pipeline, _ *Request) { p.writeErr = errors.New("refused") },
			journal: []string{
				"mutate", "validate", "resolve " + plant, "write " + plant + " v2.0.0", "record Failed",
			},
			code: http.StatusInternalServerError,
		},
		"the target can't be written, dry run": {
			arrange: func(p *pipeline, _ *Request) { p.writeErr = errors.New("refused") },
			dryRun:  true,
			journal: []string{
				"mutate, dry run", "validate, dry run", "resolve " + plant, "write " + plant + " v2.0.0, dry run",
			},
			code: http.StatusInternalServerError,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, in := newDefaultPipeline(), release()
			if test.arrange != nil {
				test.arrange(p, &in)
			}
			_, err := p.Deliver(t.Context(), toPlant(), in, test.dryRun)
			if diff := cmp.Diff(test.journal, p.calls()); diff != "" {
				t.Errorf("journal (-want +got):\n%s", diff)
			}
			if test.code == 0 && err == nil {
				return
			}
			if got := answered(t, err).Code; got != test.code {
				t.Errorf("answered %d, want %d: %v", got, test.code, err)
			}
		})
	}
}

func TestDeliverer_AdmissionSeesCreateBySender(t *testing.T) {
	p := newDefaultPipeline()
	if _, err := p.Deliver(t.Context(), toPlant(), release(), true); err != nil {
		t.Fatal(err)
	}
	type seen struct {
		Resource, Kind, Namespace, User string
		Operation                       admission.Operation
		Options                         any
	}
	a := p.attributes
	got := seen{
		a.GetResource().String(), a.GetKind().String(), a.GetNamespace(), a.GetUserInfo().GetName(), a.GetOperation(),
		a.GetOperationOptions(),
	}
	want := seen{
		"postern.dev/v1alpha1, Resource=webhookdeliveries", "postern.dev/v1alpha1, Kind=WebhookDelivery", "demo",
		ci.Name, "CREATE",
		&metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

// The target receives the events as admission changed them. It holds one ref, so only the last event counts.
func TestDeliverer_LastAdmittedEventCounts(t *testing.T) {
	p := newDefaultPipeline()
	p.onMutate = func(d *postern.WebhookDelivery) error {
		d.Spec.Events = append(d.Spec.Events, postern.DeliveryEvent{
			Source: "github", Event: "push", Ref: "production", Repository: "https://git.example.com/plant.git",
			Revision: "abc",
		})
		return nil
	}
	delivered, err := p.Deliver(t.Context(), toPlant(), release(), false)
	if err != nil {
		t.Fatal(err)
	}
	want := target.Request{
		DeliveryEvent: &postern.DeliveryEvent{Event: "push", Ref: "production",
			Repository: "https://git.example.com/plant.git", Revision: "abc", Source: "github"},
		At: now, Received: received.Add(1),
	}
	if diff := cmp.Diff(want, p.request); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if got := delivered.Status.Targets[0].Ref; got != "production" {
		t.Errorf("got the ref %q in the status", got)
	}
}
