// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bufio"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// deliver delivers a ref to the GatewaySync plant and returns the record.
func deliver(s *testcluster.Sandbox, ref string) *v1alpha1.WebhookDelivery {
	s.T.Helper()
	created, err := cluster.Deliveries.PosternV1alpha1().WebhookDeliveries(s.Namespace).Create(s.T.Context(),
		&v1alpha1.WebhookDelivery{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
			Spec: v1alpha1.WebhookDeliverySpec{
				Target: &v1alpha1.TargetReference{Kind: v1alpha1.TargetGatewaySync, Name: "plant"}, Ref: ref,
			},
		}, metav1.CreateOptions{})
	if err != nil {
		s.T.Fatal(err)
	}
	return created
}

func records(s *testcluster.Sandbox) int {
	s.T.Helper()
	list, err := cluster.Deliveries.PosternV1alpha1().WebhookDeliveries(s.Namespace).List(s.T.Context(),
		metav1.ListOptions{})
	if err != nil {
		s.T.Fatal(err)
	}
	return len(list.Items)
}

// newPlant creates a namespace with the GatewaySync plant.
func newPlant(t *testing.T) *testcluster.Sandbox {
	t.Helper()
	s := cluster.NewSandbox(t)
	s.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	return s
}

// bind gives a user one of the roles that Postern installs, in the namespace.
func bind(s *testcluster.Sandbox, user, role string) {
	s.T.Helper()
	_, err := cluster.Kube.RbacV1().RoleBindings(s.Namespace).Create(s.T.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}, metav1.CreateOptions{})
	if err != nil {
		s.T.Fatal(err)
	}
}

