// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

// summarize returns the results of requests in short.
func summarize(results []Result) []string {
	summary := make([]string, len(results))
	for i, r := range results {
		switch {
		case IsTransient(r.Err):
			summary[i] = "transient"
		case r.Err != nil:
			summary[i] = "failed"
		default:
			summary[i] = fmt.Sprintf("%s %v", r.Reason, r.Held)
		}
	}
	return summary
}

func TestWriter_Batch(t *testing.T) {
	const requested, already, superseded = "Requested true", "AlreadyRequested true", "Superseded false"
	first := event("v1", "github", 10, 11)
	for _, test := range []struct {
		name        string
		requests    []Request
		want        []string
		holds       string
		wantPatches int
	}{
		{"the newest is written, and the others are superseded",
			[]Request{event("v2", "github", 15, 21), event("v4", "github", 21, 22), event("v3", "github", 18, 23)},
			[]string{superseded, requested, superseded}, "v4", 1},
		{"the same twice", []Request{event("v2", "github", 20, 21), event("v2", "github", 20, 22)},
			[]string{already, requested}, "v2", 1},
		{"the same at another commit", []Request{{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Revision: "1"},
			Received: minute(21)},
			{DeliveryEvent: &postern.DeliveryEvent{Ref: "v2", Revision: "2"}, Received: minute(22)}},
			[]string{superseded, requested}, "v2", 1},
		{"what the target holds", []Request{event("v2", "github", 0, 21), event("v1", "github", 0, 22)},
			[]string{superseded, already}, "v1", 0},
		{"all are stale", []Request{event("v2", "github", 7, 21), event("v3", "github", 8, 22)},
			[]string{superseded, superseded}, "v1", 0},
		{"the newest is stale for the target, and the one that was replaced is not",
			[]Request{event("v2", "kargo", 0, 21), event("v3", "github", 8, 22), event("v4", "github", 7, 23)},
			[]string{requested, superseded, superseded}, "v2", 1},
		{"the same, if a follower's push was received after it",
			[]Request{event("v2", "kargo", 0, 21), onPurpose(event("v5", "github", 5, 22)),
				event("v3", "github", 8, 23)},
			[]string{superseded, requested, superseded}, "v5", 1},
		{"a stale retry does not make the requests stale that it replaces",
			[]Request{event("v2", "kargo", 0, 9), again(event("v3", "kargo", 0, 10)), event("v4", "github", 9, 12)},
			[]string{superseded, superseded, superseded}, "v1", 0},
		{"the last known time of their sender is compared",
			[]Request{event("v3", "github", 20, 21), event("v4", "github", 0, 22), event("v2", "github", 19, 23)},
			[]string{requested, requested, superseded}, "v4", 1},
		{"on purpose, and an event from in between",
			[]Request{onPurpose(event("v0", "github", 5, 21)), event("v2", "github", 7, 22)},
			[]string{requested, superseded}, "v0", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPIServer(t, plantAfter(t, first))
			writer, _ := newTestWriter(t, api, nil)
			got := writer.writeBatch(t.Context(), plant, test.requests)
			if diff := cmp.Diff(test.want, summarize(got)); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
			_, object := api.seen()
			if got := requestedIn(parse(t, postern.TargetGatewaySync, object)); got != test.holds {
				t.Errorf("holds %q, want %q", got, test.holds)
			}
			if got := api.counts[http.MethodPatch]; got != test.wantPatches {
				t.Errorf("got %d patches, want %d", got, test.wantPatches)
			}
		})
	}
}

func TestWriter_SupersededNamesWritten(t *testing.T) {
	api := newFakeAPIServer(t, plantAt("v0"))
	writer, _ := newTestWriter(t, api, nil)
	got := writer.writeBatch(t.Context(), plant,
		[]Request{event("v1", "github", 10, 11), event("v2", "github", 20, 12), event("v2", "github", 20, 13)})
	want := []Result{
		{Reason: ReasonSuperseded, Message: `"v2" was requested after it and replaces it`},
		{Previous: "v2", Held: true, Reason: ReasonAlreadyRequested,
			Message: "it was requested more than once at the same time"},
		{Changes: []Change{{Field: "stoker.io/requested-ref", Old: "v0", New: "v2"},
			{Field: "postern.dev/requested-revision", New: "commit-of-v2"}}, Previous: "v0", Held: true,
			Reason: ReasonRequested, Message: `stoker.io/requested-ref "v0" → "v2"; postern.dev/requested-revision ` +
				`set to "commit-of-v2"`},
	}
	for i := range want {
		if diff := cmp.Diff(want[i], got[i]); diff != "" || got[i].Err != nil {
			t.Errorf("%d: error %v (-want +got):\n%s", i, got[i].Err, diff)
		}
	}
}

func TestWriter_RefusedBatchIsSplit(t *testing.T) {
	requests := []Request{onPurpose(event("bad", "github", 10, 11)), event("v2", "github", 20, 12),
		event("bad", "github", 30, 13)}
	for _, test := range []struct {
		name        string
		requests    []Request
		patch, get  *answer
		bad         bool // whether only requests for "bad" fail
		want        []string
		wantPatches int
	}{
		{name: "only rejected requests fail", bad: true, patch: invalid, requests: requests,
			want: []string{"failed", "Requested true", "failed"}, wantPatches: 4},
		{name: "all are rejected", patch: invalid, requests: requests, want: []string{"failed", "failed", "failed"},
			wantPatches: 4},
		{name: "a transient error is the error of all", patch: unavailable, requests: requests,
			want: []string{"transient", "transient", "transient"}, wantPatches: 6},
		{name: "a missing target is missing for all", get: noObject, requests: requests,
			want: []string{"failed", "failed", "failed"}},
		{name: "a single request is not tried twice", patch: invalid, requests: requests[:1], want: []string{"failed"},
			wantPatches: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newFakeAPIServer(t, plantAt("v0"))
			api.before = func(_ *fakeAPIServer, method string, _ int) *answer {
				if method == http.MethodGet {
					return test.get
				}
				return nil
			}
			if test.patch != nil {
				api.refuse = func(after string) *answer {
					if test.bad && requestedIn(parse(t, postern.TargetGatewaySync, after)) != "bad" {
						return nil
					}
					return test.patch
				}
			}
			writer, _ := newTestWriter(t, api, nil)
			if diff := cmp.Diff(test.want, summarize(writer.writeBatch(t.Context(), plant,
				test.requests))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := api.counts[http.MethodPatch]; got != test.wantPatches {
				t.Errorf("got %d patches, want %d", got, test.wantPatches)
			}
		})
	}
}
