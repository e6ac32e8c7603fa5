// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package send

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/payload"
)

// The values of --on-held.
const (
	onHeldFail = "fail"
	onHeldWait = "wait"
)

const (
	// firstPause is the pause before a delivery is looked at again; the pauses double up to maxPause.
	firstPause = time.Second
	maxPause   = 15 * time.Second
)

// unavailable are the codes after which the same may be sent again.
var unavailable = []int{
	http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// sendOnce is send within requestTimeout.
func (d *delivery) sendOnce(ctx context.Context) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return d.send(ctx)
}

// hasID reports whether Postern recognizes the delivery when it is sent again.
func (d *delivery) hasID(source string) bool {
	decoded, err := payload.Decode(payload.Input{Source: source, Header: d.header, Body: d.body})
	return err == nil && decoded.DeliveryID != ""
}

// follow sends a delivery, and waits until it has ended, or the timeout is over. A delivery with an id is sent again:
// that is a repeat, which delivers nothing twice, and whose answer has the present phase. So it needs no permission but
// to deliver. Of other deliveries, the user reads the record.
func (o *options) follow(ctx context.Context, f *cli.Factory, cluster *cli.Cluster, d *delivery) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	hasID, ask := d.hasID(o.source), d.sendOnce
	var last *answer
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		got, err := ask(ctx)
		switch {
		case err == nil:
			last = got
			if !o.mayChange(got, hasID) {
				return got, nil
			}
			if !hasID {
				ask = recordReader(cluster, got)
			}
		case last == nil && !hasID, apierrors.IsForbidden(err), apierrors.IsNotFound(err):
			return nil, err
		}
		select {
		case <-clock.RealClock{}.After(max(pause, got.pause())):
			continue
		case <-ctx.Done():
		}
		if last != nil {
			return last, nil
		}
		if _, err := fmt.Fprintf(f.ErrOut, "error: there was no answer within %s: %v\n", o.timeout, err); err != nil {
			return nil, err
		}
		return nil, &cli.ExitError{Code: cli.ExitPending}
	}
}

// mayChange reports whether the answer may be another one later.
func (o *options) mayChange(a *answer, hasID bool) bool {
	switch a.phase() {
	case "":
		return hasID && a.isUnavailable()
	case v1alpha1.DeliveryPending:
		return true
	case v1alpha1.DeliveryHeld:
		return o.onHeld == onHeldWait
	default:
		return false
	}
}

// isUnavailable reports whether the server could not accept the delivery now.
func (a *answer) isUnavailable() bool { return slices.Contains(unavailable, a.code) }

// pause returns how long the server wants the sender to wait; 0 without an answer.
func (a *answer) pause() time.Duration {
	if a == nil {
		return 0
	}
	return a.retryAfter
}

// phase returns the phase of the delivery, or "" if the answer has none.
func (a *answer) phase() v1alpha1.DeliveryPhase {
	var delivery v1alpha1.WebhookDelivery
	if json.Unmarshal(a.body, &delivery) != nil || delivery.Kind != "WebhookDelivery" {
		return ""
	}
	return delivery.Status.Phase
}

// recordReader returns a function that reads the record of an answer as the user, as if it were the answer.
func recordReader(cluster *cli.Cluster, a *answer) func(context.Context) (*answer, error) {
	return func(ctx context.Context) (*answer, error) {
		var delivery v1alpha1.WebhookDelivery
		if err := json.Unmarshal(a.body, &delivery); err != nil {
			return nil, err
		}
		records := cluster.Postern.PosternV1alpha1().WebhookDeliveries(cluster.Namespace)
		record, err := records.Get(ctx, delivery.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("could not read the delivery: %w", err)
		}
		record.TypeMeta = delivery.TypeMeta
		body, err := json.Marshal(record)
		return &answer{code: a.code, method: a.method, body: body}, err
	}
}
