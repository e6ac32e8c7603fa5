// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"net/http"
	"strings"
	"testing"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// InstallFrom treats warnings and unknown fields as errors.
func TestChart_InstallsAndDelivers(t *testing.T) {
	c := startControlPlane(t)
	c.MustKubectl(t, "", "create", "secret", "generic", "tokens", "--namespace="+namespace,
		"--from-literal=kargo=swordfish")
	for _, values := range [][]string{
		{"--values=test/chart/testdata/full.yaml"},
		{"--values=test/chart/testdata/receiver.yaml", "--set=fullnameOverride=hooks"},
		nil,
		{ // the last one is run
			"--values=test/chart/testdata/receiver.yaml", "--set=webhookReceiver.tls.disabled=true",
			"--set=webhookReceiver.hmac.secret=open-sesame",
			"--set=webhookReceiver.token.secretRef.name=tokens", "--set=webhookReceiver.token.secretRef.key=kargo",
		},
	} {
		// A StatefulSet's volume claims are immutable, so each installation starts from scratch.
		c.MustKubectl(t, "", "delete", "statefulset", "--all", "--namespace="+namespace)
		if err := c.InstallFrom(t.Context(), string(mustTemplate(t, values...))); err != nil {
			t.Fatal(err)
		}
	}
	postern := c.RunPostern(t, controlplane.PosternOptions{})
	c.MustKubectl(t, "", "create", "namespace", "demo")
	c.MustKubectl(t, "", "apply", "--filename=artifacts/examples/gatewaysync.yaml")

	c.MustKubectl(t, `{"apiVersion": "postern.dev/v1alpha1", "kind": "WebhookDelivery",
		"metadata": {"name": "first", "namespace": "demo"},
		"spec": {"target": {"kind": "GatewaySync", "name": "plant"}, "ref": "v1.4.0"}}`, "create", "--filename=-")
	mustRequest(t, c, "v1.4.0")

	address := "http://" + postern.ReceiverAddress() + "/webhook/demo/plant"
	mustPost(t, address, `{"ref": "v1.5.0"}`, "Authorization", "Bearer swordfish")
	mustRequest(t, c, "v1.5.0")
	const signed = `{"ref": "v1.6.0"}`
	mustPost(t, address, signed, "X-Hub-Signature-256", testcluster.Sign("open-sesame", signed))
	mustRequest(t, c, "v1.6.0")
}

// mustRequest checks the ref that the target has been requested to run.
func mustRequest(t *testing.T, c *testcluster.Cluster, want string) {
	t.Helper()
	ref := c.MustKubectl(t, "", "get", "gatewaysync/plant", "--namespace=demo",
		`--output=jsonpath={.metadata.annotations.stoker\.io/requested-ref}`)
	if ref != want {
		t.Errorf("the requested ref is %q, want %s", ref, want)
	}
}

// mustPost posts to the classic receiver with one header, and checks that it is accepted.
func mustPost(t *testing.T, url, body, header, value string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(header, value)
	answer, err := testcluster.Sender{Client: http.DefaultClient}.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Code != http.StatusAccepted {
		t.Fatalf("%s was answered %d: %s", body, answer.Code, answer.Body)
	}
}

func TestChart_RenamedRefersToNoDefaultName(t *testing.T) {
	rendered, err := run(t, nil, "bin/tools/helm", "template", "x", chartDir, "--namespace=webhooks",
		"--set=fullnameOverride=hooks", "--set=certManager.enabled=true",
		"--values=test/chart/testdata/receiver.yaml", "--values=test/chart/testdata/monitoring.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"postern-system", `job="postern"`, `job=\"postern\"`} {
		if strings.Contains(string(rendered), old) {
			t.Errorf("%s is still there", old)
		}
	}
	for key, object := range parse(t, rendered) {
		if name := object.GetName(); !strings.HasPrefix(name, "hooks") && object.GetKind() != "APIService" {
			t.Errorf("%s is missing", key)
		}
	}
}

func startControlPlane(t *testing.T) *testcluster.Cluster {
	t.Helper()
	c := testcluster.New(t, controlplane.Options{})
	c.MustKubectl(t, "", "create", "namespace", namespace)
	c.MustKubectl(t, "", "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted",
		"pod-security.kubernetes.io/warn=restricted")
	return c
}
