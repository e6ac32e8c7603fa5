// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/test/testcluster"
	"postern.dev/postern/test/vendors"
)

// TestVendors_Examples sends the examples of "make vendors" through the kube-apiserver, each to the endpoints of its
// sender.
func TestVendors_Examples(t *testing.T) {
	reacted := scenario(t, "vendors' examples, each answered 202 with the refs that it names")
	dir := os.Getenv("POSTERN_VENDORS")
	if dir == "" {
		t.Skip(`"make test-real" or "make test-vendors" fetches the examples and runs it`)
	}
	examples, err := vendors.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	ci := w.ci()
	w.post(ci, "gatewaysyncs/plant/webhookdeliveries", `{"ref": "main"}`, nil)
	start, sent := time.Now(), 0
	for i, e := range examples {
		if e.Source == "" {
			continue
		}
		for path, want := range endpoints(e) {
			w.sendExample(ci, path+"/webhookdeliveries", fmt.Sprintf("%d-%d", i, sent), e, want)
			sent++
		}
	}
	t.Logf("sent %d deliveries of %d examples in %s", sent, len(examples), time.Since(start).Round(time.Second))
	reacted(start)
}

// endpoints returns where users point webhooks of a sender, and what an example requests there. One webhook of GitHub
// often has all events, of which each endpoint by source ignores those for the other. A named target gets the images,
// too, and a GatewaySync takes none.
func endpoints(e vendors.Example) map[string][]string {
	bySource, byTarget := "webhooksources/"+e.Source, "gatewaysyncs/plant"
	sender, _ := payload.Lookup(e.Source)
	switch {
	case e.Source == "ghcr.io":
		return map[string][]string{bySource: e.Want, "webhooksources/github": nil, byTarget: e.Want}
	case e.Source == "github":
		return map[string][]string{bySource: e.Want, "webhooksources/ghcr.io": nil, byTarget: e.Want}
	case sender.Requests == payload.RequestsGitRefs:
		return map[string][]string{bySource: e.Want, byTarget: e.Want}
	}
	return map[string][]string{bySource: e.Want}
}

// waitRetryAfter waits for as long as an answer says.
func (w *world) waitRetryAfter(answer testcluster.Answer) {
	w.T.Helper()
	seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if err != nil {
		w.T.Fatalf("an answer %d does not say when to retry: %s", answer.Code, answer.Body)
	}
	select {
	case <-time.After(time.Duration(seconds) * time.Second):
	case <-w.T.Context().Done():
		w.T.Fatal(w.T.Context().Err())
	}
}

// sendExample sends an example as its sender does, again if Postern asks for that, and checks the record.
func (w *world) sendExample(from testcluster.Sender, path, id string, e vendors.Example,
	want []string) {
	w.T.Helper()
	for {
		req, err := from.NewRequest(w.T.Context(), http.MethodPost, path, bytes.NewReader(e.Body), e.Header)
		if err != nil {
			w.T.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if req.Header.Get("X-Github-Event") != "" {
			req.Header.Set("X-Github-Delivery", id)
		}
		answer, err := from.Do(req)
		if err != nil {
			w.T.Fatal(err)
		}
		if answer.Code == http.StatusTooManyRequests {
			w.waitRetryAfter(answer)
			continue
		}
		if answer.Code == http.StatusBadRequest && e.Handmade {
			return
		}
		if answer.Code != http.StatusAccepted {
			w.T.Errorf("%s to %s: got %d: %s", e.Name, path, answer.Code, answer.Body)
			return
		}
		var d v1alpha1.WebhookDelivery
		if err := json.Unmarshal(answer.Body, &d); err != nil {
			w.T.Fatal(err)
		}
		var refs []string
		for _, event := range d.Spec.Events {
			ref := fmt.Sprintf("%s %s", event.RefType, event.Ref)
			if event.Image != nil {
				ref = fmt.Sprintf("Image %s/%s:%s", event.Image.Host, event.Image.Repository, event.Image.Tag)
			}
			refs = append(refs, ref)
		}
		if diff := cmp.Diff(want, refs, cmpopts.EquateEmpty()); diff != "" {
			w.T.Errorf("%s to %s: refs (-want +got):\n%s", e.Name, path, diff)
		}
		return
	}
}
