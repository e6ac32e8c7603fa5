// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern.dev/postern/test/testcluster"
)

// argoEvents is our example of a Sensor, and the directory that takes the place of the file system of its Pod.
type argoEvents struct {
	*world
	root   string
	sensor string
}

func newArgoEvents(t *testing.T) *argoEvents {
	t.Helper()
	needsPrograms(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root, to put the secrets where Argo Events reads them")
	}
	w := newWorld(t)
	subject, token := w.ServiceAccount("sender", time.Hour)
	w.Grant(subject, "create", "gatewaysyncs/webhookdeliveries", "plant")
	w.Grant(subject, "create", "webhooksources/webhookdeliveries", "cloudevents")
	a := &argoEvents{world: w, root: t.TempDir()}
	a.sensor = replaceEach(t, readRepositoryFile(t, "artifacts/senders/argo-events-sensor.yaml"),
		"https://kubernetes.default.svc", w.Address(), "namespaces/demo", "namespaces/"+w.Namespace)
	secret := filepath.Join(a.root, "argo-events/secrets/deliver")
	if err := os.MkdirAll(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, secret, "authorization", "Bearer "+token)
	writeFile(t, secret, "ca.crt", readFile(t, w.CAFile()))
	program, err := os.ReadFile(filepath.Join(checkout(t), "bin/senders/argo-events"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.root, "argo-events/sensor"), program, 0o700); err != nil {
		t.Fatal(err)
	}
	return a
}

// trigger runs the triggers of the Sensor for a webhook with the body, which an EventSource received.
func (a *argoEvents) trigger(id string, body any) (output string, err error) {
	a.T.Helper()
	event, err := json.Marshal(map[string]any{
		"context": map[string]any{
			"id": id, "source": "ci", "subject": "built", "type": "webhook", "specversion": "1.0",
			"datacontenttype": "application/json", "time": "2026-03-04T09:30:45Z",
		},
		"data": map[string]any{"header": map[string]any{"Content-Type": []string{"application/json"}}, "body": body},
	})
	if err != nil {
		a.T.Fatal(err)
	}
	writeFile(a.T, a.root, "sensor.yaml", a.sensor)
	writeFile(a.T, a.root, "event.json", string(event))
	cmd := exec.CommandContext(a.T.Context(), "/argo-events/sensor", "/sensor.yaml", "/event.json")
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Chroot: a.root}, "/"
	cmd.Err = nil // the program is below the root
	var all bytes.Buffer
	cmd.Stdout, cmd.Stderr = &all, &all
	err = cmd.Run()
	return all.String(), err
}

func TestArgoEvents(t *testing.T) {
	reacted := scenario(t, "Argo Events: a Sensor's HTTP triggers to a GatewaySync and an Application's override")
	a := newArgoEvents(t)
	shop := "registry.example.com/team/shop"
	a.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
	a.runningShop("shop", shop+":1.4.0", map[string]string{
		"argocd-image-updater.argoproj.io/image-list": "shop=" + shop + ":~1",
	})
	var output string
	triggered := time.Now()
	a.Eventually(testcluster.Patience, func() (err error) { // until the permissions are in effect
		triggered = time.Now()
		output, err = a.trigger("1f0c", map[string]any{"image": "team/shop", "tag": "1.4.1"})
		return err
	})
	logs := func() string { return output }
	a.waitRequestedRef("plant", "1.4.1", logs)
	a.waitOverride("shop", shop+":1.4.1", logs)
	reacted(triggered)

	// What a tag contains stays a text in the payload.
	if output, err := a.trigger("1f0d", map[string]any{
		"image": "team/shop", "tag": `1.4.2","ref":"main`,
	}); err == nil || !strings.Contains(output, "400 Bad Request") {
		t.Errorf("a tag with quotes: %v, %s", err, output)
	}
	// An event without the tag sends nothing.
	if output, err := a.trigger("1f0e", map[string]any{"image": "team/shop"}); err == nil ||
		strings.Contains(output, "HTTP") {
		t.Errorf("no tag: %v, %s", err, output)
	}
	// With a token that is not valid, the trigger fails, so that Argo Events tries again.
	writeFile(t, filepath.Join(a.root, "argo-events/secrets/deliver"), "authorization", "Bearer wrong")
	if output, err := a.trigger("1f0f", map[string]any{"image": "team/shop", "tag": "1.4.3"}); err == nil ||
		!strings.Contains(output, "401 Unauthorized") {
		t.Errorf("a wrong token: %v, %s", err, output)
	}
	a.checkRequests("request 1.4.1", "com.example.image.pushed team/shop:1.4.1")
}
