// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/delivery"
)

// The replica that answers a delivery may still be working on it.
func TestRetry_WaitsForGrace(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(b.pendingSince("old", 3*time.Second))
		defer b.start(t)()
		advance(time.Second)
		b.source.Add(b.pendingSince("new", 0))
		advance(time.Minute)
		want := []resumeCall{
			{"old", delivery.GracePeriod - 3*time.Second, false}, {"new", delivery.GracePeriod + time.Second, false},
		}
		if diff := cmp.Diff(want, b.tried()); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
	})
}

// An admission webhook may take longer than the grace period.
func TestRetry_GraceBeginsWithRecord(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		d := b.pendingSince("d", time.Minute)
		d.CreationTimestamp.Time = time.Now().Add(-time.Second)
		b.source.Add(d)
		defer b.start(t)()
		advance(time.Minute)
		if diff := cmp.Diff([]resumeCall{{"d", delivery.GracePeriod - time.Second, false}}, b.tried()); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
	})
}

// No replica works on a delivery that was interrupted by a crash, or was answered as Pending.
func TestRetry_OrphanIsRetriedAtOnce(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(b.pendingSince("crashed", 10*time.Minute))
		defer b.start(t)()
		advance(time.Second)
		if diff := cmp.Diff([]string{"crashed"}, names(b.tried())); diff != "" {
			t.Errorf("at the start (-want +got):\n%s", diff)
		}
		b.source.Add(attempted(b.pendingSince("new", 0)))
		if diff := cmp.Diff([]resumeCall{{"new", time.Second, false}}, b.tried()); diff != "" {
			t.Errorf("later (-want +got):\n%s", diff)
		}
		// The update shows that the first attempt is over, so the grace period ends.
		d := b.pendingSince("slow", 0)
		b.source.Add(d)
		advance(2 * time.Second)
		b.source.Modify(attempted(d.DeepCopy()))
		if diff := cmp.Diff([]resumeCall{{"slow", 3 * time.Second, false}}, b.tried()); diff != "" {
			t.Errorf("after it was answered (-want +got):\n%s", diff)
		}
	})
}

// A record of an earlier version has no time of receipt.
func TestRetry_AgeWithoutReceiptIsThatOfRecord(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		d := b.pendingSince("d", 0)
		d.CreationTimestamp.Time, d.Status.ReceivedTime = time.Now().Add(-2*window), nil
		b.source.Add(d)
		defer b.start(t)()
		advance(time.Second)
		if got := b.tried(); len(got) != 1 || !got[0].GiveUp {
			t.Errorf("got tries %v, want one with giveUp", got)
		}
	})
}

// Only the newest request of a target takes effect: the others are found outdated without a write.
func TestRetry_NewestOfTargetFirst(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		for age := range 5 {
			d := b.pendingSince(fmt.Sprintf("d%d", age), time.Duration(age)*time.Minute)
			b.source.Add(attempted(to("plant", d)))
		}
		busy, most := 0, 0
		b.answer = func(_ context.Context, d *postern.WebhookDelivery, _ bool) error {
			b.mu.Lock()
			busy++
			most = max(most, busy)
			b.mu.Unlock()
			advance(time.Second)
			b.mu.Lock()
			defer b.mu.Unlock()
			if d.Name == "d0" && most > 1 {
				t.Errorf("%d are tried concurrently with the newest", most)
			}
			busy--
			return nil
		}
		defer b.start(t)()
		advance(time.Minute)
		tried := b.tried()
		if got := names(tried); len(got) != 5 || got[0] != "d0" {
			t.Errorf("tried %v, want d0 before all others", got)
		}
		if most != 4 {
			t.Errorf("%d were tried concurrently, want all 4 others", most)
		}
	})
}

func TestRetry_OlderWaitsWhileNewestIsPending(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(attempted(to("plant", b.pendingSince("newest", 0))))
		b.source.Add(attempted(to("plant", b.pendingSince("older", time.Minute))))
		b.source.Add(attempted(to("web", b.pendingSince("elsewhere", time.Minute))))
		b.source.Add(attempted(b.pendingSince("anywhere", time.Minute)))
		b.answer = func(ctx context.Context, d *postern.WebhookDelivery, giveUp bool) error {
			if d.Name == "newest" && time.Since(b.began) < time.Minute {
				return stillPending(ctx, d, giveUp)
			}
			return nil
		}
		defer b.start(t)()
		advance(2 * time.Minute)
		count := map[string]int{}
		order := names(b.tried())
		for _, name := range order {
			count[name]++
		}
		if count["newest"] < 5 || count["older"] != 1 || count["elsewhere"] != 1 || count["anywhere"] != 1 {
			t.Errorf("tried %v, want each but the newest once", count)
		}
		if last := order[len(order)-1]; last != "older" {
			t.Errorf("the last was %s, want older", last)
		}
	})
}

