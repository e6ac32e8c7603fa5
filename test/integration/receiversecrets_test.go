// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// namedWorld is newWorld with a fixed namespace name, for flags that must name it before the control plane starts.
func (s *suite) namedWorld(t *testing.T, name string) *world {
	t.Helper()
	if _, err := s.Kube.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return &world{s, s.Sandbox(t, name)}
}

// syncReceiver returns the path of a GatewaySync at the classic receiver.
func (w *world) syncReceiver(name string) string { return "webhook/" + w.Namespace + "/" + name }

// pushDocker pushes a tag of docker.io/example/shop to the classic receiver with the secret in the query. It returns
// the results as "namespace phase" or "error", or the code of another answer. The answer does not name the namespaces;
// they are looked up.
func (s *suite) pushDocker(t *testing.T, from sender, tag, secret string) []string {
	t.Helper()
	body := strings.ReplaceAll(payload(t, "docker.io/full.json").body, "1.4.0", tag)
	got, err := from.post(t.Context(), "webhook?type=docker.io&secret="+secret, []byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.code != http.StatusOK {
		return []string{http.StatusText(got.code)}
	}
	var reply arrivals
	got.decode(t, &reply)
	lines := []string{}
	for _, d := range reply.Deliveries {
		if d.Error != "" {
			lines = append(lines, "error")
			continue
		}
		lines = append(lines, s.namespaceOf(t, d.Delivery)+" "+d.Phase)
	}
	return lines
}

// namespaceOf returns the namespace of a delivery's record. Delivery names are practically unique.
func (s *suite) namespaceOf(t *testing.T, name string) string {
	t.Helper()
	all, err := s.Deliveries.PosternV1alpha1().WebhookDeliveries(metav1.NamespaceAll).List(t.Context(),
		metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all.Items {
		if d.Name == name {
			return d.Namespace
		}
	}
	return "nowhere"
}

func TestReceiver_NamespacesAndDefaultSecrets(t *testing.T) {
	hmacSecret, token, docker := newSecret(), newSecret(), newSecret()
	s, anonymous := newReceiverSuite(t, "listed,policed",
		"WEBHOOK_HMAC_SECRET="+hmacSecret, "WEBHOOK_BEARER_TOKEN="+token, "DOCKER_WEBHOOK_SECRET="+docker)
	listed, policed, unlisted := s.namedWorld(t, "listed"), s.namedWorld(t, "policed"), s.newWorld(t)
	for _, w := range []*world{listed, policed, unlisted} {
		w.gatewaySync("plant")
		w.runningShop("shop", "example/shop:1.0.0", "argocd-image-updater.argoproj.io/image-list: example/shop")
	}
	const body = `{"ref":"v1"}`
	listed.eventually(func() error { // until namespaces, targets and permissions are in the caches
		got, err := anonymous.post(t.Context(), listed.syncReceiver("plant"), []byte(body), byBearer(token)(body))
		if err == nil {
			err = answeredWith(http.StatusAccepted)(got)
		}
		return err
	})

	t.Run("a namespace that is not listed", func(t *testing.T) {
		for _, target := range []string{"plant", "missing"} {
			anonymous.mustPost(t, unlisted.syncReceiver(target), body, bySignature(hmacSecret)(body),
				http.StatusForbidden).
				mustBeError(t, http.StatusForbidden, "--webhook-namespaces")
			anonymous.mustPost(t, unlisted.syncReceiver(target), body, bySignature(newSecret())(body),
				http.StatusUnauthorized)
		}
		anonymous.mustPost(t, "webhook/no-such-namespace/plant", body, nil, http.StatusUnauthorized)
		anonymous.mustPost(t, listed.syncReceiver("missing"), body, byBearer(token)(body), http.StatusNotFound)
		unlisted.in(t).mustHaveRecords()
		if got := unlisted.annotations(gatewaySyncs, "plant"); len(got) > 0 {
			t.Errorf("the target has annotations: %v", got)
		}
	})
	t.Run("a default secret at an endpoint of the API", func(t *testing.T) {
		w := unlisted.in(t)
		w.allow(unauthenticated, "gatewaysyncs")
		w.untilAccepted(w.anonymous(), gatewaySyncPath("plant"), bySignature(hmacSecret))
		w.anonymous().mustDeliver(t, "plant", bySignature(hmacSecret), "HMAC")
		w.anonymous().mustBeRejected(t, "plant", byBearer(token)) // the kube-apiserver does not forward Authorization
		_, rows := w.sourceRows()
		for source, want := range map[string]string{"github": "true", "generic": "true", "docker.io": "true",
			"harbor": "false"} {
			if got := rows[source][2]; got != want {
				t.Errorf("SECRET of %s is %s, want %s", source, got, want)
			}
		}
	})
	t.Run("by type, in each listed namespace", func(t *testing.T) {
		want := []string{"listed Applied", "policed Applied"}
		if diff := cmp.Diff(want, s.pushDocker(t, anonymous, "1.1.0", docker)); diff != "" {
			t.Errorf("arrived (-want +got):\n%s", diff)
		}
		if got := unlisted.annotations(applications, "shop")["postern.dev/requested-ref"]; got != "" {
			t.Errorf("a namespace that is not listed got %s", got)
		}
	})
	t.Run("a namespace that rejects does not affect others", func(t *testing.T) {
		policed.in(t).policy("ValidatingAdmissionPolicy", onlyVersions, "validationActions: [Deny]")
		minor := 1
		policed.in(t).eventually(func() error {
			minor++
			got := s.pushDocker(t, anonymous, fmt.Sprintf("1.%d.0", minor), docker)
			if !slices.Equal(got, []string{"listed Applied", "error"}) {
				return fmt.Errorf("arrived: %q", got)
			}
			return nil
		})
	})
	t.Run("a namespace's own secret replaces the default", func(t *testing.T) {
		w, own := listed.in(t), newSecret()
		w.secret(map[string]string{"hmac": own, "webhook.docker-secret": " \n"})
		w.untilAccepted(anonymous, w.syncReceiver("plant"), bySignature(own))
		for name, p := range map[string]proof{"hmac": bySignature(hmacSecret), "token": byBearer(token)} {
			got := anonymous.mustPost(t, w.syncReceiver("plant"), body, p(body), http.StatusUnauthorized)
			if strings.Contains(string(got.body), "listed") {
				t.Errorf("%s: the answer reveals the namespace: %s", name, got.body)
			}
		}
		minor := 100
		w.eventually(func() error { // until the policy of the other namespace is deleted
			minor++
			got := s.pushDocker(t, anonymous, fmt.Sprintf("1.%d.0", minor), docker)
			if slices.Contains(got, "listed Applied") {
				t.Fatalf("arrived, although the endpoint is disabled: %q", got)
			}
			if !slices.Equal(got, []string{"policed Applied"}) {
				return fmt.Errorf("arrived: %q", got)
			}
			return nil
		})
	})
}
