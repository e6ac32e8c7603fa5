// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fairness

import (
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/lru"
)

const (
	// noticeInterval is how often a flow is named in the log for one cause.
	noticeInterval = time.Minute
	// maxNotices bounds how many flows and causes are remembered.
	maxNotices = 1024
)

// Notices names in the log the flows that have reached their share. It is safe for concurrent use.
type Notices struct{ latest *lru.Cache } // of time.Time, by notice

type notice struct {
	flow  Flow
	cause string
}

// NewNotices returns Notices of which none was given.
func NewNotices() *Notices { return &Notices{lru.New(maxNotices)} }

// Refused logs that something of a flow is refused for a cause, and more keys and values; once a minute if it is often.
func (n *Notices) Refused(flow Flow, cause string, keysAndValues ...any) {
	key := notice{flow, cause}
	if latest, found := n.latest.Get(key); found && time.Since(latest.(time.Time)) < noticeInterval {
		return // two at once may both log
	}
	n.latest.Add(key, time.Now())
	klog.InfoS("A namespace has reached its share, and its requests are refused", append([]any{
		"namespace", flow.Namespace, "anonymous", flow.Anonymous, "cause", cause,
	}, keysAndValues...)...)
}
