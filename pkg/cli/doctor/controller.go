// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/duration"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/target"
)

// Short names of functions that read fields of any object.
var (
	nestedString = unstructured.NestedString
	nestedSlice  = unstructured.NestedSlice
)

// refreshPatience is how long Argo CD may take to answer a request for a refresh.
const refreshPatience = 2 * time.Minute

// examineController reports whether Stoker or Argo CD acts on the target, as far as its status shows it.
func (e *examiner) examineController(context.Context) {
	if e.object == nil {
		return
	}
	switch e.Target.Kind {
	case v1alpha1.TargetGatewaySync:
		e.examineStoker()
	case v1alpha1.TargetApplication:
		e.examineArgoCD()
	case v1alpha1.TargetApplicationSet:
		e.examineGenerators()
	}
}

func (e *examiner) examineStoker() {
	if paused, _, _ := unstructured.NestedBool(e.object.Object, "spec", "paused"); paused {
		e.report(Fault, e.kubectlHere("patch", e.groupKind(), e.Target.Name, "--type=merge", "--patch",
			`{"spec": {"paused": false}}`), "%s is paused: Stoker does not sync what is delivered", e.targetName())
		return
	}
	status, message := e.condition("Ready")
	ref, _, _ := nestedString(e.object.Object, "status", "lastSyncRef")
	switch {
	case status == "" && ref == "":
		e.report(Warning, "", "Stoker has written no status: its controller may not run, or not watch %s", e.Namespace)
	case status == "False":
		e.report(Warning, e.kubectlHere("describe", e.groupKind(), e.Target.Name),
			"Stoker reports that it is not ready: %s", message)
	default:
		e.report(OK, "", "Stoker acts on it: it has synced %s", ref)
	}
}

// condition returns the status and the message of a condition; empty if it has none.
func (e *examiner) condition(kind string) (status, message string) {
	conditions, _, _ := nestedSlice(e.object.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] == kind {
			status, _ = condition["status"].(string)
			message, _ = condition["message"].(string)
		}
	}
	return status, message
}

func (e *examiner) examineGenerators() {
	pending, waits := e.object.GetAnnotations()[argov1alpha1.AnnotationApplicationSetRefresh]
	requested, err := time.Parse(time.RFC3339, pending)
	failed, failure := e.condition("ErrorOccurred")
	generated, _ := e.condition("ResourcesUpToDate")
	switch {
	case failed == "True":
		e.report(Warning, e.kubectlHere("describe", e.groupKind(), e.Target.Name),
			"Argo CD can't generate its Applications: %s", failure)
	case waits && err == nil && time.Since(requested) > refreshPatience:
		e.report(Warning, "", "Argo CD has not answered the refresh that was requested %s ago: its "+
			"applicationset-controller may not run, or not watch %s (applicationsetcontroller.namespaces)",
			duration.HumanDuration(time.Since(requested)), e.Namespace)
	case generated == "":
		e.report(Warning, "", "Argo CD has not generated its Applications yet: its applicationset-controller may not "+
			"run, or not watch %s (applicationsetcontroller.namespaces)", e.Namespace)
	default:
		e.report(OK, "", "Argo CD generates its Applications")
	}
}

func (e *examiner) examineArgoCD() {
	annotations := e.object.GetAnnotations()
	requested, err := time.Parse(time.RFC3339, annotations[target.AnnotationRequestedAt])
	_, waits := annotations[argov1alpha1.AnnotationRefresh]
	reconciled, _, _ := nestedString(e.object.Object, "status", "reconciledAt")
	_, failure := e.condition("ComparisonError")
	switch {
	case failure != "":
		e.report(Warning, e.kubectlHere("describe", e.groupKind(), e.Target.Name),
			"Argo CD can't compare it with its source: %s", failure)
	case waits && err == nil && time.Since(requested) > refreshPatience:
		e.report(Warning, "", "Argo CD has not answered the refresh that was requested %s ago: its controller may "+
			"not run, or not watch %s (application.namespaces)",
			duration.HumanDuration(time.Since(requested)), e.Namespace)
	case reconciled == "":
		e.report(Warning, "", "Argo CD has not compared it with its source yet: its controller may not run, or not "+
			"watch %s (application.namespaces)", e.Namespace)
	default:
		e.report(OK, "", "Argo CD acts on it: last compared at %s", reconciled)
	}
	automated, found, _ := unstructured.NestedMap(e.object.Object, "spec", "syncPolicy", "automated")
	if enabled, isSet := automated["enabled"].(bool); !found || isSet && !enabled {
		e.report(Note, "",
			"Argo CD does not sync it by itself (spec.syncPolicy.automated): after a delivery, a user has to")
	}
}
