// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// board is the newest rows of a query while they change. Its memory is bounded by its limit.
type board struct {
	limit int
	rows  []row // from the newest to the oldest
}

// apply applies a change, and reports whether the board shows it.
func (b *board) apply(c change) (shown bool) {
	at := slices.IndexFunc(b.rows, func(r row) bool { return r.NamespacedName == c.NamespacedName })
	switch {
	case c.removed:
		if at >= 0 {
			b.rows = slices.Delete(b.rows, at, at+1)
		}
		return at >= 0
	case at >= 0 && b.rows[at].uid == c.uid && b.rows[at].version >= c.version:
		return false // seen already
	case at >= 0:
		b.rows[at] = c.row
	default:
		b.rows = append(b.rows, c.row)
	}
	b.rows = keepNewest(b.rows, b.limit)
	return slices.ContainsFunc(b.rows, func(r row) bool { return r.uid == c.uid })
}

// display shows a board while it is followed. Its functions are called by one goroutine.
type display interface {
	// show shows the whole board, of which changed are new or have changed, from the oldest to the newest.
	show(b *board, changed []row) error
	// interrupted says that the display may be behind, and why.
	interrupted(cause error)
}

// pauses are those between attempts to watch again, if they fail.
var pauses = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 8, Cap: 30 * time.Second}

// follow shows the newest deliveries of a query, and how they change, until ctx ends. It returns an error only if the
// deliveries can't be listed at first, or the display fails. If a watch ends, it goes on from there; if that is too
// long ago, it lists again.
func (q query) follow(ctx context.Context, client rest.Interface, limit int, d display) error {
	l, err := q.list(ctx, client, limit)
	if err != nil {
		return err
	}
	f := follower{query: q, client: client, display: d, board: &board{limit: limit}, pause: pauses}
	if err := f.reset(l); err != nil {
		return err
	}
	for ctx.Err() == nil && f.failed == nil {
		f.watchOnce(ctx)
	}
	return f.failed
}

// follower is the state of follow.
type follower struct {
	query
	client  rest.Interface
	display display
	board   *board
	version string
	pause   wait.Backoff
	// failed is the error of the display.
	failed error
}

// reset replaces the board by a listing, and shows what is new in it.
func (f *follower) reset(l listing) error {
	var changed []row
	for _, r := range slices.Backward(l.rows) {
		isKnown := func(known row) bool { return known.uid == r.uid && known.version == r.version }
		if !slices.ContainsFunc(f.board.rows, isKnown) {
			changed = append(changed, r)
		}
	}
	f.board.rows, f.version = l.rows, l.version
	return f.display.show(f.board, changed)
}

// watchOnce watches until the watch ends, and prepares the next one.
func (f *follower) watchOnce(ctx context.Context) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	began := time.Now()
	version, err := f.watch(watching, f.client, f.version, func(c change) {
		if f.failed == nil && f.board.apply(c) {
			var changed []row
			if !c.removed {
				changed = []row{c.row}
			}
			if f.failed = f.display.show(f.board, changed); f.failed != nil {
				stop()
			}
		}
	})
	f.version = version
	switch {
	case ctx.Err() != nil || f.failed != nil:
		return
	case err == nil && time.Since(began) > time.Second: // the server ends every watch after a while
		f.pause = pauses
		return
	case apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
		var l listing
		if l, err = f.list(ctx, f.client, f.board.limit); err == nil {
			f.failed = f.reset(l)
			return
		}
	}
	if err != nil && ctx.Err() == nil {
		f.display.interrupted(err)
	}
	waitFor(ctx, f.pause.Step())
}

// waitFor waits until the time is over or ctx ends.
func waitFor(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
