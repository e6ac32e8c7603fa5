// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
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
	// retryDelay is how long a sender waits before it sends once more what was not accepted, as "curl --retry 1" does.
	retryDelay = time.Second
	// calm is how long a load goes on before and after a disturbance.
	calm = 2 * time.Second
)

// request is a delivery, which is sent once more if it is not accepted.
type request struct {
	target   string
	ref      string
	attempts []*attempt
}

// attempt is one time that a delivery is sent, and the answer.
type attempt struct {
	sent     time.Time
	answered time.Time // zero until there is an answer, or none will come
	answer
}

// answer is what a sender learns.
type answer struct {
	code      int    // 0 if there was none
	record    string // the name of the record
	complaint string
}

func (a answer) accepted() bool { return a.code >= 200 && a.code < 300 }

// sender delivers with the token of a ServiceAccount. It is safe for concurrent use.
type sender struct {
	client *http.Client
	host   string
}

func (w *world) newSender() *sender {
	w.t.Helper()
	config := rest.CopyConfig(w.account)
	config.Timeout = senderTimeout
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		w.t.Fatal(err)
	}
	return &sender{client, config.Host}
}

// post delivers a body with headers to a target.
func (s *sender) post(target, body string, headers http.Header) answer {
	url := fmt.Sprintf("%s/apis/postern.dev/v1alpha1/namespaces/%s/gatewaysyncs/%s/webhookdeliveries", s.host,
		namespace, target)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return answer{complaint: err.Error()}
	}
	maps.Copy(req.Header, headers)
	response, err := s.client.Do(req)
	if err != nil {
		return answer{complaint: err.Error()}
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{complaint: err.Error()}
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return answer{code: response.StatusCode, complaint: string(content)}
	}
	var delivery v1alpha1.WebhookDelivery
	if err := json.Unmarshal(content, &delivery); err != nil {
		return answer{code: response.StatusCode, complaint: err.Error()}
	}
	return answer{code: response.StatusCode, record: delivery.Name}
}

// load sends deliveries to all targets in turn at a steady rate, and remembers each answer.
type load struct {
	w      *world
	sender *sender
	stop   context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	requests []*request
}

// startLoad starts a load until its end is called, or until the test ends.
func (w *world) startLoad() *load {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &load{w: w, sender: w.newSender(), stop: stop, ended: make(chan struct{})}
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
		r := &request{target: fmt.Sprintf("plant-%d", serial%targets), ref: fmt.Sprintf("v1.0.%d", serial)}
		first := &attempt{sent: time.Now()}
		r.attempts = append(r.attempts, first)
		l.mu.Lock()
		l.requests = append(l.requests, r)
		l.mu.Unlock()
		pending.Go(func() {
			if l.deliver(r, first) {
				return
			}
			<-time.After(retryDelay)
			again := &attempt{sent: time.Now()}
			l.mu.Lock()
			r.attempts = append(r.attempts, again)
			l.mu.Unlock()
			l.deliver(r, again)
		})
	}
}

// deliver makes an attempt, and reports whether it was accepted.
func (l *load) deliver(r *request, a *attempt) bool {
	got := l.sender.post(r.target, fmt.Sprintf(`{"ref": %q}`, r.ref), nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	a.answered, a.answer = time.Now(), got
	return got.accepted()
}

// successes returns how many deliveries that were first sent after a time were accepted at once.
func (l *load) successes(after time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int
	for _, r := range l.requests {
		if first := r.attempts[0]; first.sent.After(after) && first.accepted() {
			n++
		}
	}
	return n
}

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
		a := r.attempts[len(r.attempts)-1] // no other one is accepted
		if !a.accepted() {
			continue
		}
		record, found := records[a.record]
		if !found {
			lost = append(lost, fmt.Sprintf("%s of %s has no record %q", r.ref, r.target, a.record))
			continue
		}
		if phase := record.Status.Phase; phase != v1alpha1.DeliveryApplied && phase != v1alpha1.DeliverySuperseded {
			lost = append(lost, fmt.Sprintf("%s of %s is %s: %s", r.ref, r.target, phase, record.Status.Message))
		}
		if held := byRef[holds[r.target]]; held == nil || held.endedBefore(a.sent) {
			lost = append(lost, fmt.Sprintf("%s of %s is not written, but %q", r.ref, r.target, holds[r.target]))
		}
	}
	return lost
}

// endedBefore reports whether the delivery can't have been received after t. Of two that overlap, either may have been
// received last, and one without an answer may still be written.
func (r *request) endedBefore(t time.Time) bool {
	return !slices.ContainsFunc(r.attempts, func(a *attempt) bool { return a.code == 0 || !a.answered.Before(t) })
}

// records returns the records by name, once none is pending.
func (w *world) records(t *testing.T) (records map[string]*v1alpha1.WebhookDelivery) {
	t.Helper()
	w.eventually("no delivery is pending", func(ctx context.Context) (err error) {
		if records, err = w.list(ctx); err != nil {
			return err
		}
		for name, record := range records {
			if record.Status.Phase == v1alpha1.DeliveryPending {
				return fmt.Errorf("%s is pending", name)
			}
		}
		return nil
	})
	return records
}

// list returns the present records by name.
func (w *world) list(ctx context.Context) (map[string]*v1alpha1.WebhookDelivery, error) {
	list, err := w.deliveries.PosternV1alpha1().WebhookDeliveries(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	records := map[string]*v1alpha1.WebhookDelivery{}
	for i := range list.Items {
		records[list.Items[i].Name] = &list.Items[i]
	}
	return records, nil
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
