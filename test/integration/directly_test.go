// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"testing"

	"k8s.io/client-go/rest"
)

// directly is a sender that goes to Postern's own port, past the kube-apiserver.
func (w *world) directly(token string) sender {
	w.t.Helper()
	config := rest.AnonymousClientConfig(w.postern.DirectConfig())
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		w.t.Fatal(err)
	}
	return sender{client: client, base: config.Host + "/apis/postern.dev/v1alpha1/namespaces/" + w.namespace, token: token}
}

// The kube-apiserver has authorized what it relays. Whoever can reach Postern's own port gains nothing by that.
func TestPastTheKubeAPIServerRBACHoldsAndNobodyCanVouch(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	_, token := w.serviceAccount("stranger")
	vouched := map[string]string{"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}

	stranger := w.directly(token)
	stranger.mustPost(t, syncDoor("web"), `{"ref": "v1"}`, nil, http.StatusForbidden)
	stranger.mustPost(t, syncDoor("web"), `{"ref": "v1"}`, vouched, http.StatusForbidden)
	w.directly("").mustPost(t, syncDoor("web"), `{"ref": "v1"}`, vouched, http.StatusForbidden)
	if got := w.annotations(gatewaySyncs, "web"); len(got) > 0 {
		t.Errorf("somebody who may not deliver wrote %v", got)
	}

	w.directly(releaser.token).mustPost(t, syncDoor("web"), `{"ref": "v1"}`, nil, http.StatusAccepted)
	w.checkRequested("web", "v1", "generic")
}
