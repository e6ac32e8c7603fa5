// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

func TestShutdown_AcceptsRequestsUnderWay(t *testing.T) {
	const requests = 100
	// All requests are in one namespace, and their bodies exceed the default share of a namespace.
	postern := startPostern(t, controlplane.PosternOptions{
		Flags: []string{"--max-namespace-share-percent=100", "--max-inflight-payload-bytes=536870912"},
	})
	w := newWorld(t, 4, 4)
	seatsForSenders(t, 300)
	l := &ledger{}
	finish := w.holdRequests(l, requests)
	w.Eventually(testcluster.Patience, func() error {
		// The metric is the maximum within the last second, measured at each arrival, so a request must arrive.
		_ = w.ci.send(request{target: w.targets[0], body: useless})
		const inFlight = `apiserver_current_inflight_requests{request_kind="mutating"}`
		metrics, err := testcluster.ReadMetrics(t.Context(), postern.DirectConfig(), inFlight)
		if got := metrics[inFlight]; err == nil && got < requests {
			err = fmt.Errorf("Postern has %v requests in flight, want %d", got, requests)
		}
		return err
	})

	ended := make(chan error, 1)
	go func() { ended <- postern.Stop(t.Context()) }()
	w.Eventually(testcluster.Patience, func() error { // by then it has started to shut down
		if acceptsConnections(postern.Address()) {
			return errors.New("Postern still accepts connections")
		}
		return nil
	})
	finish()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	w.onlyCodes(l, http.StatusAccepted)
	if err := postern.Start(testcluster.StartContext(t)); err != nil {
		t.Fatal(err)
	}
	w.check(l)
}

// seatsForSenders changes the senders' share of the kube-apiserver's seats for the duration of the test. The default
// share admits fewer concurrent requests than the test needs.
func seatsForSenders(t *testing.T, shares int) {
	t.Helper()
	set := func(ctx context.Context, shares int) {
		patch := fmt.Sprintf(`{"spec": {"limited": {"nominalConcurrencyShares": %d}}}`, shares)
		if _, err := shared.Kubectl(ctx, "", "patch", "prioritylevelconfiguration", "postern-senders", "--type=merge",
			"--patch="+patch); err != nil {
			t.Fatal(err)
		}
	}
	before, err := shared.Kubectl(t.Context(), "", "get", "prioritylevelconfiguration", "postern-senders",
		"--output=jsonpath={.spec.limited.nominalConcurrencyShares}")
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := strconv.Atoi(before)
	if err != nil {
		t.Fatal(err)
	}
	set(t.Context(), shares)
	t.Cleanup(func() { set(context.Background(), shipped) })
}

func acceptsConnections(address string) bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "https://"))
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// holdRequests sends requests without the end of their bodies. finish sends the rest and waits for the answers.
func (w *world) holdRequests(l *ledger, requests int) (finish func()) {
	rest := make(chan struct{})
	var work sync.WaitGroup
	for i := range requests {
		r := plain(w.targets[i%len(w.targets)], fmt.Sprintf("r%d", i))
		work.Go(func() {
			began := time.Now()
			// White space before JSON is ignored. This amount fills all buffers on the way.
			first := strings.Repeat(" ", 32<<10)
			body := io.MultiReader(strings.NewReader(first), &heldReader{until: rest}, strings.NewReader(r.body))
			l.enter(r, began, w.ci.post(r.target.path(), body, len(first)+len(r.body), r.header))
		})
	}
	release := sync.OnceFunc(func() { close(rest) })
	w.T.Cleanup(release)
	return func() {
		release()
		work.Wait()
	}
}

// heldReader blocks until the channel is closed, and then returns EOF.
type heldReader struct{ until <-chan struct{} }

func (r *heldReader) Read([]byte) (int, error) {
	<-r.until
	return 0, io.EOF
}
