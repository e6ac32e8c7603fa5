// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

const posternUser = "system:serviceaccount:postern-system:postern"

// permission is the smallest unit of a rule. A default role of Kubernetes counts as one: its name is the resource, and
// the verb is "bind".
type permission struct{ verb, group, resource, name string }

func (p permission) String() string {
	return strings.TrimSuffix(p.verb+" "+strings.TrimPrefix(p.group+"/"+p.resource, "/")+" "+p.name, " ")
}

// grant is the source of a permission.
type grant struct {
	binding rbacv1.RoleRef
	// namespace is the namespace of the binding; empty means all.
	namespace, bindingName string
}

func (g grant) String() string { return g.binding.Kind + " " + g.binding.Name }

// grants returns all permissions of Postern, except the permissions that all users have.
func (s *suite) grants(t *testing.T) map[permission]grant {
	t.Helper()
	all := map[permission]grant{}
	add := func(g grant, rules []rbacv1.PolicyRule) {
		for _, p := range permissionsIn(rules) {
			if twice, found := all[p]; found {
				t.Errorf("%s is granted twice, by %s and %s", p, twice, g)
			}
			all[p] = g
		}
	}
	clusterBindings, err := s.Kube.RbacV1().ClusterRoleBindings().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range clusterBindings.Items {
		if bindsPostern(b.Subjects) {
			g := grant{binding: b.RoleRef, bindingName: b.Name}
			add(g, s.rulesOf(t, g))
		}
	}
	bindings, err := s.Kube.RbacV1().RoleBindings("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bindings.Items {
		if bindsPostern(b.Subjects) {
			g := grant{binding: b.RoleRef, namespace: b.Namespace, bindingName: b.Name}
			add(g, s.rulesOf(t, g))
		}
	}
	return all
}

func bindsPostern(subjects []rbacv1.Subject) bool {
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		return s.Kind == rbacv1.ServiceAccountKind && s.Namespace == "postern-system" && s.Name == "postern"
	})
}

// rulesOf returns the rules of our own roles. Other roles can only be unbound.
func (s *suite) rulesOf(t *testing.T, g grant) []rbacv1.PolicyRule {
	t.Helper()
	switch {
	case !strings.HasPrefix(g.binding.Name, "postern"):
		return []rbacv1.PolicyRule{{Verbs: []string{"bind"}, APIGroups: []string{""},
			Resources: []string{g.binding.Name}}}
	case g.binding.Kind == "ClusterRole":
		role, err := s.Kube.RbacV1().ClusterRoles().Get(t.Context(), g.binding.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return role.Rules
	default:
		role, err := s.Kube.RbacV1().Roles(g.namespace).Get(t.Context(), g.binding.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return role.Rules
	}
}

func permissionsIn(rules []rbacv1.PolicyRule) []permission {
	var all []permission
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, verb := range rule.Verbs {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, name := range names {
						all = append(all, permission{verb, group, resource, name})
					}
				}
			}
		}
	}
	return all
}

// take revokes one permission. giveBack restores it. Both return once the kube-apiserver has seen the change.
func (w *world) take(g grant, p permission) (giveBack func()) {
	w.T.Helper()
	if p.verb == "bind" {
		return w.unbind(g)
	}
	all := w.rulesOf(w.T, g)
	w.setRules(g, slices.DeleteFunc(ruleEach(permissionsIn(all)), func(r rbacv1.PolicyRule) bool {
		return permissionsIn([]rbacv1.PolicyRule{r})[0] == p
	}))
	w.untilAllowed(g, p, false)
	return func() {
		w.setRules(g, all)
		w.untilAllowed(g, p, true)
	}
}

func ruleEach(permissions []permission) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	for _, p := range permissions {
		rule := rbacv1.PolicyRule{Verbs: []string{p.verb}, APIGroups: []string{p.group},
			Resources: []string{p.resource}}
		if p.name != "" {
			rule.ResourceNames = []string{p.name}
		}
		rules = append(rules, rule)
	}
	return rules
}

