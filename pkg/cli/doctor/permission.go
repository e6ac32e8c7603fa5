// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// endpoint is where to deliver: the path of a target, or of a type of sender.
type endpoint struct {
	resource, name, path string
	// grant is the command that grants access to it, without the subject.
	grant []string
}

func (p endpoint) String() string { return p.resource + "/" + p.name }

// attributes are those of a delivery to the endpoint.
func (p endpoint) attributes(namespace string) *authorizationv1.ResourceAttributes {
	return &authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: "create", Group: v1alpha1.GroupName, Version: v1alpha1.SchemeGroupVersion.Version,
		Resource: p.resource, Subresource: "webhookdeliveries", Name: p.name,
	}
}

// endpoints are those that the sender may use, the usual one first: registries deliver by source, git hosts mostly by
// target.
func (e *examiner) endpoints() []endpoint {
	var all []endpoint
	add := func(p cli.Endpoint) {
		resource, name := p.Resource()
		all = append(all, endpoint{resource, name, p.Path(e.Namespace), slices.Concat([]string{"grant"}, p.Args())})
	}
	if e.Target != nil {
		add(cli.Endpoint{Target: e.Target})
	}
	if e.Source != "" {
		add(cli.Endpoint{Source: e.Source})
	}
	if e.sendsImages() {
		slices.Reverse(all)
	}
	return all
}

func (e *examiner) examinePermission(ctx context.Context) {
	endpoints := e.endpoints()
	if len(endpoints) == 0 {
		return
	}
	name := e.User
	switch {
	case e.isAnonymous():
		name = anonymousUser
	case name == "" && e.Source != "":
		e.report(Unknown, "", "%s authenticates with a token of the cluster: name its user with --sender to have its "+
			"permissions checked", e.Source)
		return
	}
	for _, endpoint := range endpoints {
		allowed, err := e.isAllowed(ctx, name, endpoint.attributes(e.Namespace))
		if err != nil {
			e.report(Unknown, e.canI(name, endpoint), "could not find out whether %s may deliver to %s: %s",
				called(name), endpoint, e.whyUnknown(err))
			return
		}
		if allowed {
			e.report(OK, "", "%s may deliver to %s", called(name), endpoint)
			return
		}
	}
	e.reportDenied(name, endpoints)
}

// reportDenied reports that a user may deliver to none of the endpoints. The user who asks need not be a sender.
func (e *examiner) reportDenied(name string, endpoints []endpoint) {
	if name == "" {
		e.report(Warning, "", "you may not deliver to %s: name the sender with --sender or --source to have its "+
			"permissions checked", endpoints[0])
		return
	}
	note := ""
	if !isServiceAccount(name) && name != anonymousUser {
		note = ", unless one of its groups may, which only its token shows"
	}
	e.report(Fault, e.grant(name, endpoints[0]), "%s may not deliver to %s: no role allows it to create "+
		"%s/webhookdeliveries named %s in the group %s%s", called(name), endpoints[0], endpoints[0].resource,
		endpoints[0].name, v1alpha1.GroupName, note)
}

func called(name string) string {
	switch name {
	case "":
		return "you"
	case anonymousUser:
		return "an anonymous sender"
	}
	return name
}

// whyUnknown returns why a permission could not be checked.
func (e *examiner) whyUnknown(err error) string {
	if apierrors.IsForbidden(err) {
		return "you may not ask for the permissions of others (SubjectAccessReviews)"
	}
	return err.Error()
}

// canI returns the command with which an administrator checks a permission.
func (e *examiner) canI(name string, p endpoint) string {
	words := []string{"auth", "can-i", "create", p.resource + "." + v1alpha1.GroupName + "/" + p.name,
		"--subresource=webhookdeliveries", "--as=" + name}
	for _, group := range groupsOf(name) {
		words = append(words, "--as-group="+group)
	}
	return e.kubectlHere(words...)
}

// isAllowed reports whether a user may send a request; the empty name is the user who asks.
func (e *examiner) isAllowed(ctx context.Context, name string, request *authorizationv1.ResourceAttributes) (bool,
	error) {
	reviews := e.Kubernetes.AuthorizationV1()
	if name == "" {
		answer, err := reviews.SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: request},
		}, metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		return answer.Status.Allowed, nil
	}
	spec := authorizationv1.SubjectAccessReviewSpec{User: name, Groups: groupsOf(name), ResourceAttributes: request}
	answer, err := reviews.SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec},
		metav1.CreateOptions{})
	if err == nil {
		return answer.Status.Allowed, nil
	}
	if request.Namespace == "" || !apierrors.IsForbidden(err) {
		return false, err
	}
	// The administrator of a namespace may ask for that namespace.
	local, err := reviews.LocalSubjectAccessReviews(request.Namespace).Create(ctx,
		&authorizationv1.LocalSubjectAccessReview{
			ObjectMeta: metav1.ObjectMeta{Namespace: request.Namespace}, Spec: spec,
		}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return local.Status.Allowed, nil
}

// groupsOf returns the groups that a user has in any case.
func groupsOf(name string) []string {
	if name == anonymousUser {
		return []string{unauthenticatedGroup}
	}
	if namespace, _, err := serviceaccount.SplitUsername(name); err == nil {
		return append(serviceaccount.MakeGroupNames(namespace), user.AllAuthenticated)
	}
	return []string{user.AllAuthenticated}
}

func isServiceAccount(name string) bool {
	_, _, err := serviceaccount.SplitUsername(name)
	return err == nil
}

// grant returns the command that lets a user deliver to an endpoint and nothing else.
func (e *examiner) grant(name string, p endpoint) string {
	if name == anonymousUser {
		return e.PluginCommand(slices.Concat(p.grant, []string{"--anonymous", "--apply"})...)
	}
	if namespace, account, err := serviceaccount.SplitUsername(name); err == nil {
		return e.PluginCommand(slices.Concat(p.grant,
			[]string{"--serviceaccount=" + namespace + ":" + account, "--apply"})...)
	}
	role := "deliver-to-" + p.resource + "-" + p.name
	return e.kubectlHere("create", "role", role, "--verb=create",
		"--resource="+p.resource+"."+v1alpha1.GroupName+"/webhookdeliveries", "--resource-name="+p.name) + " && " +
		e.kubectlHere("create", "rolebinding", role, "--role="+role, "--user="+name)
}

// grantToken returns the command that lets a new ServiceAccount deliver, and writes its token to a file.
func (e *examiner) grantToken(account string, p endpoint) string {
	return e.PluginCommand(slices.Concat(p.grant,
		[]string{"--serviceaccount=" + e.Namespace + ":" + account, "--apply", "--token-out=token"})...)
}
