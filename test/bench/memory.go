// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const memoryGoal = 250

// measureMemory starts Postern with very many objects and reads its memory, once ready and after some work.
func (b *bench) measureMemory(ctx context.Context, c *cluster) error {
	b.say("Creating %d objects of each kind (1 or 2 minutes for 10000)...", b.objects)
	for _, k := range kinds() {
		if err := c.create(ctx, k, 0, b.objects); err != nil {
			return err
		}
	}
	size, err := c.sizes(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := c.startPostern(ctx); err != nil {
		return err
	}
	took := time.Since(began)
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
	first.Note = fmt.Sprintf("%s; registered and reachable after %.1f s", size, took.Seconds())
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
	const path = "/apis/postern.dev/v1alpha1/namespaces/" + namespace + "/webhooksources/harbor/webhookdeliveries"
	answered, err := c.sender.must(ctx, http.MethodPost, path, "application/json", []byte(push), http.StatusAccepted)
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

// memory is a process's memory in MiB.
type memory struct {
	// resident is the current resident memory, files the part that the kernel can reclaim, highest the peak.
	resident, files, highest float64
}

// residentMemory reads the memory of a process (proc_pid_status(5)).
func residentMemory(pid int) (memory, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	var values [3]float64
	for i, name := range []string{"VmRSS", "RssFile", "VmHWM"} {
		kib, err := strconv.ParseFloat(strings.TrimSuffix(field(path, name), " kB"), 64)
		if err != nil {
			return memory{}, fmt.Errorf("could not read %s of process %d: %w", name, pid, err)
		}
		values[i] = kib / 1024
	}
	return memory{resident: values[0], files: values[1], highest: values[2]}, nil
}
