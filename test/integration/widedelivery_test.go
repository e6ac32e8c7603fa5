// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
)

// served returns the number of requests for objects of a resource that the kube-apiserver has answered.
func (w *world) served(verb, resource string) int {
	w.T.Helper()
	return int(w.apiServerMetrics("apiserver_request_total{").Sum(`resource="`+resource+`"`, `verb="`+verb+`"`))
}

func TestFanout_ManyUnmatchedTagsCostOneRead(t *testing.T) {
	const targets, tags = 20, 256
	w := newWorld(t)
	subject, token := w.serviceAccount("quay")
	w.allow(subject, "webhooksources", "quay.io")
	quay := w.sender(token)
	want := map[string]string{}
	for i := range targets {
		name := fmt.Sprintf("app-%d", i)
		w.runningShop(name, "quay.io/team/shop:9.9.9",
			"argocd-image-updater.argoproj.io/image-list: shop=quay.io/team/shop")
		want[name] = "Skipped OlderVersion"
	}
	push := func(tags int) request {
		var updated []string
		for i := range tags {
			updated = append(updated, fmt.Sprintf("1.0.%d", i))
		}
		return request{body: string(mustJSON(t, map[string]any{"name": "shop", "repository": "team/shop",
			"namespace":  "team",
			"docker_url": "quay.io/team/shop", "homepage": "https://quay.io/repository/team/shop",
			"updated_tags": updated}))}
	}
	w.untilFound(quay, sourcePath("quay.io"), push(1), want)

	gets, lists, patches := w.served("GET", "applications"), w.served("LIST", "imageupdaters"),
		w.served("PATCH", "applications")
	d := quay.mustPost(t, sourcePath("quay.io"), push(tags).body, nil, http.StatusAccepted).delivery(t)
	message := fmt.Sprintf("0 written, 0 unchanged, %d skipped, 0 superseded, 0 pending, 0 failed", targets*tags)
	if d.Status.Phase != v1alpha1.DeliveryIgnored || d.Status.Message != message {
		t.Errorf("got %s, %s; want Ignored, %s", d.Status.Phase, d.Status.Message, message)
	}
	if got := w.served("GET", "applications") - gets; got > targets {
		t.Errorf("%d targets were read %d times", targets, got)
	}
	if got := w.served("LIST", "imageupdaters") - lists; got > 1 {
		t.Errorf("ImageUpdater objects were listed %d times", got)
	}
	if got := w.served("PATCH", "applications") - patches; got != 0 {
		t.Errorf("%d patches", got)
	}
}
