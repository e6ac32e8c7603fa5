// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package ui tests the page of "kubectl postern ui" in a browser, Chromium, with a real control plane that has many
// deliveries: what is shown and how fast, that it can be used by keyboard and screen reader, by axe-core, and without
// JavaScript. "make test-ui" runs it; "make screenshots" also writes the screenshots of the documentation.
package ui

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

const (
	root      = "../../"
	namespace = "demo"
	// manyRecords are as many as Postern stores by default.
	manyRecords = 10_000
)

// cluster is shared by all tests. Each runs its own command and opens its own pages.
var (
	cluster *testcluster.Cluster
	postern *controlplane.Postern
)

func TestMain(m *testing.M) {
	testcluster.Main(m, start, stop)
}

func start(ctx context.Context) (err error) {
	if cluster, err = testcluster.Start(ctx, controlplane.Options{}); err != nil {
		return err
	}
	if err = populate(ctx); err != nil {
		return errors.Join(err, stop(ctx))
	}
	return nil
}

func stop(ctx context.Context) error {
	var err error
	if postern != nil {
		err = postern.Kill()
	}
	return errors.Join(err, cluster.Stop(ctx))
}

// populate makes a namespace as a team of some Applications has it after three days.
func populate(ctx context.Context) (err error) {
	if err := cluster.Install(ctx); err != nil {
		return err
	}
	// Some more than are created, so that none is deleted.
	if postern, err = cluster.StartPostern(ctx, controlplane.PosternOptions{
		Flags: []string{"--max-deliveries=11000", "--max-delivery-bytes=268435456"},
	}); err != nil {
		return err
	}
	manifest := `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "` + namespace + `"}}`
	if _, err := cluster.Kubectl(ctx, manifest, "apply", "--server-side", "--filename=-"); err != nil {
		return err
	}
	for _, file := range []string{
		"artifacts/examples/gatewaysync.yaml", "artifacts/examples/application.yaml",
		"hack/local/samples/applications-of-images.yaml", "test/ui/testdata/objects.yaml",
	} {
		if _, err := cluster.Kubectl(ctx, "", "apply", "--server-side", "--filename="+file); err != nil {
			return err
		}
	}
	if err := untilBrokenIsFrozen(ctx); err != nil {
		return err
	}
	samples, err := deliverSamples(ctx)
	if err != nil {
		return err
	}
	return copyRecords(ctx, samples, manyRecords-len(samples))
}

// untilBrokenIsFrozen waits until the policy for the Application broken is in force.
func untilBrokenIsFrozen(ctx context.Context) error {
	return wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := cluster.Kubectl(ctx, "", "annotate", "application", "broken", "--namespace="+namespace, "x=y",
			"--dry-run=server")
		return err != nil && strings.Contains(err.Error(), "frozen"), nil
	})
}

// The senders of the samples. GitHub signs, the others have a token of a ServiceAccount.
const (
	byGitHub = "github"
	byCI     = "ci"
	byHarbor = "harbor"
	// signingSecret is also in testdata/objects.yaml.
	signingSecret = "signing-secret-of-a-test"
)

// sample is a webhook that is really delivered, to be copied.
type sample struct {
	by     string
	path   string // below webhookdeliveries' parent
	header map[string]string
	body   string
	// weight is how often it is copied, compared with the others.
	weight int
	wants  v1alpha1.DeliveryPhase
}

const (
	gitHubPush = `{"ref": "refs/heads/%s", "after": "%s", "repository": {"full_name": "example/shop",
		"clone_url": "https://github.com/example/shop.git", "default_branch": "main"}, "commits": []}`
	harborPush = `{"type": "PUSH_ARTIFACT", "occur_at": %d, "event_data": {
		"resources": [{"digest": "sha256:9c1185a5c5e9fc54612808977ee8f548b2258d31f2fadef0d9f0f2f7f0d52b51",
		"tag": "%s", "resource_url": "harbor.example.com/team/till:%[2]s"}],
		"repository": {"name": "till", "namespace": "team", "repo_full_name": "team/till"}}}`
	gitHubRelease = `{"action": "published", "release": {"tag_name": "%s", "published_at": "%s"},
		"repository": {"full_name": "example/shop", "clone_url": "https://github.com/example/shop.git"}}`
	dockerHubPush = `{"push_data": {"tag": "2.0.0", "pushed_at": 1772616645}, "repository":
		{"repo_name": "example/cart", "name": "cart", "namespace": "example"}}`
	commit = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
)

