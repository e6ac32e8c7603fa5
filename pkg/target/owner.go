// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

// kindApplicationSet is the kind of the owner of a generated Application.
const kindApplicationSet = "ApplicationSet"

// Marks of an object that Argo CD deploys for an Application. Other tools set the label, too, Helm in particular.
const (
	annotationTrackingID = "argocd.argoproj.io/tracking-id"
	labelInstance        = "app.kubernetes.io/instance"
)

// generatorOf returns the name of the ApplicationSet that generates an object; empty if there is none. Its controller
// resets an Application to the template whenever it changes: the spec, and all annotations except for some of Argo
// CD's.
func generatorOf(obj metav1.Object) string {
	for _, owner := range obj.GetOwnerReferences() {
		if owner.Kind == kindApplicationSet && strings.HasPrefix(owner.APIVersion, argov1alpha1.GroupName+"/") {
			return owner.Name
		}
	}
	return ""
}

// parentOf returns the name of the Application that deploys another one (app of apps); empty if there is none. With
// selfHeal it resets the fields that its source sets. certain is false if only the label says so.
func parentOf(app metav1.Object) (name string, certain bool) {
	const self = ":" + argov1alpha1.GroupName + "/" + string(postern.TargetApplication) + ":"
	id := app.GetAnnotations()[annotationTrackingID]
	// A copied annotation names another object.
	if name, found := strings.CutSuffix(id, self+app.GetNamespace()+"/"+app.GetName()); found {
		return name, true
	}
	if name := app.GetLabels()[labelInstance]; name != app.GetName() {
		return name, false
	}
	return "", false
}

// managerNote says which object may take back what is written to an Application; empty if none is known to. spec is
// whether the spec is written, too.
func managerNote(app metav1.Object, spec bool) string {
	if set := generatorOf(app); set != "" {
		return fmt.Sprintf("the ApplicationSet %q generates the Application, and takes back what its preservedFields "+
			"and ignoreApplicationDifferences do not list", set)
	}
	parent, certain := parentOf(app)
	switch {
	case parent == "" || !spec:
		return ""
	case certain:
		return fmt.Sprintf("the Application %q deploys this one, and with selfHeal takes back fields that its source "+
			"sets, unless its ignoreDifferences list them", parent)
	}
	return fmt.Sprintf("the Application %q may deploy this one, by the label %s; with selfHeal it then takes back "+
		"fields that its source sets, unless its ignoreDifferences list them", parent, labelInstance)
}
