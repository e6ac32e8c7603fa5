// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// apiServiceName is the name of Postern's APIService.
var apiServiceName = v1alpha1.SchemeGroupVersion.Version + "." + v1alpha1.GroupName

var getOptions = metav1.GetOptions{}

// install applies the installation, which the user keeps as an overlay or installs with Helm.
func (e *examiner) install() string { return e.kubectl("apply", "--kustomize=OVERLAY") }

func (e *examiner) examineAPIService(ctx context.Context) {
	service, err := e.apiServices.ApiregistrationV1().APIServices().Get(ctx, apiServiceName, getOptions)
	switch {
	case apierrors.IsNotFound(err):
		e.report(Fault, e.install(), "Postern is not installed: there is no APIService %s. Apply its manifests, or "+
			"install its chart", apiServiceName)
		return
	case err != nil:
		e.cannotRead("the APIService "+apiServiceName, err)
		return
	}
	e.apiService = service
	if service.Spec.Service == nil {
		e.report(Fault, e.install(), "the APIService %s names no Service, so the kube-apiserver relays nothing",
			apiServiceName)
		return
	}
	available := helper.GetAPIServiceConditionByType(service, apiregistrationv1.Available)
	if available != nil && available.Status == apiregistrationv1.ConditionTrue {
		e.report(OK, "", "the kube-apiserver reaches Postern at the Service %s/%s", service.Spec.Service.Namespace,
			service.Spec.Service.Name)
		return
	}
	if available == nil {
		e.report(Fault, e.kubectl("get", "apiservice", apiServiceName, "--output=yaml"),
			"the kube-apiserver has not checked the APIService %s yet", apiServiceName)
		return
	}
	e.explainUnavailable(ctx, available.Reason, available.Message)
}

// explainUnavailable reports why the kube-apiserver can't reach Postern.
func (e *examiner) explainUnavailable(ctx context.Context, reason, message string) {
	const prefix = "the kube-apiserver can't reach Postern: "
	switch {
	case reason == "ServiceNotFound", reason == "ServicePortError":
		e.report(Fault, e.install(), prefix+"%s. Apply the manifests again", message)
	case strings.Contains(message, "x509:"), strings.Contains(message, "certificate"):
		e.explainCertificate(ctx, prefix, message)
	default:
		problem, command := e.explainWorkload(ctx)
		e.report(Fault, command, prefix+"%s (%s)", problem, message)
	}
}

// explainWorkload returns why no Pod of Postern may answer, and the command that helps.
func (e *examiner) explainWorkload(ctx context.Context) (problem, command string) {
	system := e.systemNamespace()
	pods := e.kubectl("get", "pods", "-n", system, "--selector="+podSelector, "--output=wide")
	set, err := e.workload(ctx)
	switch {
	case err != nil:
		return "its StatefulSet in " + system + " can't be read", pods
	case set == nil:
		return "there is no StatefulSet of it in " + system + ", so apply the manifests again", e.install()
	case set.Spec.Replicas != nil && *set.Spec.Replicas == 0:
		return "its StatefulSet is scaled to 0", e.kubectl("scale", "statefulset/"+set.Name, "-n", system,
			"--replicas=1")
	case set.Status.ReadyReplicas == 0:
		return "none of its Pods is ready", pods
	}
	return "its Pods are ready, so a NetworkPolicy, or a firewall between the control plane and the nodes, may block " +
		"port 8443", e.kubectl("get", "networkpolicies", "-n", system, "--output=yaml")
}

// workload returns the StatefulSet of the installation, nil if there is none.
func (e *examiner) workload(ctx context.Context) (*appsv1.StatefulSet, error) {
	sets, err := e.Kubernetes.AppsV1().StatefulSets(e.systemNamespace()).List(ctx,
		metav1.ListOptions{LabelSelector: podSelector, Limit: 1})
	if err != nil || len(sets.Items) == 0 {
		return nil, err
	}
	return &sets.Items[0], nil
}

// examineAPI asks Postern for what it serves, as kubectl does.
func (e *examiner) examineAPI(ctx context.Context) {
	_, err := e.Postern.Discovery().RESTClient().Get().AbsPath("/apis", v1alpha1.GroupName,
		v1alpha1.SchemeGroupVersion.Version).DoRaw(ctx)
	switch {
	case err == nil:
		e.answers = true
		e.report(OK, "", "Postern answers through the kube-apiserver")
	case e.apiService == nil && apierrors.IsNotFound(err):
		e.report(Fault, e.install(), "the kube-apiserver does not serve %s: Postern is not installed",
			v1alpha1.SchemeGroupVersion)
	default:
		e.explainNoAnswer(ctx, err)
	}
	if e.answers {
		e.readDeliveries(ctx)
	}
}

// explainNoAnswer reports why Postern does not answer. Older versions of the kube-apiserver do not verify the
// certificate when they check the APIService, so only their answer names it.
func (e *examiner) explainNoAnswer(ctx context.Context, err error) {
	const prefix = "Postern does not answer through the kube-apiserver: "
	cause, _ := apierrors.StatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
	if e.apiService != nil && strings.Contains(cause.Message, "x509:") {
		e.explainCertificate(ctx, prefix, cause.Message)
		return
	}
	e.report(Fault, e.kubectl("get", "apiservice", apiServiceName, "--output=wide"), prefix+"%v", err)
}
