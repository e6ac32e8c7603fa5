// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/testcluster"
)

// The endpoints of the senders in tests, below a namespace.
const (
	byGitHub       = "webhooksources/github/webhookdeliveries"
	toShop         = "applications/shop/webhookdeliveries"
	toPlant        = "gatewaysyncs/plant/webhookdeliveries"
	allDeliveries  = "gatewaysyncs/webhookdeliveries,applications/webhookdeliveries,webhooksources/webhookdeliveries"
	githubIDHeader = "X-GitHub-Delivery"
)

// github sends the webhooks of a repository, signed and without a cluster identity.
type github struct {
	*world
	sender testcluster.Sender
	secret string
	// withoutTime omits the time of pushes, as other git hosts do.
	withoutTime bool
}

// github returns GitHub with a webhook for all that Postern serves in the namespace.
func (w *world) github() *github {
	w.T.Helper()
	g := &github{world: w, sender: w.anonymous(), secret: rand.Text()}
	w.SetWebhookSecrets(map[string]string{"webhook.github-secret": g.secret})
	w.allowUnauthenticated(allDeliveries)
	return g
}

// push reports that a ref, such as refs/heads/main, now is the commit.
func (g *github) push(path string, r *repository, ref, commit string) (*v1alpha1.WebhookDelivery, time.Time) {
	g.T.Helper()
	pushedAt := fmt.Sprintf(`, "pushed_at": %d`, time.Now().Unix())
	if g.withoutTime {
		pushedAt = ""
	}
	return g.send(path, "push", string(uuid.NewUUID()), fmt.Sprintf(`{"ref": %q, "after": %q, "deleted": false,
		"created": %t, "repository": {"full_name": "example/shop", "clone_url": %q%s}, "sender": {"login": "jane"},
		"head_commit": {"id": %q}}`,
		ref, commit, strings.HasPrefix(ref, "refs/tags/"), r.url, pushedAt, commit))
}

// release reports that a release was published.
func (g *github) release(path string, r *repository, tag string) (*v1alpha1.WebhookDelivery, time.Time) {
	g.T.Helper()
	return g.send(path, "release", string(uuid.NewUUID()), fmt.Sprintf(`{"action": "published",
		"release": {"tag_name": %q, "draft": false, "prerelease": false, "published_at": %q},
		"repository": {"full_name": "example/shop", "clone_url": %q}, "sender": {"login": "jane"}}`,
		tag, time.Now().UTC().Format(time.RFC3339), r.url))
}

func (g *github) send(path, event, id, body string) (*v1alpha1.WebhookDelivery, time.Time) {
	g.T.Helper()
	return g.post(g.sender, path, body, map[string]string{
		"Content-Type": "application/json", "X-GitHub-Event": event, githubIDHeader: id,
		"X-Hub-Signature-256": testcluster.Sign(g.secret, body),
	})
}
