// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/metadata"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/payload"
)

// The installation, unless the APIService shows another namespace.
const (
	defaultSystemNamespace = "postern-system"
	serviceAccount         = "postern"
	// podSelector selects what an installation runs, by the label that its manifests and its chart set.
	podSelector = "app.kubernetes.io/name=postern"
)

// secretName is the name of the Secret that Postern reads in each namespace.
const secretName = "postern-webhook-secrets"

// anonymousUser and unauthenticatedGroup are how the kube-apiserver calls those whom it has not authenticated.
const (
	anonymousUser        = "system:anonymous"
	unauthenticatedGroup = "system:unauthenticated"
)

// maxListed bounds each list that is read for one finding.
const maxListed = 500

// examiner walks the way of one question. Each step reports what it finds, and leaves what later steps need.
type examiner struct {
	*cli.Cluster
	Question

	found       func(Finding)
	step        string
	apiServices aggregator.Interface
	metadata    metadata.Interface

	// apiService is nil if it does not exist, or the user may not read it.
	apiService *apiregistrationv1.APIService
	// answers is true if Postern answers through the kube-apiserver. Otherwise it is asked nothing more.
	answers bool
	// namespaceLabels are nil if the user may not read the namespace.
	namespaceLabels map[string]string
	// sender is the type of sender as this program knows it. source is what the server says of it, nil if unknown.
	sender payload.Sender
	source *v1alpha1.WebhookSource
	// keys are the keys in the Secret, if keysKnown.
	keys      []string
	keysKnown bool
	// lacksSecret is true if no secret applies to the sender, which is reported.
	lacksSecret bool
	// refusals are the lines of the log about deliveries without a record that concern the question.
	refusals []refusal
	// logIsLonger is true if not all of a log was read: its newest lines are missing.
	logIsLonger bool
	// object is the target, nil if there is none or the user may not read it.
	object *unstructured.Unstructured
	// deliveries are those that concern the question, the newest first. They are complete unless partial is set.
	deliveries    []v1alpha1.WebhookDelivery
	partial       bool
	deliveriesErr error
}

func newExaminer(cluster *cli.Cluster, question Question, found func(Finding)) (*examiner, error) {
	e := &examiner{Cluster: cluster, Question: question, found: found}
	var err error
	if e.apiServices, err = aggregator.NewForConfig(cluster.Config); err != nil {
		return nil, fmt.Errorf("could not create a client of APIServices: %w", err)
	}
	if e.metadata, err = metadata.NewForConfig(cluster.Config); err != nil {
		return nil, fmt.Errorf("could not create a client of metadata: %w", err)
	}
	e.sender, _ = payload.Lookup(question.Source)
	return e, nil
}

// reach returns an error if the kube-apiserver can't be reached, or does not know the user.
func (e *examiner) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	err := e.Kubernetes.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Error()
	var status apierrors.APIStatus
	if err == nil || errors.As(err, &status) && !apierrors.IsUnauthorized(err) {
		return nil // even an error is an answer
	}
	return fmt.Errorf("could not reach the kube-apiserver: %w", err)
}

// within runs a step within its time.
func (e *examiner) within(ctx context.Context, examine func(*examiner, context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	examine(e, ctx)
}

// report reports a finding of the current step.
func (e *examiner) report(level Level, command, format string, args ...any) {
	e.found(Finding{Step: e.step, Level: level, Message: fmt.Sprintf(format, args...), Command: command})
}

// cannotRead reports that what was asked for could not be read.
func (e *examiner) cannotRead(what string, err error) {
	if apierrors.IsForbidden(err) {
		e.report(Unknown, "", "you may not read %s", what)
		return
	}
	e.report(Unknown, "", "could not read %s: %v", what, err)
}

// kubectl returns a command that can be pasted into a shell.
func (e *examiner) kubectl(words ...string) string {
	return cli.Command(slices.Concat([]string{"kubectl"}, words, e.Flags)...)
}

// kubectlHere is kubectl for the namespace of the question.
func (e *examiner) kubectlHere(words ...string) string {
	return e.kubectl(append(words, "-n", e.Namespace)...)
}

// systemNamespace returns the namespace of the installation.
func (e *examiner) systemNamespace() string {
	if e.apiService != nil && e.apiService.Spec.Service != nil {
		return e.apiService.Spec.Service.Namespace
	}
	return defaultSystemNamespace
}

// targetName returns the target as users write it: gatewaysync/plant.
func (e *examiner) targetName() string { return cli.TargetName(e.Target.Kind, e.Target.Name) }

// targetResource returns the plural of the target's kind, which is the same in the group of its owner and in Postern's.
func (e *examiner) targetResource() string { return cli.KindOf(e.Target.Kind).Resource.Resource }

// isAnonymous reports whether the sender has no identity in the cluster: the user says so or, if the user names none,
// it is a type of sender that need not have one.
func (e *examiner) isAnonymous() bool {
	if e.User != "" {
		return e.User == anonymousUser
	}
	return e.Source != "" && (len(e.sender.Signatures) > 0 || e.sender.Token || e.sender.QueryToken)
}

// sendsImages reports whether the sender is a registry.
func (e *examiner) sendsImages() bool { return e.sender.Requests == payload.RequestsImages }

func (e *examiner) examineNamespace(ctx context.Context) {
	namespace, err := e.Kubernetes.CoreV1().Namespaces().Get(ctx, e.Namespace, getOptions)
	switch {
	case apierrors.IsNotFound(err):
		e.report(Fault, e.kubectl("create", "namespace", e.Namespace), "the namespace %s does not exist", e.Namespace)
	case err != nil:
		e.cannotRead("the namespace "+e.Namespace, err)
	case namespace.Status.Phase == corev1.NamespaceTerminating:
		e.report(Fault, e.kubectl("get", "namespace", e.Namespace, "--output=yaml"),
			"the namespace %s is being deleted, so it takes no deliveries", e.Namespace)
	default:
		e.namespaceLabels = namespace.Labels
		e.report(OK, "", "the namespace %s exists", e.Namespace)
	}
}
