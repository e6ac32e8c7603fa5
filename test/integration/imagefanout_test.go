// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// applicationsOf returns all Applications of the namespace, by name.
func (w *world) applicationsOf() map[string]*unstructured.Unstructured {
	w.T.Helper()
	list, err := w.Objects.Resource(applications).Namespace(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	found := map[string]*unstructured.Unstructured{}
	for i := range list.Items {
		found[list.Items[i].GetName()] = &list.Items[i]
	}
	return found
}

// checkUntouched fails the test if there is a new Application, or if any except the excepted ones has changed.
func (w *world) checkUntouched(before map[string]*unstructured.Unstructured, except map[string]bool) {
	w.T.Helper()
	after := w.applicationsOf()
	if len(before) != len(after) {
		w.T.Errorf("the number of Applications has changed from %d to %d", len(before), len(after))
	}
	for name, app := range before {
		if !except[name] && after[name] != nil {
			if diff := cmp.Diff(app.Object, after[name].Object); diff != "" {
				w.T.Errorf("Application %s should be unchanged (-before +after):\n%s", name, diff)
			}
		}
	}
}

// report is an entry of status.targets for an Application.
type report struct {
	Result v1alpha1.TargetResultType
	Reason string
}

func reportsOf(d *v1alpha1.WebhookDelivery) map[string]report {
	all := map[string]report{}
	for _, t := range d.Status.Targets {
		all[t.Name] = report{t.Result, t.Reason}
	}
	return all
}

// wantReports returns the expected reports for a push to a fleet. Reasons that may vary are copied from got.
func (s registrySender) wantReports(got map[string]report) map[string]report {
	want := map[string]report{}
	for _, kind := range fleetKinds {
		name := kind.nameOf(s.image)
		switch {
		case kind.result == "":
		case kind.reason == "":
			want[name] = report{kind.result, got[name].Reason}
		default:
			want[name] = report{kind.result, kind.reason}
		}
	}
	return want
}

// untilKnown repeats a dry run until Postern has the role, the secret and the whole fleet.
func (w *world) untilKnown(r registries, s registrySender) {
	w.T.Helper()
	r.untilAccepted(w, s)
	w.eventually(func() error {
		got, err := r.pushDry(w.T, s)
		if err != nil {
			return err
		}
		var d v1alpha1.WebhookDelivery
		if err := errors.Join(answeredWith(http.StatusAccepted)(got), json.Unmarshal(got.body, &d)); err != nil {
			return err
		}
		if diff := cmp.Diff(s.wantReports(reportsOf(&d)), reportsOf(&d)); diff != "" {
			return fmt.Errorf("status.targets of a dry run (-want +got):\n%s", diff)
		}
		return nil
	})
}

func TestFanout_Image(t *testing.T) {
	here, elsewhere := newWorld(t), newWorld(t)
	here.fleet(registryImages)
	elsewhere.fleet(registryImages)
	senders := here.registries()

	for _, s := range registrySenders {
		t.Run(s.payload, func(t *testing.T) {
			w := here.in(t)
			before, beforeElsewhere, records := w.applicationsOf(), elsewhere.applicationsOf(), len(w.records())
			w.untilKnown(senders, s)
			w.checkUntouched(before, nil) // the dry runs changed nothing
			if got := len(w.records()); got != records {
				t.Errorf("dry runs left %d records", got-records)
			}

			got, err := senders.push(t, s, url.Values{})
			if err := errors.Join(err, answeredWith(http.StatusAccepted)(got)); err != nil {
				t.Fatal(err)
			}
			d := got.delivery(t)
			if diff := cmp.Diff(s.wantReports(reportsOf(d)), reportsOf(d)); diff != "" {
				t.Errorf("status.targets (-want +got):\n%s", diff)
			}
			if d.Status.Phase != v1alpha1.DeliveryApplied || d.Status.Sender.Method != s.method ||
				d.Spec.Source != s.source {
				t.Errorf("got phase %s of a delivery from %s by %s; want Applied, %s, %s",
					d.Status.Phase, d.Spec.Source, d.Status.Sender.Method, s.source, s.method)
			}
			if warned(got) != (s.method == "QueryToken") {
				t.Errorf("method %s: got headers %v", s.method, got.header)
			}

			touched := map[string]bool{}
			for _, kind := range fleetKinds {
				if kind.result != v1alpha1.TargetWritten {
					continue
				}
				name := kind.nameOf(s.image)
				touched[name] = true
				w.checkContent(applications, kind.updated(before[name], s.image, s.tag), map[string]string{
					"postern.dev/requested-ref":            s.ref(),
					"postern.dev/requested-by":             s.source,
					"postern.dev/requested-at":             "",
					"argocd.argoproj.io/refresh":           "normal",
					"argocd.argoproj.io/refresh-timestamp": "",
				})
			}
			w.checkUntouched(before, touched)
			elsewhere.in(t).checkUntouched(beforeElsewhere, nil)
		})
	}
}
