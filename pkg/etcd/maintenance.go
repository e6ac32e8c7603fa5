// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

const (
	maintenanceInterval = 5 * time.Second
	// maintenanceTimeout bounds one round. Defragmenting two GiB takes some seconds, during which etcd blocks.
	maintenanceTimeout = time.Minute

	// Percentages of the quota. Above compactPercent, old revisions are compacted. If more than nearQuotaPercent is
	// still in use, deliveries must be deleted. If less than defragPercent is free, defragmenting is not worthwhile.
	compactPercent, nearQuotaPercent, defragPercent = 80, 60, 10
)

// usage is the state that maintenance has determined.
type usage struct {
	full      atomic.Bool // etcd rejects writes
	nearQuota atomic.Bool
}

// Ready returns an error if the member can't store anything. It is cheap.
func (s *Server) Ready() error {
	if err := s.failure.cause(); err != nil {
		return fmt.Errorf("etcd has failed: %w", err)
	}
	if s.usage.full.Load() {
		return fmt.Errorf("the database has reached its quota of %d MiB", s.config.QuotaBytes>>20)
	}
	return checkDiskSpace(s.dir, reserveBytes)
}

// NearQuota reports whether the database is near its quota even after compaction, so that deliveries must be deleted.
func (s *Server) NearQuota() bool { return s.usage.nearQuota.Load() }

// maintain keeps the database below its quota until ctx is done.
func (s *Server) maintain(ctx context.Context) {
	defer close(s.maintenanceDone)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		klog.FromContext(ctx).Error(err, "Could not reach the embedded etcd to maintain it")
		return
	}
	defer func() { _ = client.Close() }()
	ready := true
	quotaBytes.Set(float64(s.config.QuotaBytes))
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		setWritable(s.Ready() == nil)
		if s.failure.cause() != nil {
			return
		}
		ready = s.logReadiness(ctx, ready)
		ctx, cancel := context.WithTimeout(ctx, maintenanceTimeout)
		defer cancel()
		if err := s.enforceQuota(ctx, client); err != nil && !s.closing.Load() {
			klog.FromContext(ctx).Error(err, "Could not free space in the embedded etcd")
		}
	}, maintenanceInterval)
}

// logReadiness logs changes of the member's readiness, and returns the current one.
func (s *Server) logReadiness(ctx context.Context, wasReady bool) bool {
	err := s.Ready()
	switch {
	case err != nil && wasReady:
		klog.FromContext(ctx).Error(err, "The embedded etcd can't store anything")
	case err == nil && !wasReady:
		klog.FromContext(ctx).Info("The embedded etcd can store again")
	}
	return err == nil
}

// enforceQuota compacts old revisions if the database is close to its quota, defragments it, and disarms the alarm that
// rejects writes. The API server also compacts, but only every five minutes, and never defragments.
func (s *Server) enforceQuota(ctx context.Context, client *clientv3.Client) error {
	alarm := s.nospaceAlarm()
	full := alarm != nil
	s.usage.full.Store(full)
	size, _ := s.measure()
	if !full && size < s.percent(compactPercent) {
		s.usage.nearQuota.Store(false)
		return nil
	}
	if kv := s.etcd.Server.KV(); kv.Rev() > kv.FirstRev() {
		if _, err := client.Compact(ctx, kv.Rev(), clientv3.WithCompactPhysical()); err != nil {
			return fmt.Errorf("could not compact old revisions: %w", err)
		}
	}
	s.etcd.Server.Backend().ForceCommit() // otherwise SizeInUse is outdated
	size, inUse := s.measure()
	if size-inUse >= s.percent(defragPercent) {
		if _, err := client.Defragment(ctx, s.Endpoint()); err != nil {
			return fmt.Errorf("could not defragment the database: %w", err)
		}
		size, inUse = s.measure()
		klog.FromContext(ctx).Info("Defragmented the embedded etcd", "bytes", size, "inUse", inUse, "quota",
			s.config.QuotaBytes)
	}
	s.usage.nearQuota.Store(inUse > s.percent(nearQuotaPercent))
	if !full || size >= s.percent(compactPercent) {
		return nil
	}
	if _, err := client.AlarmDisarm(ctx, alarm); err != nil {
		return fmt.Errorf("could not disarm the NOSPACE alarm: %w", err)
	}
	s.usage.full.Store(false)
	return nil
}

// nospaceAlarm returns etcd's alarm that the quota is exceeded, or nil.
func (s *Server) nospaceAlarm() *clientv3.AlarmMember {
	for _, alarm := range s.etcd.Server.Alarms() {
		if alarm.GetAlarm().String() == "NOSPACE" {
			return (*clientv3.AlarmMember)(alarm)
		}
	}
	return nil
}

// measure returns the size of the database and how much of it is in use, and updates the metrics.
func (s *Server) measure() (size, inUse int64) {
	backend := s.etcd.Server.Backend()
	size, inUse = backend.Size(), backend.SizeInUse()
	databaseBytes.Set(float64(size))
	databaseInUseBytes.Set(float64(inUse))
	return size, inUse
}

func (s *Server) percent(n int64) int64 { return s.config.QuotaBytes / 100 * n }