func (w *world) setRules(g grant, rules []rbacv1.PolicyRule) {
	w.T.Helper()
	rbac := w.Kube.RbacV1()
	meta := metav1.ObjectMeta{Name: g.binding.Name, Namespace: g.namespace}
	var err error
	if g.binding.Kind == "ClusterRole" {
		meta.Namespace = ""
		_, err = rbac.ClusterRoles().Update(w.T.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules},
			metav1.UpdateOptions{})
	} else {
		_, err = rbac.Roles(g.namespace).Update(w.T.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: rules},
			metav1.UpdateOptions{})
	}
	if err != nil {
		w.T.Fatal(err)
	}
}

// unbind revokes a whole role by removing all subjects of its binding.
func (w *world) unbind(g grant) (bind func()) {
	w.T.Helper()
	postern := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "postern-system", Name: "postern"}
	set := func(subjects ...rbacv1.Subject) {
		rbac := w.Kube.RbacV1()
		meta := metav1.ObjectMeta{Name: g.bindingName, Namespace: g.namespace}
		var err error
		if g.namespace == "" {
			_, err = rbac.ClusterRoleBindings().Update(w.T.Context(),
				&rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: g.binding, Subjects: subjects},
				metav1.UpdateOptions{})
		} else {
			_, err = rbac.RoleBindings(g.namespace).Update(w.T.Context(),
				&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: g.binding, Subjects: subjects}, metav1.UpdateOptions{})
		}
		if err != nil {
			w.T.Fatal(err)
		}
	}
	sample := permission{resource: g.binding.Name}.sample()
	set()
	w.untilAllowed(g, sample, false)
	return func() {
		set(postern)
		w.untilAllowed(g, sample, true)
	}
}

// sample returns the permission, or one that a whole role grants.
func (p permission) sample() permission {
	if sample, found := samples[p.resource]; found {
		return sample
	}
	return p
}

// samples have one permission of each whole role.
var samples = map[string]permission{
	"postern":               {"patch", "stoker.io", "gatewaysyncs", ""},
	"system:auth-delegator": {"create", "authentication.k8s.io", "tokenreviews", ""},
	"extension-apiserver-authentication-reader": {"get", "", "configmaps", "extension-apiserver-authentication"},
}

// untilAllowed waits until the kube-apiserver's decision is want.
func (w *world) untilAllowed(g grant, p permission, want bool) {
	w.T.Helper()
	w.eventually(func() error {
		review, err := w.Kube.AuthorizationV1().SubjectAccessReviews().Create(w.T.Context(),
			&authorizationv1.SubjectAccessReview{
				Spec: authorizationv1.SubjectAccessReviewSpec{
					User: posternUser, Groups: []string{"system:serviceaccounts",
						"system:serviceaccounts:postern-system", "system:authenticated"},
					ResourceAttributes: &authorizationv1.ResourceAttributes{
						Namespace: g.namespace, Verb: p.verb, Group: p.group, Resource: p.resource, Name: p.name,
					},
				},
			}, metav1.CreateOptions{})
		if err == nil && review.Status.Allowed != want {
			err = errors.New("the kube-apiserver's decision has not changed yet")
		}
		return err
	})
}

// refusals counts the requests denied to Postern, by permission with and without the requested name.
func (s *suite) refusals(t *testing.T) map[permission]int {
	t.Helper()
	log, err := os.ReadFile(s.AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	refused := map[permission]int{}
	for line := range bytes.Lines(log) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // an incomplete line is still being written
		}
		event := auditv1.Event{}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatal(err)
		}
		if ref := event.ObjectRef; ref != nil && event.ResponseStatus != nil &&
			event.ResponseStatus.Code == http.StatusForbidden {
			p := permission{event.Verb, ref.APIGroup, ref.Resource, ""}
			refused[p]++
			if p.name = ref.Name; p.name != "" {
				refused[p]++
			}
		}
	}
	return refused
}
