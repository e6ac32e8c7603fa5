// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli/doctor"
)

// sendersContent is the set-up of the senders in a namespace.
type sendersContent struct {
	// Sources are the types of sender; nil if they can't be listed, for Problem.
	Sources []v1alpha1.WebhookSource
	Problem string
	// Examined is the type of sender that Findings are about; empty for what all need.
	Examined string
	Findings []doctor.Finding
	// Faults and Warnings are how many findings have these levels.
	Faults, Warnings int
	// Unfinished says why there may be more findings. Empty if all was examined.
	Unfinished string
}

func (s *server) senders(ctx context.Context, v *visit) (*view, error) {
	c := &sendersContent{Examined: v.URL.Query().Get("source")}
	shown := &view{Title: "Senders", Content: c}
	if v.namespace == "" {
		c.Problem = "Choose a namespace: senders are set up in each one."
		return shown, nil
	}
	list, err := s.cluster.Postern.PosternV1alpha1().WebhookSources(v.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		c.Problem = explain(err)
	} else {
		c.Sources = list.Items
		slices.SortStableFunc(c.Sources, func(a, b v1alpha1.WebhookSource) int {
			return strings.Compare(setUpFirst(a), setUpFirst(b))
		})
	}
	s.examine(ctx, v.namespace, c)
	return shown, nil
}

// setUpFirst is the key by which senders are sorted.
func setUpFirst(source v1alpha1.WebhookSource) string {
	if source.Status.HasSecret {
		return "0" + source.Name
	}
	return "1" + source.Name
}

func (s *server) examine(ctx context.Context, namespace string, c *sendersContent) {
	cluster := *s.cluster
	cluster.Namespace = namespace
	err := doctor.Examine(ctx, &cluster, doctor.Question{Source: c.Examined}, func(finding doctor.Finding) {
		c.Findings = append(c.Findings, finding)
		if finding.Level == doctor.Fault {
			c.Faults++
		}
		if finding.Level == doctor.Warning {
			c.Warnings++
		}
	})
	if err != nil {
		c.Unfinished = explain(err)
	}
}
