// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestProcessorTime_UserAndSystem(t *testing.T) {
	const stat = "4242 (a (strange) name) S 1 4242 4242 0 -1 4194560 100 0 0 0 150 30 7 8 20 0 11 0 5000 1000000 2000"
	got, err := parseCPUTime(stat)
	if want := 1800 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, broken := range []string{"", "4242 (name) S 1", "4242 (name) S 1 2 3 0 -1 4 5 0 0 0 many 30 0"} {
		if got, err := parseCPUTime(broken); err == nil {
			t.Errorf("%q: got %v and no error", broken, got)
		}
	}
}

func TestMemory_OfProcess(t *testing.T) {
	got, err := residentMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got.resident <= 0 || got.files <= 0 || got.highest <= 0 || got.files >= got.resident {
		t.Errorf("got %+v, want each above zero, and files less than all", got)
	}
}

func TestMemory_PeakIsForgotten(t *testing.T) {
	func() {
		large := make([]byte, 64<<20)
		for i := range large {
			large[i] = 1
		}
		runtime.KeepAlive(large)
	}()
	debug.FreeOSMemory()
	if err := forgetHighest(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	got, err := residentMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got.highest > got.resident+32 {
		t.Errorf("the peak is %v MiB after it was forgotten, with %v MiB resident", got.highest, got.resident)
	}
}

func TestContextSwitches_OfAllThreads(t *testing.T) {
	before, err := contextSwitches(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), "true").Run(); err != nil { // a thread waits for it
		t.Fatal(err)
	}
	after, err := contextSwitches(os.Getpid())
	if err != nil || after <= before {
		t.Errorf("got %v and then %v switches, %v; want more", before, after, err)
	}
	if got, err := contextSwitches(0); err == nil {
		t.Errorf("without a process: got %v and no error", got)
	}
}
