// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/apis/postern"
)

// memoryRecords stores records in memory, for one or several Deliverers.
type memoryRecords struct {
	mu      sync.Mutex
	records map[string]*postern.WebhookDelivery
	changes int
	updates int
}

func taken(name string) error {
	return apierrors.NewAlreadyExists(postern.Resource("webhookdeliveries"), name)
}

func (s *memoryRecords) Create(
	_ context.Context, delivery *postern.WebhookDelivery, dryRun bool,
) (*postern.WebhookDelivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	created := delivery.DeepCopy()
	if created.Name == "" {
		created.Name = fmt.Sprint(created.GenerateName, s.changes)
	}
	if _, exists := s.records[created.Name]; exists {
		return nil, taken(created.Name)
	}
	created.CreationTimestamp = metav1.NewTime(now)
	if !dryRun {
		created.UID = types.UID(fmt.Sprint("uid-", s.changes))
		s.keep(created)
	}
	return created.DeepCopy(), nil
}

// keep stores a record as its next version. The caller holds the lock.
func (s *memoryRecords) keep(record *postern.WebhookDelivery) {
	s.changes++
	record.ResourceVersion = strconv.Itoa(s.changes)
	if s.records == nil {
		s.records = map[string]*postern.WebhookDelivery{}
	}
	s.records[record.Name] = record.DeepCopy()
}

func (s *memoryRecords) Get(_ context.Context, _, name string) (*postern.WebhookDelivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if record, exists := s.records[name]; exists {
		return record.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(postern.Resource("webhookdeliveries"), name)
}

func (s *memoryRecords) UpdateStatus(
	ctx context.Context, delivery *postern.WebhookDelivery,
) (*postern.WebhookDelivery, error) {
	kept, err := s.Get(ctx, delivery.Namespace, delivery.Name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept.ResourceVersion != delivery.ResourceVersion {
		return nil, apierrors.NewConflict(postern.Resource("webhookdeliveries"), delivery.Name, errors.New("changed"))
	}
	s.updates++
	updated := delivery.DeepCopy()
	s.keep(updated)
	return updated, nil
}

// all returns the records by name.
func (s *memoryRecords) all() []*postern.WebhookDelivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*postern.WebhookDelivery
	for _, name := range slices.Sorted(maps.Keys(s.records)) {
		all = append(all, s.records[name].DeepCopy())
	}
	return all
}

// pipelineOn returns a pipeline with these records.
func pipelineOn(s *memoryRecords, arrange ...func(*Config)) *pipeline {
	p := newDefaultPipeline()
	config := p.Config
	config.Records = s
	for _, change := range arrange {
		change(&config)
	}
	return &pipeline{New(config), p.fakes}
}
