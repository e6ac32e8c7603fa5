// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/target"
)

// two is Quay's payload for one manifest that was pushed under two tags.
const two = `{"name":"shop","repository":"acme/shop","namespace":"acme","docker_url":"quay.io/acme/shop",` +
	`"homepage":"https://quay.io/repository/acme/shop","updated_tags":["2.0.0","latest"]}`

// toAll returns a delivery of a ref without a target.
func toAll() *postern.WebhookDelivery {
	d := toPlant()
	d.Spec.Target = nil
	return d
}

// matching makes these Applications match every push.
func matching(namespace string, names ...string) func(target.Request) ([]target.Match, error) {
	return func(target.Request) ([]target.Match, error) {
		var matches []target.Match
		for _, name := range names {
			matches = append(matches, target.Match{
				Key: postern.TargetKey{Kind: postern.TargetApplication, Namespace: namespace, Name: name},
			})
		}
		return matches, nil
	}
}

// A target may want any of several tags; the last is not always the highest.
func TestResolve_TagsOfImageInOrder(t *testing.T) {
	var asked []target.Request
	p := newDefaultPipeline()
	p.matches = func(r target.Request) ([]target.Match, error) {
		asked = append(asked, r)
		return matching("demo", "a", "b")(r)
	}
	d := toAll()
	d.Spec.Source = "quay.io"
	delivered, err := p.Deliver(t.Context(), d, Request{Header: http.Header{}, Body: []byte(two), User: ci}, false)
	if err != nil {
		t.Fatal(err)
	}
	image := func(tag string) target.Request {
		return target.Request{
			DeliveryEvent: &postern.DeliveryEvent{
				Source: "quay.io", Event: "repo_push", Ref: tag, RefType: "Image",
				Image: &postern.ImageReference{Host: "quay.io", Repository: "acme/shop", Tag: tag},
			},
			IfFollowed: true, At: now,
		}
	}
	if diff := cmp.Diff([]target.Request{image("2.0.0"), image("latest")}, asked); diff != "" {
		t.Errorf("requests for matches (-want +got):\n%s", diff)
	}
	if !p.request.IfFollowed {
		t.Error("written without IfFollowed")
	}
	for _, app := range []string{"a", "b"} {
		var written []string
		for _, line := range p.calls() {
			if tag, found := strings.CutPrefix(line, "write Application demo/"+app+" "); found {
				written = append(written, tag)
			}
		}
		if diff := cmp.Diff([]string{"2.0.0", "latest"}, written); diff != "" {
			t.Errorf("%s (-want +got):\n%s", app, diff)
		}
	}
	want := summary{"Applied", "Requested", "4 written, 0 unchanged, 0 skipped, 0 superseded, 0 pending, 0 failed",
		[]string{
			"a 2.0.0: Written Requested", "b 2.0.0: Written Requested", "a latest: Written Requested",
			"b latest: Written Requested",
		}}
	if diff := cmp.Diff(want, summaryOf(delivered.Status)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// A named target holds any git ref, but only the chosen one; of the tags of an image it takes those that it wants.
func TestResolve_NamedTargetGetsChosenRefAndImages(t *testing.T) {
	image := func(tag string) postern.DeliveryEvent {
		return postern.DeliveryEvent{
			Ref: tag, Image: &postern.ImageReference{Host: "quay.io", Repository: "acme/shop", Tag: tag},
		}
	}
	key := postern.TargetKey{Kind: postern.TargetApplication, Namespace: "demo", Name: "shop"}
	for name, test := range map[string]struct {
		events []postern.DeliveryEvent
		want   []string
		live   bool
	}{
		"git refs": {[]postern.DeliveryEvent{{Ref: "main"}, {Ref: "dev"}, {Ref: "v1"}}, []string{"v1"}, true},
		"images":   {[]postern.DeliveryEvent{image("2.0.0"), image("latest")}, []string{"2.0.0", "latest"}, false},
		"git and images": {
			[]postern.DeliveryEvent{{Ref: "main"}, image("2.0.0"), {Ref: "v1"}}, []string{"2.0.0", "v1"}, true,
		},
		"nothing, at all": {nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			named := toAll()
			named.Spec.Target = &postern.TargetReference{Kind: key.Kind, Name: key.Name}
			named.Spec.Events = test.events
			p := newDefaultPipeline()
			tasks, err := p.findTasks(t.Context(), named)
			if err != nil {
				t.Fatal(err)
			}
			if p.resolvedLive != test.live {
				t.Errorf("the target is read for the choice: %v", p.resolvedLive)
			}
			for _, task := range tasks {
				got = append(got, task.event.Ref)
				if task.key != key || task.matched || task.refused != nil {
					t.Errorf("got %+v, want a task of the named target", task)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("refs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResolve_NoMatchIsIgnored(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		p := newDefaultPipeline()
		delivered, err := p.Deliver(t.Context(), toAll(), release(), dryRun)
		if err != nil {
			t.Fatal(err)
		}
		want := summary{"Ignored", "NoTarget", "nothing in this namespace wants v2.0.0", nil}
		if diff := cmp.Diff(want, summaryOf(delivered.Status)); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		if got := p.lastCall(); !strings.HasPrefix(got, "record Ignored") {
			t.Errorf("ended with %q, want the record", got)
		}
	}
}

func TestResolve_MatchErrorIsAnError(t *testing.T) {
	p := newDefaultPipeline()
	p.matches = func(target.Request) ([]target.Match, error) { return nil, errors.New("no cache") }
	_, err := p.Deliver(t.Context(), toAll(), release(), false)
	if got := answered(t, err).Code; got != http.StatusInternalServerError {
		t.Errorf("answered %d, want 500", got)
	}
	if got := p.lastCall(); got != "match demo v2.0.0" {
		t.Errorf("ended with %q, want nothing recorded", got)
	}
}

// The caches may not be synced yet.
func TestResolve_UnknownMatchesArePending(t *testing.T) {
	down := unavailable(t)
	p := newDefaultPipeline()
	p.matches = func(target.Request) ([]target.Match, error) { return nil, down }
	delivered, err := p.Deliver(t.Context(), toAll(), release(), false)
	if err != nil {
		t.Fatal(err)
	}
	want := summary{"Pending", "TargetUnavailable", down.Error(), nil}
	if diff := cmp.Diff(want, summaryOf(delivered.Status)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if got := p.lastCall(); got != "record Pending" {
		t.Errorf("ended with %q, want the record", got)
	}
}

// A secret of the namespace is not valid for a target with its own secret. RBAC authorizes identities.
func TestResolve_TargetSecretExcludesOthers(t *testing.T) {
	for name, test := range map[string]struct {
		arrange func(*Request)
		want    summary
	}{
		"by identity": {
			func(*Request) {},
			summary{"Applied", "Requested", "2 written, 0 unchanged, 0 skipped, 0 superseded, 0 pending, 0 failed",
				[]string{"shop v2.0.0: Written Requested", "web v2.0.0: Written Requested"}},
		},
		"by the secret of its sender": {
			func(in *Request) {
				in.User, in.Header = nil, http.Header{
					"X-Github-Event": {"release"}, "X-Hub-Signature-256": {sign(in.Body)},
				}
			},
			summary{"Applied", "Requested", "1 written, 0 unchanged, 1 skipped, 0 superseded, 0 pending, 0 failed",
				[]string{"shop v2.0.0: Skipped OwnSecret", "web v2.0.0: Written Requested"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newDefaultPipeline()
			p.matches = matching("strict", "shop", "web")
			d := toAll()
			d.Namespace = "strict"
			in := Request{Header: http.Header{}, Body: []byte(`{"action":"published",` + released[1:]), User: ci}
			test.arrange(&in)
			delivered, err := p.Deliver(t.Context(), d, in, false)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, summaryOf(delivered.Status)); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if wrote := slices.Contains(p.calls(), "write Application strict/shop v2.0.0"); wrote != (in.User != nil) {
				t.Errorf("written: %t", wrote)
			}
		})
	}
}

// The cache that found the match may be stale: the target itself determines whether its configuration is valid.
func TestResolve_InvalidMatchIsTried(t *testing.T) {
	p := newDefaultPipeline()
	p.matches = func(target.Request) ([]target.Match, error) {
		return []target.Match{
			{
				Key: postern.TargetKey{Kind: postern.TargetGatewaySync, Namespace: "demo", Name: "plant"},
				Err: errors.New("bad pattern"),
			},
		}, nil
	}
	for reason, want := range map[string]summary{
		"InvalidConfiguration": {
			"Ignored", "InvalidConfiguration", "as it is now", []string{"plant v2.0.0: Skipped InvalidConfiguration"},
		},
		"Requested": {"Applied", "Requested", "as it is now", []string{"plant v2.0.0: Written Requested"}},
	} {
		p.outcome = target.Result{Reason: reason, Message: "as it is now"}
		if reason == target.ReasonRequested {
			p.outcome.Held, p.outcome.Changes = true, []target.Change{{}}
		}
		delivered, err := p.Deliver(t.Context(), toAll(), release(), false)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, summaryOf(delivered.Status)); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
	}
}

// A sender with a wrong clock must not supersede later requests.
func TestResolve_EventTimeIsNotAfterReceipt(t *testing.T) {
	for name, test := range map[string]struct{ happened, want time.Time }{
		"before":    {received.Add(-time.Hour), received.Add(-time.Hour)},
		"just then": {received, received},
		"later":     {received.Add(time.Microsecond), received.Truncate(time.Second)},
		"in a year": {received.AddDate(1, 0, 0), received.Truncate(time.Second)},
		"unknown":   {time.Time{}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newDefaultPipeline()
			p.onMutate = func(d *postern.WebhookDelivery) error {
				if !test.happened.IsZero() {
					d.Spec.Events[0].Time = &metav1.MicroTime{Time: test.happened}
				}
				return nil
			}
			var recorded *metav1.MicroTime
			p.onRecord = func(d *postern.WebhookDelivery) error { recorded = d.Spec.Events[0].Time; return nil }
			if _, err := p.Deliver(t.Context(), toPlant(), release(), false); err != nil {
				t.Fatal(err)
			}
			if got := p.request.EventTime(); !got.Equal(test.want) {
				t.Errorf("requested at %s, want %s", got, test.want)
			}
			if recorded != nil && !recorded.Time.Equal(test.happened) {
				t.Errorf("recorded at %s, want the time of the sender", recorded)
			}
		})
	}
}

// Replicas order retries by the time of receipt, which is in the record and on the target.
func TestResolve_ReceiptIsThatOfRecord(t *testing.T) {
	p := newDefaultPipeline()
	delivered, err := p.Deliver(t.Context(), toPlant(), release(), false)
	if err != nil {
		t.Fatal(err)
	}
	p.Drain()
	text, err := delivered.Status.ReceivedTime.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var read metav1.MicroTime
	if err := read.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	if !read.Time.Equal(p.request.Received) || !read.Time.Equal(received) {
		t.Errorf("recorded %s, requested at %s, want %s", read, p.request.Received, received)
	}
}

// Otherwise a target that was written for one event would treat another of the same delivery as already written.
func TestResolve_EventsHaveDistinctPositions(t *testing.T) {
	received := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
	image := func(tag string) postern.DeliveryEvent {
		return postern.DeliveryEvent{
			Ref: tag, Image: &postern.ImageReference{Host: "quay.io", Repository: "acme/shop", Tag: tag},
		}
	}
	delivery := &postern.WebhookDelivery{
		Spec: postern.WebhookDeliverySpec{
			Events: []postern.DeliveryEvent{{Ref: "v1"}, image("a"), {Ref: "v2"}, image("b")},
		},
		Status: postern.WebhookDeliveryStatus{ReceivedTime: &metav1.MicroTime{Time: received}},
	}
	got := map[string]time.Time{}
	for _, task := range withReceipt(delivery, tasksForTarget(postern.TargetKey{}, delivery.Spec.Events)) {
		got[task.event.Ref] = task.request(received).Received
	}
	want := map[string]time.Time{
		"v1": received, "a": received.Add(1), "v2": received.Add(2), "b": received.Add(3),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}
