// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxLive bounds the pages that are updated at a time.
	maxLive = 32
	// livePause is the least time between two updates of a page.
	livePause = time.Second
	// liveRefresh is how often a page is updated without a change, since it shows ages.
	liveRefresh = 30 * time.Second
	// liveWrite bounds the write of an update.
	liveWrite = 10 * time.Second
)

// followed returns a handler that shows what build makes of a feed. With the parameter live, the version of the content
// that the browser has, it sends the content again whenever it changes.
func (s *server) followed(name string, build builder) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		namespace, err := namespaceOf(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		feed, release, err := s.feeds.watch(namespace)
		if err != nil {
			s.fail(w, r, &pageError{http.StatusTooManyRequests, explain(err)})
			return
		}
		defer release()
		v := &visit{Request: r, namespace: namespace, feed: feed}
		live := r.URL.Query().Get("live")
		if live == "" {
			s.show(w, name, build, v)
			return
		}
		select {
		case s.live <- struct{}{}:
			defer func() { <-s.live }()
			v.since = sinceOf(r)
			s.stream(w, name, build, v, live)
		default:
			http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		}
	}
}

// sinceOf returns when the page of a request was made, as it says.
func sinceOf(r *http.Request) time.Time {
	milliseconds, err := strconv.ParseInt(r.URL.Query().Get("since"), 10, 64)
	if err != nil {
		return time.Now()
	}
	return time.UnixMilli(milliseconds)
}

// stream sends updates as server-sent events until the browser closes the page. Only the latest content is sent, so a
// slow browser holds up nothing.
func (s *server) stream(w http.ResponseWriter, name string, build builder, v *visit, sent string) {
	w.Header().Set("Content-Type", "text/event-stream")
	if last := v.Header.Get("Last-Event-ID"); last != "" {
		sent = last // the browser has connected again
	}
	// The deadline for reading the request would end it.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	refresh := time.NewTicker(liveRefresh)
	defer refresh.Stop()
	news := ""
	for {
		changed, version := v.feed.changes(), v.versionNow()
		var update bytes.Buffer
		shown, err := s.updated(v.Context(), name, build, v)
		if err != nil {
			shown = &view{News: "Not updated: " + explain(err)} // such as of a delivery that was deleted
		} else if content := execute(name, "content", shown); digest(content) != sent {
			sent = digest(content)
			writeEvent(&update, "content", sent, content)
		}
		if shown.News != news {
			news = shown.News
			writeEvent(&update, "news", sent, visible([]byte(news)))
		}
		if update.Len() == 0 {
			update.WriteString(":\n\n") // shows that the connection is alive
		}
		if err := write(w, update.Bytes()); err != nil {
			return
		}
		if !pause(v.Context(), livePause) {
			return
		}
		if !v.wait(changed, version, refresh.C) {
			return
		}
	}
}

// versionNow returns what no version equals until the page has been built once.
func (v *visit) versionNow() string {
	if v.version == nil {
		return "unknown"
	}
	return v.version()
}

// wait waits until there may be a new content, or for the next refresh. It reports whether the page is still open.
func (v *visit) wait(changed <-chan struct{}, version string, refresh <-chan time.Time) bool {
	for {
		select {
		case <-changed:
			changed = v.feed.changes()
			if v.version == nil || v.version() != version {
				return true
			}
		case <-refresh:
			return true
		case <-v.Context().Done():
			return false
		}
	}
}

func (s *server) updated(ctx context.Context, name string, build builder, v *visit) (*view, error) {
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	return s.build(ctx, name, build, v)
}

func writeEvent(b *bytes.Buffer, event, id string, data []byte) {
	fmt.Fprintf(b, "event: %s\nid: %s\n", event, id)
	for line := range bytes.Lines(data) {
		fmt.Fprintf(b, "data: %s\n", bytes.TrimRight(line, "\n"))
	}
	if len(data) == 0 {
		b.WriteString("data:\n")
	}
	b.WriteString("\n")
}

func write(w http.ResponseWriter, data []byte) error {
	controller := http.NewResponseController(w)
	deadline := time.Now().Add(liveWrite)
	if err := controller.SetWriteDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return controller.Flush()
}

// pause waits, and reports whether ctx is still not done.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// digest identifies a content.
func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}
