// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fairness

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// fill lets the flows acquire 1 in rotation until no flow may acquire more, and returns what each holds.
func fill(c *Counter, flows int) []int64 {
	held := make([]int64, flows)
	for took := true; took; {
		took = false
		for i := range held {
			if _, err := c.TryAcquire(Flow{Namespace: fmt.Sprint(i)}, 1); err == nil {
				held[i]++
				took = true
			}
		}
	}
	return held
}

func TestCounter_FlowsLeaveRoom(t *testing.T) {
	for _, test := range []struct {
		percent, greedy int
		each            int64
	}{
		{50, 1, 100}, {50, 2, 67}, {50, 9, 20},
		{25, 1, 50}, {25, 2, 40},
		{100, 1, 200},
	} {
		t.Run(fmt.Sprintf("%d of %d%%", test.greedy, test.percent), func(t *testing.T) {
			c := NewCounter(Share{Total: 200, Percent: test.percent})
			for i, held := range fill(c, test.greedy) {
				if held < test.each-1 || held > test.each {
					t.Errorf("flow %d holds %d, want %d", i, held, test.each)
				}
			}
			if _, err := c.TryAcquire(Flow{Namespace: "another"}, 1); (err == nil) != (test.percent < 100) {
				t.Errorf("another flow acquires 1: %v", err)
			}
		})
	}
}

func TestCounter_FirstOfFlowMayTakeAll(t *testing.T) {
	c := NewCounter(Share{Total: 10, Percent: 50})
	release, err := c.TryAcquire(Flow{Namespace: "a"}, 10) // more than its share, but the flow holds nothing
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryAcquire(Flow{Namespace: "b"}, 1); !errors.Is(err, ErrTotal) {
		t.Errorf("more than the total is held: %v", err)
	}
	release()
	if _, err := c.TryAcquire(Flow{Namespace: "b"}, 1); err != nil {
		t.Errorf("after the release: %v", err)
	}
	if len(c.held) != 1 || c.inUse != 1 {
		t.Errorf("%d flows hold %d", len(c.held), c.inUse)
	}
}

func TestCounter_AnonymousLeaveRoom(t *testing.T) {
	c := NewCounter(Share{Total: 200, Percent: 50})
	for {
		if _, err := c.TryAcquire(Flow{Namespace: "demo", Anonymous: true}, 1); err != nil {
			if !errors.Is(err, ErrShare) {
				t.Errorf("got %v, want ErrShare", err)
			}
			break
		}
	}
	if _, err := c.TryAcquire(Flow{Namespace: "demo"}, 1); err != nil {
		t.Errorf("an authenticated sender: %v", err)
	}
}

func TestNotices_OncePerFlowAndMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		klog.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log))))
		defer klog.ClearLogger()
		n := NewNotices()
		refuse := func() {
			for range 3 {
				n.Refused(Flow{Namespace: "one"}, "NamespaceWork")
				n.Refused(Flow{Namespace: "other"}, "NamespaceWork")
				n.Refused(Flow{Namespace: "other", Anonymous: true}, "NamespaceWork")
				n.Refused(Flow{Namespace: "other"}, "NamespacePending", "pending", 7)
			}
		}
		for minute := range 2 {
			log.Reset()
			refuse()
			for text, want := range map[string]int{
				`namespace="one"`: 1, `namespace="other"`: 3, `anonymous=true`: 1, `pending=7`: 1,
			} {
				if got := strings.Count(log.String(), text); got != want {
					t.Errorf("minute %d: %q is logged %d times, want %d:\n%s", minute, text, got, want, &log)
				}
			}
			<-time.After(noticeInterval)
		}
	})
}
