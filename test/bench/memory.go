// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

const memoryGoal = 250

// measureMemory restarts Postern among very many objects and reads its memory, once ready and after some work.
func (b *bench) measureMemory(ctx context.Context, c *cluster) error {
	size, err := c.sizes(ctx)
	if err != nil {
		return err
	}
	if err := c.postern.Stop(ctx); err != nil {
		return err
	}
	took, err := c.timeStart(ctx, c.postern.Start)
	if err != nil {
		return err
	}
	ready, err := residentMemory(c.postern.PID())
	if err != nil {
		return err
	}
	worked, err := b.work(ctx, c)
	if err != nil {
		return err
	}
	of := fmt.Sprintf("%d objects of each kind", b.objects)
	first := alone("resident memory, "+of+", once ready", "MiB", ready.resident, atMost(memoryGoal))
	first.Note = fmt.Sprintf("%s; ready after %.1f s", size, took.Seconds())
	second := alone("... after deliveries", "MiB", worked.resident, atMost(memoryGoal))
	second.Note = fmt.Sprintf("%.0f MiB of it are files", worked.files)
	b.report.add(first, second, alone("... at the highest", "MiB", worked.highest, nil))
	return nil
}

// work delivers for a while and pushes one image, which builds the image index.
func (b *bench) work(ctx context.Context, c *cluster) (memory, error) {
	b.say("Delivering to them...")
	for _, k := range kinds() {
		s := &side{name: "delivery", do: c.deliver(objects{k, 0, b.objects})}
		done := s.measure(ctx, atOnce, 2*b.duration)
		if n := summarize("", []round{done}).failures(applied); n > 0 {
			b.warn("%d deliveries to one %s among many were not %q", n, k.name, applied)
		}
	}
	name := nameOf(b.objects / 2)
	push := fmt.Sprintf(`{"type": "PUSH_ARTIFACT", "event_data": {
		"resources": [{"digest": "sha256:%064d", "tag": "1.5.0", "resource_url": "%s:1.5.0"}],
		"repository": {"name": %q, "namespace": "shops", "repo_full_name": "shops/%s"}}}`, 1, image(name), name, name)
	answered, err := c.sender.must(ctx, http.MethodPost, sourcePath("harbor"), "application/json", []byte(push),
		http.StatusAccepted)
	if err != nil {
		return memory{}, err
	}
	if phase := phaseIn(answered); phase != "Applied" {
		b.warn("a pushed image among many Applications came to phase %q", phase)
	}
	return residentMemory(c.postern.PID())
}

// sizes describes the size of the created objects.
func (c *cluster) sizes(ctx context.Context) (string, error) {
	var sizes []string
	for _, k := range kinds() {
		body, err := c.admin.must(ctx, http.MethodGet, k.path(nameOf(0)), "", nil, http.StatusOK)
		if err != nil {
			return "", err
		}
		sizes = append(sizes, fmt.Sprintf("%s %.1f kB", k.name, float64(len(body))/1000))
	}
	return strings.Join(sizes, ", "), nil
}
