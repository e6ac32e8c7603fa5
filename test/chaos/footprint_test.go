// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"postern.dev/postern/test/controlplane"
)

// footprint measures the resources of a Postern while it runs.
type footprint struct {
	postern  *controlplane.Postern
	database string
	stop     func()
	// ended is closed if Postern ends.
	ended chan struct{}
	// The rest may be read only after stop. Sizes are in bytes; highest is the kernel's peak, including reclaimable
	// memory, and held the peak without it.
	held, highest, databaseSize int64
	failure                     error
	// unready is the maximum number of consecutive failed readiness probes.
	unready int
}

const (
	// footprintInterval is short enough to see single requests: the garbage collector keeps their memory longer.
	footprintInterval = 50 * time.Millisecond
	// The installed readiness probe: after this many failures in a row, the Service removes Postern.
	probeInterval, probeTimeout, probeFailures = 5 * time.Second, 5 * time.Second, 2
)

func (c *cluster) followFootprint(t *testing.T, postern *controlplane.Postern) *footprint {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &footprint{
		postern: postern, ended: make(chan struct{}),
		database: filepath.Join(c.Dir(), "postern-data", "etcd", "member", "snap", "db"),
	}
	var work sync.WaitGroup
	work.Go(func() {
		ticks := time.NewTicker(footprintInterval)
		defer ticks.Stop()
		for f.sample() {
			select {
			case <-ticks.C:
			case <-ctx.Done():
				return
			}
		}
		close(f.ended)
	})
	work.Go(func() { f.probe(ctx) })
	f.stop = func() {
		cancel()
		work.Wait()
	}
	t.Cleanup(f.stop)
	return f
}

// probe probes Postern's readiness until ctx ends.
func (f *footprint) probe(ctx context.Context) {
	client := &http.Client{Timeout: probeTimeout, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}
	inRow := 0
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		inRow++
		if resp, err := client.Get(f.postern.Address() + "/readyz"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				inRow = 0
			}
		}
		f.unready = max(f.unready, inRow)
	}, probeInterval)
}

// sample returns false once Postern has ended.
func (f *footprint) sample() bool {
	pid := f.postern.PID()
	if !f.postern.Running() {
		return false
	}
	now, err := memoryOf(pid)
	if err != nil {
		f.failure = err
		return f.postern.Running()
	}
	f.held, f.highest = max(f.held, now["RssAnon"]+now["RssShmem"]), max(f.highest, now["VmHWM"])
	if database, err := os.Stat(f.database); err == nil {
		f.databaseSize = max(f.databaseSize, database.Size())
	}
	return true
}

// memoryOf reads the memory of a process in bytes (proc_pid_status(5)).
func memoryOf(pid int) (map[string]int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, err
	}
	values := map[string]int64{}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if kib, ok := strings.CutSuffix(strings.TrimSpace(value), " kB"); ok {
			n, err := strconv.ParseInt(kib, 10, 64)
			if err != nil {
				return nil, err
			}
			values[name] = n << 10
		}
	}
	return values, nil
}

// shippedMemoryLimit returns the memory limit of the installed container. It fails the test unless Postern runs with
// the container's GOMEMLIMIT.
func (c *cluster) shippedMemoryLimit(t *testing.T, postern *controlplane.Postern) int64 {
	t.Helper()
	set, err := c.Kube.AppsV1().StatefulSets(controlplane.Namespace).Get(t.Context(), "postern", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", postern.PID()))
	if err != nil {
		t.Fatal(err)
	}
	container := set.Spec.Template.Spec.Containers[0]
	for _, one := range container.Env {
		if one.Name == "GOMEMLIMIT" && strings.Contains("\x00"+string(environment), "\x00GOMEMLIMIT="+one.Value+
			"\x00") {
			return container.Resources.Limits.Memory().Value()
		}
	}
	t.Fatal("Postern does not run with the shipped GOMEMLIMIT")
	return 0
}

// check fails the test if Postern has ended, or if the kernel would have killed it at the limit.
func (f *footprint) check(t *testing.T, limit int64) {
	t.Helper()
	select {
	case <-f.ended:
		t.Errorf("Postern has ended; %s", f.postern.LogTail())
	default:
	}
	if f.failure != nil {
		t.Error(f.failure)
	}
	if f.unready >= probeFailures {
		t.Errorf("%d consecutive readiness probes failed, which removes Postern from its Service", f.unready)
	}
	if f.held > limit {
		t.Errorf("Postern had %d MiB of unreclaimable memory; the shipped limit is %d MiB",
			f.held>>20, limit>>20)
	}
}
