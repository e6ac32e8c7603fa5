// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
)

const (
	// loadRate is the number of deliveries per second.
	loadRate = 10
	// senderTimeout is how long a sender waits for an answer, as GitHub does.
	senderTimeout = 10 * time.Second
	// calm is how long a load goes on before and after a disturbance.
	calm = 2 * time.Second
)

// request is a delivery and its answer.
type request struct {
	target    string
	ref       string
	sent      time.Time
	answered  time.Time
	code      int    // 0 if there was no answer
	record    string // the name of the record
	complaint string
}

// load sends deliveries to all targets in turn at a steady rate, and remembers each answer.
type load struct {
	w      *world
	client *http.Client
	stop   context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	requests []*request
}

// startLoad starts a load until its end is called, or until the test ends.
func (w *world) startLoad() *load {
	w.t.Helper()
	config := rest.CopyConfig(w.sender)
	config.Timeout = senderTimeout
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &load{w: w, client: client, stop: stop, ended: make(chan struct{})}
	go l.run(ctx)
	w.t.Cleanup(func() { // of a test that has failed, too: what goes on would overwrite what the next one writes
		stop()
		<-l.ended
	})
	return l
}

// serial makes the refs of all loads differ. Only one load runs at a time.
var serial int

func (l *load) run(ctx context.Context) {
	defer close(l.ended)
	var pending sync.WaitGroup
	defer pending.Wait()
	ticker := time.NewTicker(time.Second / loadRate)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		serial++
		r := &request{
			target: fmt.Sprintf("plant-%d", serial%targets), ref: fmt.Sprintf("v1.0.%d", serial), sent: time.Now(),
		}
		l.mu.Lock()
		l.requests = append(l.requests, r)
		l.mu.Unlock()
		pending.Go(func() { l.deliver(r) })
	}
}

func (l *load) deliver(r *request) {
	code, record, complaint := l.post(r.target, fmt.Sprintf(`{"ref": %q}`, r.ref))
	l.mu.Lock()
	defer l.mu.Unlock()
	r.answered, r.code, r.record, r.complaint = time.Now(), code, record, complaint
}

// post delivers a body to a target, and returns the status code and the name of the record, or what went wrong.
func (l *load) post(target, body string) (code int, record, complaint string) {
	url := fmt.Sprintf("%s/apis/postern.dev/v1alpha1/namespaces/%s/gatewaysyncs/%s/webhookdeliveries", l.w.sender.Host,
		namespace, target)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, "", err.Error()
	}
	response, err := l.client.Do(req)
	if err != nil {
		return 0, "", err.Error()
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, "", err.Error()
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return response.StatusCode, "", string(content)
	}
	var delivery v1alpha1.WebhookDelivery
	if err := json.Unmarshal(content, &delivery); err != nil {
		return response.StatusCode, "", err.Error()
	}
	return response.StatusCode, delivery.Name, ""
}

// successes returns how many deliveries that were sent after a time have been accepted.
func (l *load) successes(after time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int
	for _, r := range l.requests {
		if r.sent.After(after) && r.accepted() {
			n++
		}
	}
	return n
}

func (r *request) accepted() bool { return r.code >= 200 && r.code < 300 }

// await returns once as many deliveries as a calm load sends have been accepted, all of them sent from now on.
func (l *load) await() {
	l.w.t.Helper()
	now := time.Now()
	l.w.eventually("deliveries are accepted", func(context.Context) error {
		if n := l.successes(now); n < int(calm.Seconds()*loadRate) {
			return fmt.Errorf("%d deliveries", n)
		}
		return nil
	})
}

// end stops the load, waits for all answers, and checks that nothing that was accepted is lost.
func (l *load) end() *outcome {
	l.w.t.Helper()
	l.stop()
	<-l.ended
	o := &outcome{requests: len(l.requests), codes: map[int]int{}, complaints: map[string]int{}}
	for _, r := range l.requests {
		o.add(r)
	}
	o.lost = l.lost()
	for complaint, n := range o.complaints {
		l.w.t.Logf("%d times: %s", n, complaint)
	}
	if len(o.lost) > 0 {
		l.w.t.Errorf("%d accepted deliveries are lost: %q", len(o.lost), o.lost)
	}
	return o
}

// lost returns what is wrong with accepted deliveries: they have no record or none with an outcome, or their target has
// what was requested before them.
func (l *load) lost() (lost []string) {
	l.w.t.Helper()
	records := l.w.records(l.w.t)
	holds := l.w.requestedRefs(l.w.t)
	byRef := map[string]*request{}
	for _, r := range l.requests {
		byRef[r.ref] = r
	}
	for _, r := range l.requests {
		if !r.accepted() {
			continue
		}
		record, found := records[r.record]
		if !found {
			lost = append(lost, fmt.Sprintf("%s of %s has no record %q", r.ref, r.target, r.record))
			continue
		}
		if phase := record.Status.Phase; phase != v1alpha1.DeliveryApplied && phase != v1alpha1.DeliverySuperseded {
			lost = append(lost, fmt.Sprintf("%s of %s is %s: %s", r.ref, r.target, phase, record.Status.Message))
		}
		// Of two that overlap, either may have been received last. One without an answer may still have been written.
		held := byRef[holds[r.target]]
		if held == nil || held.code != 0 && held.answered.Before(r.sent) {
			lost = append(lost, fmt.Sprintf("%s of %s is not written, but %q", r.ref, r.target, holds[r.target]))
		}
	}
	return lost
}

// records returns the records by name, once none is pending.
func (w *world) records(t *testing.T) map[string]*v1alpha1.WebhookDelivery {
	t.Helper()
	records := map[string]*v1alpha1.WebhookDelivery{}
	w.eventually("no delivery is pending", func(ctx context.Context) error {
		list, err := w.deliveries.PosternV1alpha1().WebhookDeliveries(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range list.Items {
			record := &list.Items[i]
			if record.Status.Phase == v1alpha1.DeliveryPending {
				return fmt.Errorf("%s is pending", record.Name)
			}
			records[record.Name] = record
		}
		return nil
	})
	return records
}

// requestedRefs returns what each target has been requested to use.
func (w *world) requestedRefs(t *testing.T) map[string]string {
	t.Helper()
	list, err := w.objects.Resource(gatewaySyncs).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	refs := map[string]string{}
	for _, object := range list.Items {
		refs[object.GetName()] = object.GetAnnotations()["stoker.io/requested-ref"]
	}
	return refs
}
