// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// fullPipe returns the path of a named pipe that takes no more bytes, and that nothing reads.
func fullPipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	testcluster.AtEnd(t, func() error { return syscall.Close(pipe) })
	for {
		if _, err := syscall.Write(pipe, make([]byte, 1)); errors.Is(err, syscall.EAGAIN) {
			return path
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// posternLoggingTo returns the path of a program that runs Postern with its log in a file.
func posternLoggingTo(t *testing.T, log string) string {
	t.Helper()
	program := os.Getenv("POSTERN_BINARY")
	if program == "" {
		var err error
		if program, err = filepath.Abs("../../bin/postern"); err != nil {
			t.Fatal(err)
		}
	}
	script := filepath.Join(t.TempDir(), "postern")
	text := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\" >'%s' 2>&1\n", program, log)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script
}

// The reader of the log may be a container runtime that was stopped.
func TestLog_StalledReaderDelaysNothing(t *testing.T) {
	c := testcluster.New(t, controlplane.Options{})
	if err := c.Install(testcluster.StartContext(t)); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			postern := c.RunPostern(t, controlplane.PosternOptions{
				Binary: posternLoggingTo(t, fullPipe(t)),
				Flags: []string{"--logging-format=" + format, "-v=6", "--audit-policy-file=audit-policy.yaml",
					"--audit-log-path=-"},
			})
			w := &world{&suite{Cluster: c, postern: postern}, c.NewSandbox(t)}
			w.gatewaySync("web")
			ci := w.ci()
			const deliveries = 300 // some MiB of log
			for i := range deliveries {
				ci.mustPost(t, gatewaySyncPath("web"), fmt.Sprintf(`{"ref": "v%d"}`, i), nil, http.StatusAccepted)
			}
			w.mustHold(gatewaySyncs, "web", requestedRef, fmt.Sprintf("v%d", deliveries-1))
			name := "postern_log_lines_dropped_total"
			w.eventually(func() error {
				if dropped := w.metrics(t, name)[name]; dropped == 0 {
					return errors.New("no line was dropped")
				}
				return nil
			})
			if err := postern.Stop(testcluster.StartContext(t)); err != nil {
				t.Errorf("it did not stop: %v", err)
			}
			if text, err := os.ReadFile(postern.LogFile()); err != nil || strings.Contains(string(text), "delivery") {
				t.Errorf("the log was written elsewhere: %v", err)
			}
		})
	}
}