// What the samples come to.
const (
	applied    = v1alpha1.DeliveryApplied
	ignored    = v1alpha1.DeliveryIgnored
	superseded = v1alpha1.DeliverySuperseded
	failed     = v1alpha1.DeliveryFailed
)

func gitHub(event string, number int) map[string]string {
	id := fmt.Sprintf("0c2f7c0e-8d5e-4c57-9a55-%012d", number)
	return map[string]string{"X-GitHub-Event": event, "X-GitHub-Delivery": id}
}

// samples are in the order in which they are delivered.
func samples() []sample {
	const source, shop, plant = "webhooksources/", "applications/shop", "gatewaysyncs/plant"
	push, branch := fmt.Sprintf(gitHubPush, "main", commit), fmt.Sprintf(gitHubPush, "feature/search", commit)
	release := fmt.Sprintf(gitHubRelease, "v2.0.0", "2026-03-04T05:06:07Z")
	older := fmt.Sprintf(gitHubRelease, "v1.9.0", "2026-03-04T04:00:00Z")
	now := time.Now().Unix()
	return []sample{
		{byGitHub, source + "github", gitHub("ping", 1), `{"zen": "Keep it simple.", "hook_id": 1}`, 2, ignored},
		{byGitHub, shop, gitHub("push", 2), push, 30, applied},
		{byHarbor, source + "harbor", nil, fmt.Sprintf(harborPush, now-60, "2.1.0"), 25, applied},
		{byHarbor, source + "harbor", nil, fmt.Sprintf(harborPush, now-600, "2.0.2"), 4, ignored},
		{byCI, plant, nil, `{"ref": "v1.4.0"}`, 12, applied},
		{byHarbor, source + "docker.io", nil, dockerHubPush, 8, ignored},
		{byGitHub, source + "github", gitHub("push", 3), branch, 14, ignored},
		{byCI, "applications/broken", nil, `{"ref": "v3.0.0"}`, 3, failed},
		{byCI, plant, nil, `{"ref": "v1.5.0-rc.1"}`, 6, applied},
		{byGitHub, shop, gitHub("release", 4), release, 4, applied},
		{byGitHub, shop, gitHub("release", 5), older, 7, superseded},
	}
}

// send delivers a webhook as its sender does.
func send(ctx context.Context, w sample) error {
	config, err := cluster.AnonymousConfig()
	if err != nil {
		return err
	}
	header := maps.Clone(w.header)
	if w.by == byGitHub {
		header["X-Hub-Signature-256"] = testcluster.Sign(signingSecret, w.body)
	} else if config.BearerToken, err = cluster.ServiceAccountToken(ctx, namespace, w.by, time.Hour); err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	s := testcluster.Sender{Client: client, Base: cluster.Address() + testcluster.NamespacePath(namespace)}
	req, err := s.NewRequest(ctx, http.MethodPost, w.path+"/webhookdeliveries", strings.NewReader(w.body), header)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := s.Do(req)
	if err != nil {
		return err
	}
	want := `"phase":"` + string(w.wants) + `"`
	if w.wants == failed {
		want = "the target can't be written" // such a delivery is recorded, and answered with an error
	}
	if !strings.Contains(string(answer.Body), want) {
		return fmt.Errorf("a webhook to %s was answered %d, want it %s: %s", w.path, answer.Code, w.wants, answer.Body)
	}
	return nil
}

// deliverSamples delivers the samples and returns their records, in that order.
func deliverSamples(ctx context.Context) ([]weighted, error) {
	var all []weighted
	known := map[string]bool{}
	for i, w := range samples() {
		err := send(ctx, w)
		if i == 0 { // permissions and secrets take effect with a delay
			err = wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
				return send(ctx, w) == nil, nil
			})
		}
		if err != nil {
			return nil, err
		}
		list, err := cluster.Deliveries.PosternV1alpha1().WebhookDeliveries(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for _, d := range list.Items {
			if !known[d.Name] {
				known[d.Name] = true
				all = append(all, weighted{d.Name, string(d.UID), w.weight})
			}
		}
	}
	return all, nil
}
