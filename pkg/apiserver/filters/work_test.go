// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"postern.dev/postern/pkg/fairness"
)

func TestWork_AnonymousLeaveTurnToAuthenticated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWork(50)
		for range 100 {
			go func() {
				if end, err := w.ToWrite(t.Context(), demo.Namespace, true); err == nil {
					<-time.After(time.Minute)
					end()
				}
			}()
		}
		synctest.Wait()
		start := time.Now()
		end, err := w.Begin(t.Context(), demo)
		if waited := time.Since(start); err != nil || waited > 0 {
			t.Fatalf("it waited %s: %v", waited, err)
		}
		end()
		<-time.After(2 * time.Hour)
	})
}

// A request gets a 429; an accepted delivery waits until its context ends.
func TestWork_RequestTimesOutDeliveryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWork(1) // one slot per flow
		end, err := w.Begin(t.Context(), demo)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = w.Begin(t.Context(), demo)
		code, retry := assertTooManyRequests(t, err, "--max-namespace-share-percent")
		if code != http.StatusTooManyRequests || retry != RetryAfterSeconds {
			t.Errorf("a request: got %d, Retry-After %d", code, retry)
		}
		if waited := time.Since(start); waited != workTimeout {
			t.Errorf("a request waited %s, want %s", waited, workTimeout)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*workTimeout)
		defer cancel()
		start = time.Now()
		_, err = w.Await(ctx, fairness.Flow{Namespace: demo.Namespace})
		if waited := time.Since(start); !errors.Is(err, fairness.ErrShare) || waited != 10*workTimeout {
			t.Errorf("an accepted delivery waited %s: %v", waited, err)
		}
		end()
		if _, err := w.Await(t.Context(), demo); err != nil {
			t.Error(err)
		}
	})
}
