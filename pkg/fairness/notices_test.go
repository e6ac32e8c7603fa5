// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fairness

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

func TestEachFlowThatIsRefusedIsNamedOnceAMinute(t *testing.T) {
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
