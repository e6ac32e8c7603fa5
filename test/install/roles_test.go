// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	api      = "/apis/postern.dev/v1alpha1/namespaces/demo/"
	byTarget = api + "gatewaysyncs/plant/webhookdeliveries"
	bySource = api + "webhooksources/generic/webhookdeliveries"
)

// actions are attempts of a user with a role, as arguments of kubectl. All are dry runs.
var actions = []struct {
	name, stdin string
	args        []string
}{
	{"deliver to a GatewaySync", `{"ref": "v2"}`,
		[]string{"create", "--raw=" + byTarget + "?dryRun=All", "--filename=-"}},
	{"deliver to an Application", `{"ref": "v2"}`,
		[]string{"create", "--raw=" + api + "applications/shop/webhookdeliveries?dryRun=All", "--filename=-"}},
	{"deliver by source", `{"ref": "v2"}`, []string{"create", "--raw=" + bySource + "?dryRun=All", "--filename=-"}},
	{"deliver by an object", byHand, []string{"create", "--dry-run=server", "--filename=-"}},
	{"deliver again", "", []string{"create", "--raw=" + api + "webhookdeliveries/first/redeliver?dryRun=All",
		"--filename=-"}},
	{"list deliveries", "", []string{"get", "webhookdeliveries"}},
	{"get a delivery", "", []string{"get", "webhookdelivery/first"}},
	{"watch deliveries", "", []string{"get", "--raw=" + api + "webhookdeliveries?watch=true&timeoutSeconds=1"}},
	{"list the deliveries to a target", "", []string{"get", "--raw=" + byTarget}},
	{"list the deliveries of a source", "", []string{"get", "--raw=" + bySource}},
	{"list sources", "", []string{"get", "webhooksources"}},
	{"get a source", "", []string{"get", "webhooksource/github"}},
	{"delete a delivery", "", []string{"delete", "webhookdelivery/first", "--dry-run=server"}},
	{"delete all deliveries", "", []string{"delete", "--raw=" + api + "webhookdeliveries?dryRun=All"}},
	{"change a target", "", []string{"annotate", "gatewaysync/plant", "changed=yes", "--dry-run=server"}},
	{"read the secrets", "", []string{"get", "secrets"}},
}

const byHand = `{"apiVersion": "postern.dev/v1alpha1", "kind": "WebhookDelivery",
	"metadata": {"generateName": "by-hand-"}, 
	"spec": {"target": {"kind": "GatewaySync", "name": "plant"}, "ref": "v2"}}`

func TestRoles_AllowOnlyTheirPurpose(t *testing.T) {
	c := start(t)
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.run()
	c.mustDeliver()
	c.MustKubectl(c.t, "", "apply", "--filename=artifacts/examples/application.yaml")

	deliver := []string{"deliver to a GatewaySync", "deliver to an Application", "deliver by source"}
	look := []string{
		"list deliveries", "get a delivery", "watch deliveries", "list the deliveries to a target",
		"list the deliveries of a source",
		"list sources", "get a source",
	}
	clean := []string{"delete a delivery", "delete all deliveries"}
	own := []string{"deliver by an object", "deliver again"}
	for role, want := range map[string][]string{
		"postern-sender":  deliver,
		"postern-viewer":  look,
		"postern-cleaner": clean,
		"postern-admin":   slices.Concat(deliver, look, clean, own),
	} {
		t.Run(role, func(t *testing.T) {
			got := c.allowed(t, role)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("allowed actions (-want +got):\n%s", diff)
			}
		})
	}
}

// allowed returns the actions that a user with the role can do in the namespace demo.
func (c *cluster) allowed(t *testing.T, role string) []string {
	user := "user-of-" + role
	c.MustKubectl(c.t, "", "create", "rolebinding", role, "--namespace=demo", "--clusterrole="+role, "--user="+user)
	kubeconfig, err := c.Kubeconfig(user)
	if err != nil {
		t.Fatal(err)
	}
	var allowed []string
	for _, action := range actions {
		cmd := c.KubectlCommand(t.Context(), kubeconfig, append(action.args, "--namespace=demo")...)
		cmd.Stdin = strings.NewReader(action.stdin)
		out, err := cmd.CombinedOutput()
		switch {
		case err == nil:
			allowed = append(allowed, action.name)
		case !strings.Contains(string(out), "forbidden"):
			t.Errorf("%s: neither allowed nor forbidden: %v: %s", action.name, err, out)
		}
	}
	slices.Sort(allowed)
	return allowed
}

// A controller copies the rules of roles into the roles that select them. No controller runs here, so the test
// evaluates the selectors.
func TestRoles_AggregateToClusterRoles(t *testing.T) {
	c := start(t)
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	var roles rbacv1.ClusterRoleList
	if err := json.Unmarshal([]byte(c.MustKubectl(c.t, "", "get", "clusterroles", "--output=json")),
		&roles); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, name := range []string{"view", "edit", "admin"} {
		for _, taken := range aggregatedInto(t, name, roles.Items) {
			if strings.HasPrefix(taken, "postern") {
				got[name] = append(got[name], taken)
			}
		}
	}
	want := map[string][]string{
		"view":  {"postern-viewer"},
		"edit":  {"postern-viewer"},
		"admin": {"postern-cleaner", "postern-viewer"}, // neither of them delivers
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("our roles that are aggregated into others (-want +got):\n%s", diff)
	}
}

// aggregatedInto returns the names of the roles that a role selects, transitively.
func aggregatedInto(t *testing.T, name string, all []rbacv1.ClusterRole) []string {
	t.Helper()
	var names []string
	for _, role := range all {
		if role.Name != name || role.AggregationRule == nil {
			continue
		}
		for _, selector := range role.AggregationRule.ClusterRoleSelectors {
			selects, err := metav1.LabelSelectorAsSelector(&selector)
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range all {
				if selects.Matches(labels.Set(other.Labels)) {
					names = append(append(names, other.Name), aggregatedInto(t, other.Name, all)...)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
