// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"postern.dev/postern/pkg/generated/clientset/versioned"
)

// halfBytes is enough for the client to flush it, and more than the first bytes, which take no memory of the budget.
const halfBytes = 128 << 10

// halfSent is a delivery whose second half has not been sent.
type halfSent struct {
	t      *testing.T
	body   string
	rest   *io.PipeWriter
	answer <-chan answer
}

// sendHalf starts a delivery of a ref, with a Content-Length or without. The request ends with the test at the latest.
func (s sender) sendHalf(t *testing.T, path, ref string, sized bool) *halfSent {
	t.Helper()
	body := `{"ref":"` + ref + `","x":"` + strings.Repeat("x", 2*halfBytes) + `"}`
	reader, writer := io.Pipe()
	t.Cleanup(func() { _ = writer.CloseWithError(io.ErrUnexpectedEOF) })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Base+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if sized {
		req.ContentLength = int64(len(body))
	}
	answers := make(chan answer, 1)
	go func() {
		got, err := s.do(req)
		if err != nil {
			got = answer{body: []byte(err.Error())}
		}
		answers <- got
	}()
	if _, err := io.WriteString(writer, body[:halfBytes]); err != nil {
		t.Fatal(err)
	}
	return &halfSent{t, body, writer, answers}
}

// end sends the rest, which is not read if the request was answered already, and returns the answer.
func (h *halfSent) end() answer {
	_, _ = io.WriteString(h.rest, h.body[halfBytes:])
	_ = h.rest.Close()
	return <-h.answer
}

// untilRefused waits until deliveries of a body are answered 429 by the limit of a flag. It calls more after other
// answers.
func (w *world) untilRefused(s sender, path, body, flag string, more func()) {
	w.T.Helper()
	var got answer
	w.eventually(func() (err error) {
		got, err = s.post(w.T.Context(), path+dryRun, []byte(body), nil)
		if err == nil && got.code != http.StatusTooManyRequests {
			more()
			err = fmt.Errorf("got %d, want 429: %s", got.code, got.body)
		}
		return err
	})
	if got.header.Get("Retry-After") == "" {
		w.T.Errorf("got headers %v, want Retry-After", got.header)
	}
	if status := got.status(w.T); status.Reason != metav1.StatusReasonTooManyRequests ||
		!strings.Contains(status.Message, flag) {
		w.T.Errorf("got %+v, want a Status that names %s", status, flag)
	}
}

// reader returns a client that may only read deliveries.
func (w *world) reader() versioned.Interface {
	w.T.Helper()
	subject, token := w.serviceAccount("reader")
	w.Grant(subject, "list,watch", "webhookdeliveries")
	config, err := w.TokenConfig(token)
	if err != nil {
		w.T.Fatal(err)
	}
	config.QPS = -1
	client, err := versioned.NewForConfig(rest.CopyConfig(config))
	if err != nil {
		w.T.Fatal(err)
	}
	w.eventually(func() error {
		_, err := client.PosternV1alpha1().WebhookDeliveries(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
		return err
	})
	return client
}

func TestLimits_Overload(t *testing.T) {
	const limit = 8
	s := newSuite(t, fmt.Sprintf("--max-mutating-requests-inflight=%d", limit),
		fmt.Sprintf("--max-requests-inflight=%d", limit),
		"--max-inflight-payload-bytes=11927552", "--payload-timeout=1m", "--max-namespace-share-percent=100")

	t.Run("of requests in flight rejects deliveries, but no lists and watches", func(t *testing.T) {
		w := s.newWorld(t)
		w.gatewaySync("web")
		ci := w.ci().speaking(t, w, "HTTP/1.1")
		deliveries := w.reader().PosternV1alpha1().WebhookDeliveries(w.Namespace)
		var half []*halfSent
		// A delivery may be rejected while another is just ending, so the loop may send more than four.
		w.untilRefused(ci, gatewaySyncPath("web"), anyBody, "--max-mutating-requests-inflight", func() {
			half = append(half, ci.sendHalf(t, gatewaySyncPath("web"), fmt.Sprintf("v%d", len(half)), true))
		})
		list, err := deliveries.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var watches []watch.Interface
		for range 3 * limit { // reads are not counted
			watch, err := deliveries.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Stop()
			watches = append(watches, watch)
		}
		if _, err := deliveries.List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
		if err := s.readyError(t.Context()); err != nil {
			t.Error(err)
		}
		accepted := 0
		for _, h := range half {
			if h.end().code == http.StatusAccepted {
				accepted++
			}
		}
		if accepted != limit {
			t.Errorf("%d of %d deliveries were in flight at once, want %d", accepted, len(half), limit)
		}
		for _, watch := range watches {
			if event := <-watch.ResultChan(); event.Object == nil {
				t.Error("a watch has ended")
			}
		}
		ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"after"}`, nil, http.StatusAccepted)
	})

	t.Run("of bytes in flight rejects large deliveries until there is room", func(t *testing.T) {
		w := s.newWorld(t)
		w.gatewaySync("web")
		ci := w.ci().speaking(t, w, "HTTP/1.1")
		var half []*halfSent
		large := `{"ref":"large","x":"` + strings.Repeat("x", halfBytes) + `"}`
		w.untilRefused(ci, gatewaySyncPath("web"), large, "--max-inflight-payload-bytes", func() {
			// counts as the maximum
			half = append(half, ci.sendHalf(t, gatewaySyncPath("web"), fmt.Sprintf("large%d", len(half)), false))
		})
		ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"small"}`, nil, http.StatusAccepted)
		accepted := 0
		for _, h := range half {
			if h.end().code == http.StatusAccepted {
				accepted++
			}
		}
		if accepted < 3 { // the number that fits
			t.Errorf("%d of %d deliveries were accepted", accepted, len(half))
		}
		ci.mustPost(t, gatewaySyncPath("web"), `{"ref":"after"}`, nil, http.StatusAccepted)
	})
}
