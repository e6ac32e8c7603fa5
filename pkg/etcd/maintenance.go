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
	// maintenanceTimeout bounds what one round does. Defragmenting two GiB takes some seconds, during which etcd stands
	// still.
	maintenanceTimeout = time.Minute

	// Shares of the quota, in percent: over the first, room is made; over the second, what is in use is too much, and
	// something must be deleted; below the third, there is nothing worth the standstill of defragmenting.
	compactPercent, nearQuotaPercent, defragPercent = 80, 60, 10
)

// usage is what maintenance has found.
type usage struct {
	full      atomic.Bool // etcd takes no more
	nearQuota atomic.Bool
}

// Ready returns an error unless the member can store something now. It is quick.
func (s *Server) Ready() error {
	if err := s.failure.cause(); err != nil {
		return fmt.Errorf("etcd has failed: %w", err)
	}
	if s.usage.full.Load() {
		return fmt.Errorf("the database has reached its quota of %d MiB", s.config.QuotaBytes>>20)
	}
	return checkDiskSpace(s.dir, reserveBytes)
}

// NearQuota reports whether so much is stored that the quota is near, although all has been done about that but to delete.
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
			klog.FromContext(ctx).Error(err, "Could not make room in the embedded etcd")
		}
	}, maintenanceInterval)
}

// logReadiness logs when the member becomes unready, and when it is ready again, and returns whether it is ready.
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

// enforceQuota drops old revisions when the database has grown to near its quota, shrinks its file, and lets etcd take
// writes again. The API server drops them too, but only every five minutes, and nobody else shrinks the file.
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
			return fmt.Errorf("could not drop old revisions: %w", err)
		}
	}
	s.etcd.Server.Backend().ForceCommit() // only now it is known what is free
	size, inUse := s.measure()
	if size-inUse >= s.percent(defragPercent) {
		if _, err := client.Defragment(ctx, s.Endpoint()); err != nil {
			return fmt.Errorf("could not shrink the database: %w", err)
		}
		size, inUse = s.measure()
		klog.FromContext(ctx).Info("Shrank the embedded etcd", "bytes", size, "inUse", inUse, "quota", s.config.QuotaBytes)
	}
	s.usage.nearQuota.Store(inUse > s.percent(nearQuotaPercent))
	if !full || size >= s.percent(compactPercent) {
		return nil
	}
	if _, err := client.AlarmDisarm(ctx, alarm); err != nil {
		return fmt.Errorf("could not let etcd take writes again: %w", err)
	}
	s.usage.full.Store(false)
	return nil
}

// nospaceAlarm returns etcd's alarm that it takes no more, or nil.
func (s *Server) nospaceAlarm() *clientv3.AlarmMember {
	for _, alarm := range s.etcd.Server.Alarms() {
		if alarm.GetAlarm().String() == "NOSPACE" {
			return (*clientv3.AlarmMember)(alarm)
		}
	}
	return nil
}

// measure returns the size of the database, and how much of that is in use.
func (s *Server) measure() (size, inUse int64) {
	backend := s.etcd.Server.Backend()
	size, inUse = backend.Size(), backend.SizeInUse()
	databaseBytes.Set(float64(size))
	databaseInUseBytes.Set(float64(inUse))
	return size, inUse
}

func (s *Server) percent(n int64) int64 { return s.config.QuotaBytes / 100 * n }
