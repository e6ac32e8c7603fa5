// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// helperVariable makes the test binary act as a program to start and stop instead of a server.
const helperVariable = "CONTROLPLANE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(helperVariable) {
	case "":
		os.Exit(m.Run())
	case "obedient":
		terminated := make(chan os.Signal, 1)
		signal.Notify(terminated, syscall.SIGTERM)
		fmt.Println("up")
		<-terminated
		fmt.Println("down")
	case "stubborn":
		ignored := make(chan os.Signal, 1)
		signal.Notify(ignored, syscall.SIGTERM)
		fmt.Println("up")
		for range ignored {
		}
	case "parent": // starts an obedient child; the working directory is the state directory
		child := &process{name: "child", stateDir: ".", path: os.Args[0], env: []string{helperVariable + "=obedient"}}
		if err := child.start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		select {}
	}
}

func TestProcess_StopIsGraceful(t *testing.T) {
	p := startHelper(t, "obedient", t.TempDir())
	if err := p.stop(t.Context()); err != nil {
		t.Error(err)
	}
	if p.running() {
		t.Error("the program still runs")
	}
	if log := readFile(t, p.logFile()); log != "up\ndown\n" {
		t.Errorf("the program was not asked to end; its log is %q", log)
	}
	if _, err := os.Stat(p.pidFile()); !os.IsNotExist(err) {
		t.Errorf("the pid file is still there: %v", err)
	}
	if err := p.stop(t.Context()); err != nil {
		t.Errorf("stopping again: %v", err)
	}
}

func TestProcess_StopKillsAndReports(t *testing.T) {
	p := startHelper(t, "stubborn", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.stop(ctx); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("the error is %v", err)
	}
	if p.running() {
		t.Error("the program still runs")
	}
}

func TestProcess_DetachedStopsByPIDFile(t *testing.T) {
	dir := t.TempDir()
	first := startHelper(t, "obedient", dir)
	found := newHelper("obedient", dir)
	if err := found.start(); err != nil {
		t.Fatal(err)
	}
	if found.record != first.record {
		t.Errorf("a second program was started: %v in addition to %v", found.record, first.record)
	}
	if err := found.stop(t.Context()); err != nil {
		t.Error(err)
	}
	if first.record.alive() {
		t.Error("the program still runs")
	}
}

func TestProcess_UnrelatedPIDIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	unrelated := startHelper(t, "obedient", t.TempDir())
	stale := pidRecord{PID: unrelated.record.PID, Executable: "/usr/local/bin/postern"}
	if err := stale.write(dir + "/postern.pid"); err != nil {
		t.Fatal(err)
	}
	if stale.alive() {
		t.Error("a process that runs another executable is considered ours")
	}
	if err := StopDetached(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if !unrelated.running() {
		t.Error("the unrelated process was stopped")
	}
}

func TestProcess_StopDetachedNothing(t *testing.T) {
	if err := StopDetached(t.Context(), t.TempDir()+"/none"); err != nil {
		t.Error(err)
	}
}

func TestProcess_WaitForShowsLog(t *testing.T) {
	p := startHelper(t, "obedient", t.TempDir())
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := new(ControlPlane).waitFor(t.Context(), []*process{p}, func(context.Context) error { return os.ErrNotExist })
	if err == nil || !strings.Contains(err.Error(), "helper has ended") || !strings.Contains(err.Error(), "up\ndown") {
		t.Errorf("the error is %v", err)
	}
}

func newHelper(mode, dir string) *process {
	return &process{name: "helper", stateDir: dir, path: os.Args[0], env: []string{helperVariable + "=" + mode}}
}

// startHelper returns once the program has logged that its signal handlers are set up.
func startHelper(t *testing.T, mode, dir string) *process {
	t.Helper()
	p := newHelper(mode, dir)
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.kill() })
	eventually(t, "the program is up", func() bool { return readFile(t, p.logFile()) == "up\n" })
	return p
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
		return done(), nil
	})
	if err != nil {
		t.Fatalf("timed out waiting for: %s", what)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
