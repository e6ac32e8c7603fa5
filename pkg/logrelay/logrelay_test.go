// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package logrelay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/component-base/metrics/testutil"
	"k8s.io/klog/v2"
)

// fatalEnv makes the test binary a program that ends with klog.Fatal.
const fatalEnv = "POSTERN_TEST_FATAL"

func TestMain(m *testing.M) {
	RegisterMetrics()
	if os.Getenv(fatalEnv) != "" {
		if _, err := Start(); err == nil {
			klog.Fatal(strings.Repeat("long ", 100<<10) + "reason")
		}
	}
	os.Exit(m.Run())
}

// newTestRelay returns a relay to a pipe, and the end of it that reads.
func newTestRelay(t *testing.T) (r *relay, reader *os.File) {
	t.Helper()
	reader, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	if r, err = newRelay(out); err != nil {
		t.Fatal(err)
	}
	return r, reader
}

// stopped closes the relay and its output, so that the reader sees the end.
func stopped(r *relay) {
	r.close(time.Minute)
	_ = r.out.Close()
}

func TestRelay_PassesOnLines(t *testing.T) {
	r, reader := newTestRelay(t)
	long := strings.Repeat("a", 3*maxLine)
	go func() {
		for i := range 1000 {
			_, _ = fmt.Fprintf(r.pipe, "line %d\n", i)
		}
		_, _ = io.WriteString(r.pipe, long+"\nend")
		stopped(r)
	}()
	got, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	want.WriteString(long + "\nend")
	if string(got) != want.String() {
		t.Errorf("got %d bytes, want the %d that were written", len(got), want.Len())
	}
}

// The reader of a container's log may be stopped. Nothing that logs may wait for it.
func TestRelay_StalledReaderBlocksNoWriter(t *testing.T) {
	before, err := testutil.GetCounterMetricValue(linesDropped)
	if err != nil {
		t.Fatal(err)
	}
	r, reader := newTestRelay(t)
	const lines, bytes = 4000, 1 << 10
	line := strings.Repeat("a", bytes-1) + "\n"
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range lines {
			if _, err := io.WriteString(r.pipe, line); err != nil {
				t.Error(err)
			}
		}
	}()
	select {
	case <-written:
	case <-time.After(time.Minute):
		t.Fatal("a writer is blocked")
	}

	// Once the reader continues, it gets what was kept.
	go stopped(r)
	kept := 0
	for scanner := bufio.NewScanner(reader); scanner.Scan(); kept++ {
		if len(scanner.Bytes()) != bytes-1 {
			t.Fatalf("got a part of a line: %d bytes", len(scanner.Bytes()))
		}
	}
	dropped, err := testutil.GetCounterMetricValue(linesDropped)
	if err != nil {
		t.Fatal(err)
	}
	if dropped -= before; dropped == 0 || kept+int(dropped) != lines || kept < maxWaiting/bytes {
		t.Errorf("%d lines were kept and %v dropped of %d; want at least %d kept", kept, dropped, lines,
			maxWaiting/bytes)
	}
}

func TestRelay_CloseDoesNotWaitForStalledReader(t *testing.T) {
	r, _ := newTestRelay(t)
	_, _ = io.WriteString(r.pipe, strings.Repeat("a\n", 100_000)) // more than a pipe holds
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		r.close(time.Millisecond)
	}()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Error("the end of the program waits for the reader")
	}
}

func TestRelays_ReplaceAndRestore(t *testing.T) {
	stdout, stderr := os.Stdout, os.Stderr
	relays, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	if os.Stdout == stdout || os.Stderr == stderr {
		t.Error("they are not replaced")
	}
	relays.Close()
	relays.Close()
	if os.Stdout != stdout || os.Stderr != stderr {
		t.Error("they are not restored")
	}
}

func TestRelays_FatalIsPassedOn(t *testing.T) {
	program := exec.CommandContext(t.Context(), os.Args[0])
	program.Env = append(os.Environ(), fatalEnv+"=1")
	output, err := program.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 255 ||
		!strings.Contains(string(output), "long reason") {
		t.Errorf("got %v, and %d bytes of output", err, len(output))
	}
}
