// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	"postern.dev/postern/pkg/cli"
)

// clusterRole is the name of Postern's ClusterRole and of its binding, in the manifests and the chart.
const clusterRole = "postern"

// examinePosternPermissions checks the permissions of Postern's own ServiceAccount that a delivery needs.
func (e *examiner) examinePosternPermissions(ctx context.Context) {
	account, system := serviceAccount, e.systemNamespace()
	if set, err := e.workload(ctx); err == nil && set != nil {
		account = set.Spec.Template.Spec.ServiceAccountName
	}
	name := serviceaccount.MakeUsername(system, account)
	var lacking []string
	for _, needed := range e.neededByPostern() {
		allowed, err := e.isAllowed(ctx, name, needed)
		if err != nil {
			e.report(Unknown, "", "could not find out whether Postern may write targets: %s", e.whyUnknown(err))
			return
		}
		if !allowed {
			lacking = append(lacking, needed.Verb+" "+needed.Resource)
		}
	}
	if len(lacking) == 0 {
		e.report(OK, "", "Postern's ServiceAccount may read and patch targets and read its Secret")
		return
	}
	e.report(Fault, e.mendRole(ctx, system, account), "Postern's ServiceAccount %s/%s may not %s", system, account,
		strings.Join(lacking, ", "))
}

func (e *examiner) neededByPostern() []*authorizationv1.ResourceAttributes {
	kinds := cli.Kinds
	if e.Target != nil {
		kinds = []cli.Kind{cli.KindOf(e.Target.Kind)}
	}
	needed := []*authorizationv1.ResourceAttributes{{
		Verb: "list", Resource: "secrets", Name: secretName, Version: "v1",
	}}
	for _, kind := range kinds {
		for _, verb := range []string{"get", "list", "watch", "patch"} {
			needed = append(needed, &authorizationv1.ResourceAttributes{
				Verb: verb, Group: kind.Resource.Group, Version: kind.Resource.Version,
				Resource: kind.Resource.Resource,
			})
		}
	}
	return needed
}

// mendRole returns the command that gives Postern its ClusterRole: if only the binding is missing, it creates that.
func (e *examiner) mendRole(ctx context.Context, system, account string) string {
	role, err := e.Kubernetes.RbacV1().ClusterRoles().Get(ctx, clusterRole, getOptions)
	if err != nil || !mayPatchTargets(role) {
		return e.install()
	}
	if _, err := e.Kubernetes.RbacV1().ClusterRoleBindings().Get(ctx, clusterRole, getOptions); err == nil {
		return e.install()
	}
	return e.kubectl("create", "clusterrolebinding", clusterRole, "--clusterrole="+clusterRole,
		"--serviceaccount="+system+":"+account)
}

func mayPatchTargets(role *rbacv1.ClusterRole) bool {
	count := 0
	for _, rule := range role.Rules {
		for _, kind := range cli.Kinds {
			if isOneOf(kind.Resource.Resource, rule.Resources...) && isOneOf("patch", rule.Verbs...) &&
				isOneOf(kind.Resource.Group, rule.APIGroups...) {
				count++
			}
		}
	}
	return count == len(cli.Kinds)
}
