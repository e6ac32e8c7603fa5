// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"postern.dev/postern/apis/postern"
)

// A push may be of a repository that very many Applications follow, and each refresh costs Argo CD a look at git. If
// the rate is limited, an Application takes a token of its namespace before it is refreshed. Without a token it is
// pending, and nothing waits in memory: the delivery is retried after PaceInterval.

// PaceInterval is the pause between two tries of a delivery whose Applications wait for their turn.
const PaceInterval = 2 * time.Second

// ErrPaced is ErrStillPending for a delivery that has to be retried after PaceInterval.
var ErrPaced = fmt.Errorf("%w: Applications wait for their turn", ErrStillPending)

// errWaits is the error of an Application that waits for its turn.
var errWaits = errors.New("waits for its turn: --argocd-refreshes-per-second")

// noTurnMessage is the message of an Application that is given up while it waits.
const noTurnMessage = "no turn within --retry-window: raise --argocd-refreshes-per-second"

// pacer limits the rate at which the Applications of a namespace are refreshed.
type pacer struct {
	// tokens has what accumulates within PaceInterval, at least one; nil is no limit.
	tokens *buckets
}

func newPacer(perSecond float64) pacer {
	if perSecond == 0 {
		return pacer{}
	}
	burst := max(1, int(math.Ceil(perSecond*PaceInterval.Seconds())))
	return pacer{newBuckets(rate.Limit(perSecond), burst)}
}

// take takes a token, and reports whether there was one.
func (p pacer) take(namespace string, now time.Time) bool {
	return p.tokens == nil || p.tokens.take(namespace, now)
}

// allowsPass reports whether there are tokens for all Applications that wait, or for half of what accumulates within
// PaceInterval. With fewer, a pass over a wide delivery would cost more than it writes.
func (p pacer) allowsPass(namespace string, waiting int, now time.Time) bool {
	return p.tokens == nil ||
		p.tokens.tokens(namespace, now) >= float64(min(waiting, max(1, p.tokens.burst/2)))
}

// mustWait reports whether a pass over a pending delivery is not worth its cost yet: all that is pending waits for its
// turn, and there are too few tokens.
func (d *Deliverer) mustWait(delivery *postern.WebhookDelivery) bool {
	results := delivery.Status.Targets
	if delivery.Status.Phase != postern.DeliveryPending || delivery.DeletionTimestamp != nil ||
		!onlyPaced(results, postern.TargetPending) || d.unstored.of(delivery) != nil {
		return false
	}
	waiting := 0
	for _, r := range results {
		if isPaced(r) {
			waiting++
		}
	}
	return !d.pacer.allowsPass(delivery.Namespace, waiting, d.Now())
}

// pace marks the tasks that have to wait for a later pass. The groups of tasks are in the order of their writes.
func (d *Deliverer) pace(tasks []task, groups [][]int) {
	now := d.Now()
	for _, places := range groups {
		takesTurn := func(i int) bool { return tasks[i].takesTurn() }
		if !slices.ContainsFunc(places, takesTurn) || d.pacer.take(tasks[places[0]].key.Namespace, now) {
			continue
		}
		for _, i := range places {
			tasks[i].waits = takesTurn(i)
		}
	}
}

// takesTurn reports whether a task refreshes an Application, or an ApplicationSet, that was found by the repository.
// One that a sender names, or that is redelivered on purpose, is refreshed at once.
func (t task) takesTurn() bool {
	return t.key.Kind != postern.TargetGatewaySync && t.event.Image == nil && t.matched && !t.override &&
		t.refused == nil
}

func pacedResult(t task, now time.Time) postern.TargetResult {
	result := resultOf(t, now)
	result.Result, result.Reason, result.Message = postern.TargetPending, ReasonPaced, errWaits.Error()
	return result
}

func isPaced(r postern.TargetResult) bool { return r.Reason == ReasonPaced }

// Waits reports whether Applications of a pending delivery wait for their turn.
func Waits(delivery *postern.WebhookDelivery) bool {
	return delivery.Status.Phase == postern.DeliveryPending && slices.ContainsFunc(delivery.Status.Targets, isPaced)
}

// onlyPaced reports whether there are results of this type, and all for lack of a turn.
func onlyPaced(results []postern.TargetResult, result postern.TargetResultType) bool {
	found := false
	for _, r := range results {
		if r.Result == result && !isPaced(r) {
			return false
		}
		found = found || r.Result == result
	}
	return found
}