// New deliveries to a target must not keep the old ones from being given up.
func TestRetry_GivesUpOlderWhileNewestIsPending(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(attempted(to("plant", b.pendingSince("newest", 0))))
		b.source.Add(attempted(to("plant", b.pendingSince("oldest", window+time.Second))))
		b.answer = func(ctx context.Context, d *postern.WebhookDelivery, giveUp bool) error {
			if giveUp {
				return nil
			}
			return stillPending(ctx, d, giveUp)
		}
		defer b.start(t)()
		advance(time.Minute)
		var last []resumeCall
		for _, c := range b.tried() {
			if c.Name == "oldest" {
				last = append(last, c)
			}
		}
		if len(last) != 1 || !last[0].GiveUp {
			t.Errorf("got tries %v, want one with giveUp", last)
		}
	})
}

func TestRetry_ConflictIsLeftToWatch(t *testing.T) {
	resource := postern.Resource("webhookdeliveries")
	for name, err := range map[string]error{
		"gone":    fmt.Errorf("could not: %w", apierrors.NewNotFound(resource, "d")),
		"changed": apierrors.NewConflict(resource, "d", errors.New("changed")),
	} {
		t.Run(name, func(t *testing.T) {
			runRetryTest(t, func(t *testing.T, b *retryFixture) {
				d := attempted(b.pendingSince("d", time.Minute))
				b.source.Add(d)
				b.answer = func(context.Context, *postern.WebhookDelivery, bool) error { return err }
				defer b.start(t)()
				advance(10 * time.Minute)
				if got := b.tried(); len(got) != 1 {
					t.Errorf("tried %d times, want once", len(got))
				}
				b.source.Modify(d.DeepCopy())
				if got := b.tried(); len(got) != 1 {
					t.Errorf("after it changed: tried %d times, want once", len(got))
				}
			})
		})
	}
}

// The storage may be down too.
func TestRetry_OtherErrorsAreRetried(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(attempted(b.pendingSince("d", 0)))
		b.answer = func(context.Context, *postern.WebhookDelivery, bool) error {
			if time.Since(b.began) < 10*time.Second {
				return errors.New("etcd is gone")
			}
			return nil
		}
		defer b.start(t)()
		advance(time.Minute)
		if got := len(b.tried()); got < 4 || got > 6 {
			t.Errorf("tried %d times, want about 5", got)
		}
	})
}

// The object in the cache is shared, and a Resumer changes its argument.
func TestRetry_DoesNotModifyCache(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(attempted(b.pendingSince("d", 0)))
		b.answer = func(ctx context.Context, d *postern.WebhookDelivery, giveUp bool) error {
			if d.Status.Message != "" {
				t.Error("the object has a change of an earlier try")
			}
			d.Status.Message = "changed"
			return stillPending(ctx, d, giveUp)
		}
		defer b.start(t)()
		advance(time.Minute)
	})
}

// A receipt may be up to a minute ahead of the clock, because it follows the times at targets. That must not delay the
// retry of a delivery that was interrupted by a crash.
func TestRetry_FutureReceiptDoesNotExtendGrace(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		d := b.pendingSince("d", -time.Minute)
		d.CreationTimestamp.Time = time.Now()
		b.source.Add(d)
		defer b.start(t)()
		advance(2 * time.Minute)
		if diff := cmp.Diff([]resumeCall{{"d", delivery.GracePeriod + time.Second, false}}, b.tried()); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
	})
}

// A panic must not end the process, which serves deliveries too.
func TestRetry_PanicIsRetried(t *testing.T) {
	runRetryTest(t, func(t *testing.T, b *retryFixture) {
		b.source.Add(attempted(b.pendingSince("d", 0)))
		b.answer = func(context.Context, *postern.WebhookDelivery, bool) error {
			if time.Since(b.began) < 10*time.Second {
				panic("a mistake")
			}
			return nil
		}
		defer b.start(t)()
		advance(time.Minute)
		if got := len(b.tried()); got < 4 || got > 6 {
			t.Errorf("tried %d times, want about 5", got)
		}
	})
}

// Neither the panic of the newest delivery to a target holds up the older ones, nor the other way round.
func TestRetry_PanicHoldsUpNoOtherDelivery(t *testing.T) {
	for _, broken := range []string{"newest", "older"} {
		runRetryTest(t, func(t *testing.T, b *retryFixture) {
			b.source.Add(attempted(to("plant", b.pendingSince("newest", 0))))
			b.source.Add(attempted(to("plant", b.pendingSince("older", 2*window)))) // retried for the last time
			b.answer = func(_ context.Context, d *postern.WebhookDelivery, _ bool) error {
				if d.Name == broken {
					panic("a mistake")
				}
				b.source.Delete(d)
				return nil
			}
			defer b.start(t)()
			advance(time.Minute)
			other := map[string]string{"newest": "older", "older": "newest"}[broken]
			if tried := names(b.tried()); !slices.Contains(tried, other) || !slices.Contains(tried, broken) {
				t.Errorf("with a panic of %s: tried %q", broken, tried)
			}
		})
	}
}
