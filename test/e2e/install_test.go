// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestInstall(t *testing.T) {
	w := newWorld(t)
	w.addVolume(w.Nodes()[0])
	w.install("manifests/base", "")

	t.Run("the delivery of a CI job in the README", func(t *testing.T) {
		output := w.shell(deliveryOfJob(t))
		for _, want := range []string{": Applied\n", "gatewaysync/plant   v1.4.0   Applied", "\nv1.4.0\n"} {
			if !strings.Contains(output, want) {
				t.Errorf("the output lacks %q:\n%s", want, output)
			}
		}
	})
	t.Run("anonymous with a signature", func(t *testing.T) {
		output := w.shell(signedDelivery)
		if want := "\n202\n401\n"; !strings.HasSuffix(output, want) {
			t.Errorf("the output does not end with %q:\n%s", want, output)
		}
		if got := w.requestedRefs(t)["plant"]; got != "v1.5.0" {
			t.Errorf("plant was requested to use %q, want v1.5.0", got)
		}
	})
	records := w.records(t)
	if len(records) != 2 {
		t.Errorf("there are %d records, want 2: %v", len(records), records)
	}
}

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// deliveryOfJob returns the commands of the README about the GatewaySync: those of a CI job, and what shows its effect.
func deliveryOfJob(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(suite.repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Set up a sender\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var script strings.Builder
	for _, block := range shellBlock.FindAllStringSubmatch(section, -1) {
		if strings.Contains(block[1], "gatewaysync") {
			script.WriteString(block[1])
		}
	}
	if !strings.Contains(script.String(), "kubectl postern send") {
		t.Fatal("the README has no delivery of a CI job")
	}
	return script.String()
}

// signedDelivery prints the status codes of a release with the right signature, and with another one.
const signedDelivery = `
API=$(kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}')
kubectl config view --raw --minify --flatten -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' |
  base64 -d > ca.crt
kubectl create role github-anonymous -n demo --verb=create \
  --resource=gatewaysyncs.postern.dev/webhookdeliveries --resource-name=plant
kubectl create rolebinding github-anonymous -n demo --role=github-anonymous --group=system:unauthenticated
kubectl create secret generic postern-webhook-secrets -n demo --from-literal=webhook.github-secret=example-secret
until [ "$(kubectl get webhooksources github -n demo -o jsonpath='{.status.hasSecret}')" = true ]; do :; done
body='{"action": "published", "release": {"tag_name": "v1.5.0"},
  "repository": {"clone_url": "https://github.com/example/plant.git"}}'
for secret in example-secret another-secret; do
  signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$secret" -r | cut -d' ' -f1)
  curl -sS --cacert ca.crt -H 'Content-Type: application/json' -H 'X-GitHub-Event: release' \
    -H "X-GitHub-Delivery: of-$secret" -H "X-Hub-Signature-256: sha256=$signature" --data-binary "$body" \
    -o answer.json -w '%{http_code}\n' \
    "$API/apis/postern.dev/v1alpha1/namespaces/demo/gatewaysyncs/plant/webhookdeliveries"
done
`
