// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import "testing"

// TestReceiver reaches the classic receiver by kubectl port-forward.
func TestReceiver(t *testing.T) {
	w := newWorld(t)
	w.addVolume(w.Nodes()[0])
	w.kubectl("create", "namespace", system)
	w.kubectl("create", "secret", "generic", "postern-receiver-secrets", "--namespace="+system,
		"--from-literal=token=example-token")
	w.install("manifests/overlays/receiver", "")
	output := w.shell(`
kubectl port-forward -n postern-system pod/postern-0 18082:8082 > forward.log 2>&1 &
forward=$!
trap 'kill $forward' EXIT
until grep -q 'Forwarding from 127.0.0.1' forward.log; do kill -0 $forward || { cat forward.log; exit 1; }; done
for token in example-token another-token; do
  curl -k -sS -H "Authorization: Bearer $token" -d '{"ref": "v2.0.0"}' -o answer.json -w '%{http_code}\n' \
    https://127.0.0.1:18082/webhook/demo/plant
done
`)
	if want := "202\n401\n"; output != want {
		t.Errorf("the receiver answered %q, want %q", output, want)
	}
	if got := w.requestedRefs(t)["plant"]; got != "v2.0.0" {
		t.Errorf("plant was requested to use %q, want v2.0.0: %s", got, output)
	}
}
