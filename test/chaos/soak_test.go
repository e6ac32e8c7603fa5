// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"encoding/csv"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// soakRate is the number of deliveries per second; two cores can handle several times as many.
const soakRate = 20

func TestSoak_ResourcesLevelOff(t *testing.T) {
	postern := startPostern(t, controlplane.PosternOptions{Flags: []string{
		// The minimum values, so that in the long form records expire as fast as they are created for most of the time.
		"--delivery-ttl=1m", "--retry-window=1m", "--etcd-compaction-interval=15s",
	}})
	w := newWorld(t, 4, 4)
	load := w.startLoad(soakRate)
	s := &soak{world: w, postern: postern, ledger: load.ledger, outcomes: map[string]outcome{}}
	s.run(pick(15*time.Second, 10*time.Minute), pick(time.Second, 5*time.Second))
	load.stop()
	s.collect()
	if err := s.writeCSV(filepath.Join("..", "..", ".local", "soak.csv")); err != nil {
		t.Error(err)
	}

	if long() {
		s.checkLevels()
	}
	w.onlyCodes(load.ledger, http.StatusAccepted)
	maps.Copy(s.outcomes, w.settled(settleWithin))
	w.checkWith(load.ledger, s.outcomes)
}

// soak samples the resources of a Postern under load.
type soak struct {
	*world
	postern *controlplane.Postern
	ledger  *ledger
	samples []sample
	// outcomes are collected during the run, because records expire.
	outcomes map[string]outcome
}

// sample is the resources of Postern at one time.
type sample struct {
	after    time.Duration
	accepted int
	values   [len(soakMetrics)]float64
}

// soakMetrics are the columns of a sample, with the permitted growth from the third to the last quarter of the run:
// relative, and absolute for small values.
var soakMetrics = [...]struct {
	name     string
	relative float64
	absolute float64
}{
	{"process_resident_memory_bytes", 0.05, 16 << 20},
	{"go_goroutines", 0.05, 20},
	{"process_open_fds", 0.05, 10},
	{"etcd_database_bytes", 0.10, 2 << 20},
}

func (s *soak) run(length, interval time.Duration) {
	s.T.Helper()
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for began := time.Now(); time.Since(began) < length; {
		select {
		case <-ticks.C:
			s.sample(time.Since(began))
			s.collect()
		case <-s.T.Context().Done():
			return
		}
	}
}

func (s *soak) sample(after time.Duration) {
	s.T.Helper()
	all, err := testcluster.ReadMetrics(s.T.Context(), s.postern.DirectConfig(), "")
	if err != nil {
		s.T.Fatal(err)
	}
	database, err := os.Stat(filepath.Join(s.Dir(), "postern-data", "etcd", "member", "snap", "db"))
	if err != nil {
		s.T.Fatal(err)
	}
	all["etcd_database_bytes"] = float64(database.Size())
	one := sample{after: after, accepted: s.ledger.accepted()}
	for i, m := range soakMetrics {
		value, ok := all[m.name]
		if !ok {
			s.T.Fatalf("Postern has no metric %s", m.name)
		}
		one.values[i] = value
	}
	s.samples = append(s.samples, one)
}

// collect records the outcomes of deliveries. Pending ones have none yet.
func (s *soak) collect() {
	s.T.Helper()
	records, err := s.records("")
	if err != nil {
		s.T.Fatal(err)
	}
	for name, o := range outcomesOf(records) {
		if o.phase != v1alpha1.DeliveryPending {
			s.outcomes[name] = o
		}
	}
}

func (s *soak) writeCSV(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	rows := [][]string{{"seconds", "accepted"}}
	for _, m := range soakMetrics {
		rows[0] = append(rows[0], m.name)
	}
	for _, one := range s.samples {
		row := []string{fmt.Sprintf("%.1f", one.after.Seconds()), strconv.Itoa(one.accepted)}
		for _, value := range one.values {
			row = append(row, strconv.FormatFloat(value, 'f', -1, 64))
		}
		rows = append(rows, row)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return csv.NewWriter(file).WriteAll(rows)
}

// checkLevels fails the test if a value grew notably from the third to the last quarter.
func (s *soak) checkLevels() {
	s.T.Helper()
	n := len(s.samples)
	for i, m := range soakMetrics {
		third, last := median(s.samples[n/2:n*3/4], i), median(s.samples[n*3/4:], i)
		s.T.Logf("%s: median of the third quarter %.0f, of the last %.0f", m.name, third, last)
		if allowed := max(third*m.relative, m.absolute); last-third > allowed {
			s.T.Errorf("%s keeps growing: by %.0f, at most %.0f is allowed", m.name, last-third, allowed)
		}
	}
}

func median(samples []sample, metric int) float64 {
	values := make([]float64, 0, len(samples))
	for _, one := range samples {
		values = append(values, one.values[metric])
	}
	slices.Sort(values)
	return values[len(values)/2]
}
