// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// watchTimeout ends a kubectl that watches for an event that never arrives.
const watchTimeout = time.Minute

// lines starts kubectl and returns the cells of each line that it prints. Kubectl ends with the test.
func (w *world) lines(args ...string) <-chan []string {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(w.T.Context(), watchTimeout)
	w.T.Cleanup(cancel)
	cmd := w.KubectlCommand(ctx, w.AdminKubeconfig(), append([]string{"--namespace", w.Namespace}, args...)...)
	reader, writer := io.Pipe()
	cmd.Stdout = writer
	if err := cmd.Start(); err != nil {
		w.T.Fatal(err)
	}
	go func() { _ = writer.CloseWithError(cmd.Wait()) }()

	lines := make(chan []string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			select {
			case lines <- strings.Fields(scanner.Text()):
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// await reads lines until one is of this delivery and phase, and returns the names of all deliveries in them.
func (w *world) await(lines <-chan []string, name, phase string) (names []string) {
	w.T.Helper()
	for line := range lines {
		names = append(names, line[0])
		if line[0] == name && slices.Contains(line, phase) {
			return names
		}
	}
	w.T.Fatalf("delivery %s never had phase %s; kubectl printed %q", name, phase, names)
	return nil
}

func TestKubectlWatch_Applied(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("earlier", toWeb+", ref: v1")).Name)

	lines := w.lines("get", "whd", "--watch")
	w.await(lines, "earlier", "Applied")
	w.deliver(delivery("later", toWeb+", ref: v2"))

	if names := w.await(lines, "later", "Applied"); slices.Contains(names, "earlier") {
		t.Errorf("kubectl printed %q, although the earlier delivery had not changed", names)
	}
}

func TestKubectlWatch_FieldSelector(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.application("shop", nil)
	w.concluded(w.deliver(delivery("earlier", toWeb+", ref: v1")).Name)

	lines := w.lines("get", "whd", "--watch", "--field-selector=spec.target.name=web,status.phase=Applied")
	w.await(lines, "earlier", "Applied")
	w.deliver(delivery("not-web", toShop+", ref: v2"))
	w.deliver(delivery("not-applied", toWeb+", payload: "+ping))
	w.deliver(delivery("later", toWeb+", ref: v2"))

	for _, name := range w.await(lines, "later", "Applied") {
		if name != "later" {
			t.Errorf("kubectl printed %s, which does not match the selector", name)
		}
	}
}

func TestKubectlWait_Applied(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")

	lines := w.lines("wait", "--for=create", "whd/release", "--timeout=60s")
	w.deliver(delivery("release", toWeb+", ref: v1"))

	if line, want := strings.Join(<-lines, " "), "webhookdelivery.postern.dev/release condition met"; line != want {
		t.Errorf("kubectl wait for the creation printed %q, want %q", line, want)
	}
	got := w.kubectl("", "wait", "--for=condition=Applied", "whd/release", "--timeout=60s")
	if want := "webhookdelivery.postern.dev/release condition met\n"; got != want {
		t.Errorf("kubectl wait for Applied printed %q, want %q", got, want)
	}
	w.mustHold(gatewaySyncs, "web", requestedRef, "v1")
}

func TestKubectlWait_PingIsNotApplied(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	w.concluded(w.deliver(delivery("ping", toWeb+", payload: "+ping)).Name)
	w.kubectl("", "wait", "--for=condition=Applied=False", "whd/ping", "--timeout=60s")
	output := w.refused("", "wait", "--for=condition=Applied", "whd/ping", "--timeout=0s")
	mustBeIn(t, output, "condition not met for webhookdeliveries/ping")
}
