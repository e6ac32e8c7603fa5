// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"os"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// may reports whether a caller may create something in the namespace.
func (w *world) may(caller string, groups []string, group, resource, subresource, name string) bool {
	w.T.Helper()
	review, err := shared.Kube.AuthorizationV1().SubjectAccessReviews().Create(w.T.Context(),
		&authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: caller, Groups: groups, ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: w.Namespace, Verb: "create", Group: group, Resource: resource, Subresource: subresource,
				Name: name,
			},
		}}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return review.Status.Allowed
}

// mayOnly waits until a caller may deliver to an endpoint, and checks that it may nothing near.
func (w *world) mayOnly(caller string, groups []string, resource, name string) {
	w.T.Helper()
	const postern, deliveries = v1alpha1.GroupName, "webhookdeliveries"
	w.Eventually(testcluster.Patience, func() error {
		if !w.may(caller, groups, postern, resource, deliveries, name) {
			return os.ErrPermission
		}
		return nil
	})
	for _, other := range [][4]string{
		{postern, resource, deliveries, "other"}, {postern, resource, deliveries, ""}, {postern, deliveries, "", ""},
		{postern, "gatewaysyncs", deliveries, "never"}, {postern, "webhooksources", deliveries, "github"},
		{"", "secrets", "", ""}, {"stoker.io", "gatewaysyncs", "", name},
	} {
		if w.may(caller, groups, other[0], other[1], other[2], other[3]) {
			w.T.Errorf("%s may create %v", caller, other)
		}
	}
}

// What is printed can be applied with kubectl, and applying it again with the command changes nothing.
func TestGrant_PrintedIsWhatIsApplied(t *testing.T) {
	w := newWorld(t)
	grant := []string{"grant", "gatewaysync/plant", "--serviceaccount=" + w.Namespace + ":ci"}
	shared.MustKubectl(t, w.must("", grant...), "apply", "--server-side", "--field-manager=kubectl-postern",
		"--filename=-")
	name := serviceaccount.MakeUsername(w.Namespace, "ci")
	w.mayOnly(name, serviceaccount.MakeGroupNames(w.Namespace), "gatewaysyncs", "plant")

	roles := shared.Kube.RbacV1().Roles(w.Namespace)
	before, err := roles.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(before.Items) != 1 {
		t.Fatalf("there are the roles %v (error %v)", before, err)
	}
	w.must("", append(grant, "--apply")...)
	after, err := roles.Get(t.Context(), before.Items[0].Name, metav1.GetOptions{})
	if err != nil || after.ResourceVersion != before.Items[0].ResourceVersion {
		t.Errorf("the Role has changed (error %v)", err)
	}
}

func TestGrant_AnonymousBySource(t *testing.T) {
	w := newWorld(t)
	w.must("", "grant", "--source=docker.io", "--anonymous", "--apply")
	w.mayOnly(user.Anonymous, []string{user.AllUnauthenticated}, "webhooksources", "docker.io")
}

// A permission may be older than its target, but the user may also have misspelled it.
func TestGrant_WarnsOfMissingTarget(t *testing.T) {
	w := newWorld(t)
	for target, want := range map[string]string{
		"gatewaysync/plant": "",
		"app/never": "Warning: there is no application/never in the namespace " + w.Namespace +
			" yet: until then, deliveries to it are answered 404.\n",
	} {
		if r := w.run("", "grant", target, "--anonymous", "--apply"); r.code != 0 || r.err != want {
			t.Errorf("want the warning %q: %s", want, r)
		}
	}
}

// The token of the ServiceAccount delivers, and the file is for its owner only.
func TestGrant_TokenDelivers(t *testing.T) {
	w := newWorld(t)
	token := w.path("token")
	out := w.must("", "grant", "gatewaysync/plant", "--source=generic", "--serviceaccount="+w.Namespace+":ci",
		"--apply", "--token-out="+token)
	if !strings.Contains(out, "serviceaccount/ci serverside-applied\n") || strings.Contains(out, w.read("token")) {
		t.Errorf("unexpected output: %s", out)
	}
	if info, err := os.Stat(token); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v (error %v)", info.Mode(), err)
	}
	sent := w.untilSent(0, `{"ref": "v1.4.0"}`, "-", "gatewaysync/plant", "--source=generic", "--token-file="+token)
	want := v1alpha1.Sender{Name: serviceaccount.MakeUsername(w.Namespace, "ci"), Method: "ServiceAccount"}
	if got := w.record(sent.out).Status.Sender; got == nil || *got != want {
		t.Errorf("the delivery has the sender %v, want %v", got, want)
	}
	w.untilSent(2, `{"ref": "v1.4.0"}`, "-", "app/shop", "--source=generic", "--token-file="+token)
}

func TestGrant_RefusesWhatCannotWork(t *testing.T) {
	w := newWorld(t)
	w.fails(1, "GitHub can't send the token", "grant", "gatewaysync/plant", "--source=github",
		"--serviceaccount=demo:ci")
	w.fails(1, "Harbor can use no webhook secret", "grant", "--source=harbor", "--anonymous")
	w.fails(1, "NAMESPACE:NAME", "grant", "gatewaysync/plant", "--serviceaccount=ci")
	w.fails(1, "--token-out needs", "grant", "gatewaysync/plant", "--serviceaccount=demo:ci", "--token-out=token")
	w.fails(1, "is not a type of sender", "grant", "--source=gitub", "--anonymous")
	w.fails(1, "say who may deliver", "grant", "gatewaysync/plant")
}
