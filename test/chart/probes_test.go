// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// A process that hangs is killed soon, and has not the time that a Pod has to end its requests.
func TestProbes_HangingProcessIsKilledSoon(t *testing.T) {
	object := parse(t, mustTemplate(t))["StatefulSet.apps "+namespace+"/postern"]
	var set appsv1.StatefulSet
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &set); err != nil {
		t.Fatal(err)
	}
	probe := set.Spec.Template.Spec.Containers[0].LivenessProbe
	if probe.TerminationGracePeriodSeconds == nil {
		t.Fatal("the livenessProbe leaves a process that hangs the time of the Pod")
	}
	// It may begin to hang just after a probe.
	seconds := int64(probe.PeriodSeconds+probe.FailureThreshold*max(probe.PeriodSeconds, probe.TimeoutSeconds)) +
		*probe.TerminationGracePeriodSeconds
	if got, limit := time.Duration(seconds)*time.Second, 40*time.Second; got > limit {
		t.Errorf("a process that hangs lives for %v, want %v at most", got, limit)
	}
}
