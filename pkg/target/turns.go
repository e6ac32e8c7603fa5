// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"sync"
)

// turns lets one write at a time to each target. Several at once would only fail
// each other's tests, and under load some would never get through. The zero value
// is ready; it is safe for concurrent use.
type turns struct {
	mu      sync.Mutex
	targets map[Key]*turn
}

// turn is the right to write to one target. It exists while somebody has or
// waits for it.
type turn struct {
	free  chan struct{} // holds one token while nobody writes
	users int
}

// take waits for the turn to write to a target. Whoever gets it gives it back by
// calling done; who does not, because the context ended, gets an error.
func (t *turns) take(ctx context.Context, key Key) (done func(), err error) {
	one := t.join(key)
	select {
	case <-one.free:
		return func() {
			one.free <- struct{}{}
			t.leave(key, one)
		}, nil
	case <-ctx.Done():
		t.leave(key, one)
		return nil, ctx.Err()
	}
}

func (t *turns) join(key Key) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.targets == nil {
		t.targets = map[Key]*turn{}
	}
	one, ok := t.targets[key]
	if !ok {
		one = &turn{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		t.targets[key] = one
	}
	one.users++
	return one
}

func (t *turns) leave(key Key, one *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(t.targets, key)
	}
}
