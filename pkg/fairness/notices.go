// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package fairness

import (
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/lru"
)

const (
	// noticeInterval is the minimum interval between log messages for a flow and cause.
	noticeInterval = time.Minute
	// maxNotices bounds how many flows and causes are remembered.
	maxNotices = 1024
)

// Notices logs flows that have reached their share. It is safe for concurrent use.
type Notices struct{ latest *lru.Cache } // of time.Time, by notice

type notice struct {
	flow  Flow
	cause string
}

// NewNotices returns Notices without a history.
func NewNotices() *Notices { return &Notices{lru.New(maxNotices)} }

// Refused logs that requests of a flow are refused for a cause, at most once a minute, with additional keys and values.
func (n *Notices) Refused(flow Flow, cause string, keysAndValues ...any) {
	key := notice{flow, cause}
	if latest, found := n.latest.Get(key); found && time.Since(latest.(time.Time)) < noticeInterval {
		return // two concurrent calls may both log
	}
	n.latest.Add(key, time.Now())
	klog.InfoS("Refusing requests of a namespace over its share", append([]any{
		"namespace", flow.Namespace, "anonymous", flow.Anonymous, "cause", cause,
	}, keysAndValues...)...)
}
