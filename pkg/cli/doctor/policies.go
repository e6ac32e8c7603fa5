// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// checkedRequest is a request that admission policies and webhooks may refuse.
type checkedRequest struct {
	operation                admissionv1.OperationType
	group, version, resource string
}

// checkedRequests are the record of a delivery and, if there is a target, Postern's patch of it.
func (e *examiner) checkedRequests() []checkedRequest {
	requests := []checkedRequest{{
		admissionv1.Create, v1alpha1.GroupName, v1alpha1.SchemeGroupVersion.Version, "webhookdeliveries",
	}}
	if e.Target != nil {
		resource := cli.KindOf(e.Target.Kind).Resource
		requests = append(requests, checkedRequest{admissionv1.Update, resource.Group, resource.Version,
			resource.Resource})
	}
	return requests
}

// examinePolicies names the policies and webhooks that see a delivery or the patch of its target. Whether they refuse
// it, only a dry run shows.
func (e *examiner) examinePolicies(ctx context.Context) {
	var names []string
	for _, list := range []func(context.Context) ([]string, error){
		e.matchingPolicies, e.matchingValidatingWebhooks, e.matchingMutatingWebhooks, e.matchingMutatingPolicies,
	} {
		matching, err := list(ctx)
		if err != nil && !apierrors.IsNotFound(err) {
			e.cannotRead("the admission policies and webhooks, which may refuse a delivery", err)
			return
		}
		names = append(names, matching...)
	}
	const maxNamed = 10
	if len(names) == 0 {
		e.report(OK, "", "no admission policy or webhook of others applies to deliveries or to the target")
		return
	}
	what := strings.Join(names[:min(len(names), maxNamed)], ", ")
	if len(names) > maxNamed {
		what += fmt.Sprintf(" and %d more", len(names)-maxNamed)
	}
	command := ""
	if e.Target != nil && e.Try == "" {
		command = e.PluginCommand(append(e.arguments(e.targetName(), e.Source), "--try=REF")...)
	}
	e.report(Note, command, "these may refuse or change a delivery, or the write to its target: %s. A dry run shows it",
		what)
}

func (e *examiner) matchingPolicies(ctx context.Context) (names []string, err error) {
	api := e.Kubernetes.AdmissionregistrationV1()
	policies, err := api.ValidatingAdmissionPolicies().List(ctx, metav1.ListOptions{Limit: maxListed})
	if err != nil {
		return nil, err
	}
	bindings, err := api.ValidatingAdmissionPolicyBindings().List(ctx, metav1.ListOptions{Limit: maxListed})
	if err != nil {
		return nil, err
	}
	for i := range policies.Items {
		policy := &policies.Items[i]
		isBound := slices.ContainsFunc(bindings.Items, func(b admissionv1.ValidatingAdmissionPolicyBinding) bool {
			return b.Spec.PolicyName == policy.Name && e.matchesResources(b.Spec.MatchResources, true)
		})
		if isBound && !isOwn(policy.Labels) && e.matchesResources(policy.Spec.MatchConstraints, false) {
			names = append(names, "ValidatingAdmissionPolicy "+policy.Name)
		}
	}
	return names, nil
}

func (e *examiner) matchingMutatingPolicies(ctx context.Context) (names []string, err error) {
	policies, err := e.Kubernetes.AdmissionregistrationV1().MutatingAdmissionPolicies().List(ctx,
		metav1.ListOptions{Limit: maxListed})
	if err != nil {
		return nil, err
	}
	for i := range policies.Items {
		policy := &policies.Items[i]
		if !isOwn(policy.Labels) && e.matchesResources(policy.Spec.MatchConstraints, false) {
			names = append(names, "MutatingAdmissionPolicy "+policy.Name)
		}
	}
	return names, nil
}

func (e *examiner) matchingValidatingWebhooks(ctx context.Context) (names []string, err error) {
	configurations, err := e.Kubernetes.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(ctx,
		metav1.ListOptions{Limit: maxListed})
	if err != nil {
		return nil, err
	}
	for i := range configurations.Items {
		for _, webhook := range configurations.Items[i].Webhooks {
			if e.matchesRules(webhook.Rules) && e.matchesNamespace(webhook.NamespaceSelector) {
				names = append(names, "ValidatingWebhookConfiguration "+configurations.Items[i].Name)
				break
			}
		}
	}
	return names, nil
}

func (e *examiner) matchingMutatingWebhooks(ctx context.Context) (names []string, err error) {
	configurations, err := e.Kubernetes.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx,
		metav1.ListOptions{Limit: maxListed})
	if err != nil {
		return nil, err
	}
	for i := range configurations.Items {
		for _, webhook := range configurations.Items[i].Webhooks {
			if e.matchesRules(webhook.Rules) && e.matchesNamespace(webhook.NamespaceSelector) {
				names = append(names, "MutatingWebhookConfiguration "+configurations.Items[i].Name)
				break
			}
		}
	}
	return names, nil
}

// isOwn reports whether an object is part of Postern's installation.
func isOwn(all map[string]string) bool { return all["app.kubernetes.io/name"] == "postern" }

// matchesResources reports whether one of the checked requests is selected. Without rules, a binding selects all.
func (e *examiner) matchesResources(match *admissionv1.MatchResources, isBinding bool) bool {
	if match == nil {
		return isBinding
	}
	if !e.matchesNamespace(match.NamespaceSelector) {
		return false
	}
	return isBinding && len(match.ResourceRules) == 0 ||
		slices.ContainsFunc(match.ResourceRules, func(rule admissionv1.NamedRuleWithOperations) bool {
			return e.matchesRules([]admissionv1.RuleWithOperations{rule.RuleWithOperations})
		})
}

func (e *examiner) matchesNamespace(selector *metav1.LabelSelector) bool {
	if selector == nil || e.namespaceLabels == nil {
		return true
	}
	selects, err := metav1.LabelSelectorAsSelector(selector)
	return err != nil || selects.Matches(labels.Set(e.namespaceLabels))
}

func (e *examiner) matchesRules(rules []admissionv1.RuleWithOperations) bool {
	return slices.ContainsFunc(e.checkedRequests(), func(request checkedRequest) bool {
		return slices.ContainsFunc(rules, request.matches)
	})
}

func (r checkedRequest) matches(rule admissionv1.RuleWithOperations) bool {
	has := func(values []string, value string) bool {
		return slices.Contains(values, "*") || slices.Contains(values, value)
	}
	isOperation := slices.Contains(rule.Operations, r.operation) ||
		slices.Contains(rule.Operations, admissionv1.OperationAll)
	return isOperation &&
		has(rule.APIGroups, r.group) && has(rule.APIVersions, r.version) &&
		(has(rule.Resources, r.resource) || slices.Contains(rule.Resources, "*/*"))
}
