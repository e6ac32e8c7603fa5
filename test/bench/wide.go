// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// wideShare is how many times more Applications there are than a push concerns.
	wideShare = 10
	pushes    = 3
	// wideRepository is the name of the repository of all Applications that a push concerns.
	wideRepository = "monorepo"
)

// measureWide pushes to a branch that many Applications among very many of one namespace track.
func (b *bench) measureWide(ctx context.Context, c *cluster) error {
	count := max(1, c.objects/wideShare)
	k := wideApplications()
	if err := c.create(ctx, k, c.objects, count); err != nil {
		return err
	}
	before, err := residentMemory(c.postern.PID())
	if err != nil {
		return err
	}
	if err := forgetHighest(c.postern.PID()); err != nil {
		return err
	}
	s := &side{name: fmt.Sprintf("push to %d of %d Applications, each of them", count, c.objects+count),
		used: counters{}}
	var answered, written []float64
	for range pushes {
		b.say("Pushing to a branch that %d Applications track...", count)
		used, err := b.count(ctx, c, func() error {
			took, err := c.pushBranch(ctx, k, count, s)
			answered = append(answered, took.Seconds())
			return err
		})
		if err != nil {
			return err
		}
		s.used.add(counters{}, used)
		written = append(written, s.rounds[len(s.rounds)-1].took.Seconds()-answered[len(answered)-1])
	}
	after, err := residentMemory(c.postern.PID())
	if err != nil {
		return err
	}
	b.keep(s)
	last := alone("... from the answer until all are written", "s", median(written), nil)
	last.Note = fmt.Sprintf("median of %d", pushes)
	highest := alone("... memory at the highest", "MiB", after.highest, atMost(memoryGoal))
	highest.Note = fmt.Sprintf("%.0f MiB before", before.resident)
	b.report.add(alone(fmt.Sprintf("push to %d of %d Applications, answered after", count, c.objects+count), "s",
		median(answered), nil), last, highest)
	return nil
}

// wideApplications are Applications with the same repository.
func wideApplications() kind {
	k := kinds()[1]
	k.object = func(name string, number int) map[string]any {
		object := application(name, number)
		object["metadata"].(map[string]any)["labels"] = map[string]any{"wide": "true"}
		object["spec"].(map[string]any)["source"].(map[string]any)["repoURL"] = repository(wideRepository)
		return object
	}
	return k
}

// pushBranch sends a push that concerns all of count objects of a kind, and waits until each is written. It adds a
// round with the time from the push until the write of each, and returns the time until the answer.
func (c *cluster) pushBranch(ctx context.Context, k kind, count int, to *side) (time.Duration, error) {
	ready, written := make(chan struct{}), map[string]time.Time{}
	watched := func(event []byte) bool {
		name := stringIn(event, "name")
		switch {
		case bytes.Contains(event, initialEventsEnd):
			close(ready)
		case bytes.HasPrefix(event, []byte(`{"type":"MODIFIED"`)) && written[name].IsZero():
			written[name] = time.Now()
		}
		return len(written) < count
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		header := http.Header{"Accept": {"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}}
		return c.admin.watch(ctx, k.collection()+initialEvents+"&labelSelector=wide", header, watched)
	})
	select {
	case <-ready:
	case <-ctx.Done():
		return 0, group.Wait()
	}
	push := fmt.Sprintf(`{"ref": "refs/heads/main", "after": "%040x", "repository": {"clone_url": %q}}`,
		c.refs.Add(1), repository(wideRepository))
	header := http.Header{"Content-Type": {"application/json"}, "X-Github-Event": {"push"}}
	began := time.Now()
	got, err := c.sender.send(ctx, http.MethodPost, sourcePath("github"), header, []byte(push))
	answered := time.Since(began)
	if err != nil {
		return 0, err
	}
	if got.code != http.StatusAccepted {
		return 0, fmt.Errorf("the push was answered %d: %s", got.code, got.body)
	}
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("%d of %d were written: %w", len(written), count, err)
	}
	r := round{answers: map[string]int{"202 " + phaseIn(got.body): 1}}
	for _, at := range written {
		r.took = max(r.took, at.Sub(began))
		r.times = append(r.times, at.Sub(began))
	}
	to.rounds = append(to.rounds, r)
	return answered, nil
}