func kubeconfig(t *testing.T, user string, groups ...string) string {
	t.Helper()
	path, err := cluster.Kubeconfig(user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A reader of one namespace sees it, and is told what the permissions leave out.
func TestUI_HasThePermissionsOfItsUser(t *testing.T) {
	s := newPlant(t)
	d := deliver(s, "v1.4.0")
	bind(s, "reader", "postern-viewer")
	p := open(t, kubeconfig(t, "reader"), s.Namespace)
	s.Eventually(testcluster.Patience, func() error { // permissions take effect with a delay
		_, body := p.get("deliveries?namespace=" + s.Namespace)
		return wantText(body, d.Name)
	})
	p.expect(http.StatusOK, "deliveries?namespace="+s.Namespace, d.Name, "v1.4.0", "gatewaysync/plant", "Applied")
	p.expect(http.StatusOK, "delivery?namespace="+s.Namespace+"&name="+d.Name, d.Name, "v1.4.0", d.Status.AuditID,
		"The target can't be read now", "There are none, or you may not read them.")
	p.expect(http.StatusOK, "senders?namespace="+s.Namespace, "github", "webhooksources/github/webhookdeliveries")
	p.expect(http.StatusOK, "rates?namespace="+s.Namespace, "1 delivery")
	for _, other := range []string{"", "?namespace=default"} {
		p.expect(http.StatusOK, "deliveries"+other, "The deliveries can't be listed.", "is forbidden: User \"reader\"")
	}
	p.expect(http.StatusOK, "senders?namespace=default", "The senders can't be listed.")
	p.expect(http.StatusForbidden, "delivery?namespace=default&name=x", "is forbidden: User \"reader\"")
	p.expect(http.StatusNotFound, "delivery?namespace="+s.Namespace+"&name=missing",
		"There is no delivery missing in the namespace "+s.Namespace)
	body := p.expect(http.StatusOK, "redeliver?namespace="+s.Namespace+"&name="+d.Name, "It can't be redelivered.",
		"is forbidden: User \"reader\"")
	if strings.Contains(body, "<form") {
		t.Error("there is a form that can't work")
	}
	if n := records(s); n != 1 {
		t.Errorf("there are %d records, want 1", n)
	}
}

func wantText(body, text string) error {
	if strings.Contains(body, text) {
		return nil
	}
	return &missingText{text, body}
}

type missingText struct{ text, body string }

func (e *missingText) Error() string { return "the page does not contain " + e.text + ": " + e.body }

var formToken = regexp.MustCompile(`name="form" value="([^"]+)"`)

func TestUI_RedeliversOnceAfterADryRun(t *testing.T) {
	s := newPlant(t)
	first := deliver(s, "v1.4.0")
	deliver(s, "v1.5.0")
	p := open(t, cluster.AdminKubeconfig(), s.Namespace)
	path := "redeliver?namespace=" + s.Namespace + "&name=" + first.Name
	body := p.expect(http.StatusOK, path, "What a dry run says", "gatewaysync/plant", "v1.4.0", "v1.5.0")
	if n := records(s); n != 2 {
		t.Fatalf("asking has made a delivery: there are %d", n)
	}
	if ref := requestedRef(s); ref != "v1.5.0" {
		t.Fatalf("asking has changed the target to %s", ref)
	}
	token := formToken.FindStringSubmatch(body)
	if token == nil {
		t.Fatalf("the page has no form: %s", body)
	}
	form := url.Values{"form": {token[1]}}.Encode()
	for name, other := range map[string]string{"no token": "form=", "another token": "form=guess"} {
		if code, _ := p.request(http.MethodPost, path, other); code != http.StatusForbidden {
			t.Errorf("a form with %s was answered %d", name, code)
		}
	}
	code, body := p.request(http.MethodPost, path, form)
	if code != http.StatusOK || !strings.Contains(html.UnescapeString(body), "name="+first.Name) ||
		!strings.Contains(body, "Redelivery of") {
		t.Errorf("redelivering was answered %d: %s", code, body)
	}
	if code, _ := p.request(http.MethodPost, path, form); code != http.StatusForbidden {
		t.Errorf("the same form was answered %d a second time", code)
	}
	if n, ref := records(s), requestedRef(s); n != 3 || ref != "v1.4.0" {
		t.Errorf("there are %d records and the target has %s, want 3 and v1.4.0", n, ref)
	}
}

func requestedRef(s *testcluster.Sandbox) string {
	s.T.Helper()
	return s.Get(testcluster.GatewaySyncs, "plant").GetAnnotations()["stoker.io/requested-ref"]
}

// A page that was opened shows what is delivered later, and the command ends at once even so.
func TestUI_FollowsDeliveries(t *testing.T) {
	s := newPlant(t)
	deliver(s, "v1.0.0")
	p := open(t, cluster.AdminKubeconfig(), s.Namespace)
	p.browser.Timeout = testcluster.Patience // it bounds the wait for what the test expects
	resp, err := p.browser.Get(p.root + "deliveries?live=none&namespace=" + s.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	waitFor := func(text string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Fatalf("the stream ended before %q: %v", text, lines.Err())
	}
	waitFor("v1.0.0")
	d := deliver(s, "v2.0.0")
	waitFor(d.Name)
	if err := cluster.Deliveries.PosternV1alpha1().WebhookDeliveries(s.Namespace).Delete(t.Context(), d.Name,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	waitFor("Showing 1 to 1 of 1")
	p.interrupt()
}

// The page of a delivery says that it was deleted.
func TestUI_SaysThatADeliveryIsGone(t *testing.T) {
	s := newPlant(t)
	d := deliver(s, "v1.0.0")
	p := open(t, cluster.AdminKubeconfig(), s.Namespace)
	p.browser.Timeout = testcluster.Patience // it bounds the wait for what the test expects
	resp, err := p.browser.Get(p.root + "delivery?live=none&namespace=" + s.Namespace + "&name=" + d.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := cluster.Deliveries.PosternV1alpha1().WebhookDeliveries(s.Namespace).Delete(t.Context(), d.Name,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: Not updated: There is no delivery ") {
			return
		}
	}
	t.Fatalf("the stream ended before it said so: %v", lines.Err())
}

// Other users of the machine do not get in.
func TestUI_RefusesOthers(t *testing.T) {
	s := newPlant(t)
	p := open(t, cluster.AdminKubeconfig(), s.Namespace)
	other := &http.Client{}
	for _, path := range []string{"", "deliveries", "assets/style.css", "enter?token=guess"} {
		resp, err := other.Get(p.root + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%q was answered %d", path, resp.StatusCode)
		}
	}
}
