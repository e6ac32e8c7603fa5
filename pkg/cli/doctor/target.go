// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// owners are who brings each kind of target.
var owners = map[v1alpha1.TargetKind]string{
	v1alpha1.TargetGatewaySync: "Stoker", v1alpha1.TargetApplication: "Argo CD",
	v1alpha1.TargetApplicationSet: "Argo CD",
}

func (e *examiner) examineTarget(ctx context.Context) {
	if e.Target == nil {
		return
	}
	object, err := e.Dynamic.Resource(cli.KindOf(e.Target.Kind).Resource).Namespace(e.Namespace).
		Get(ctx, e.Target.Name, getOptions)
	switch {
	case err == nil:
		e.object = object
		e.report(OK, "", "%s exists", e.targetName())
	case apierrors.IsNotFound(err) && !e.isServed():
		e.report(Fault, e.kubectl("apply", "--server-side", "--filename=FILE"), "the kind %s is not installed in "+
			"this cluster: install %s, or its CRDs", e.Target.Kind, owners[e.Target.Kind])
	case apierrors.IsNotFound(err):
		e.reportNoTarget(ctx)
	default:
		e.cannotRead(e.targetName(), err)
	}
}

// isServed reports whether the kube-apiserver serves the kind of the target. If that can't be found out, it does.
func (e *examiner) isServed() bool {
	resource := cli.KindOf(e.Target.Kind).Resource
	served, err := e.Kubernetes.Discovery().ServerResourcesForGroupVersion(resource.GroupVersion().String())
	if err != nil {
		return !apierrors.IsNotFound(err)
	}
	return slices.ContainsFunc(served.APIResources,
		func(r metav1.APIResource) bool { return r.Name == resource.Resource })
}

// reportNoTarget reports that the target does not exist, and where one of its name, or of a similar one, is.
func (e *examiner) reportNoTarget(ctx context.Context) {
	kind := cli.KindOf(e.Target.Kind)
	namespaced := e.Dynamic.Resource(kind.Resource)
	elsewhere, err := namespaced.List(ctx, metav1.ListOptions{
		FieldSelector: "metadata.name=" + e.Target.Name, Limit: maxListed,
	})
	if err == nil && len(elsewhere.Items) > 0 {
		other := elsewhere.Items[0].GetNamespace()
		e.report(Fault, e.doctor(e.targetName(), other), "there is no %s in %s, but there is in %s: the URL of the "+
			"webhook must have namespaces/%s/", e.targetName(), e.Namespace, other, other)
		return
	}
	here, err := namespaced.Namespace(e.Namespace).List(ctx, metav1.ListOptions{Limit: maxListed})
	if err == nil {
		var names []string
		for i := range here.Items {
			names = append(names, here.Items[i].GetName())
		}
		if similar := similarTo(e.Target.Name, names); similar != "" {
			e.report(Fault, e.doctor(kind.Names[0]+"/"+similar, e.Namespace),
				"there is no %s in %s, so its deliveries are answered 404: is %s meant?",
				e.targetName(), e.Namespace, similar)
			return
		}
	}
	e.report(Fault, e.kubectlHere("get", kind.Resource.GroupResource().String()),
		"there is no %s in %s, so its deliveries are answered 404", e.targetName(), e.Namespace)
}

// doctor returns the command that examines the same question for another target.
func (e *examiner) doctor(target, namespace string) string {
	elsewhere := *e.Cluster
	elsewhere.Namespace = namespace
	return elsewhere.PluginCommand(e.arguments(target, e.Source)...)
}

// arguments returns the command doctor with another target or type of sender.
func (e *examiner) arguments(target, source string) []string {
	words := []string{"doctor"}
	if target != "" {
		words = append(words, target)
	}
	if source != "" {
		words = append(words, "--source="+source)
	}
	if e.User != "" {
		words = append(words, "--sender="+e.User)
	}
	return words
}
