// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strings"
)

// gitHubRelease has the relevant fields of GitHub's release event, and a few more:
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#release
//
//go:embed samples/github-release.json
var gitHubRelease string

func (p *demoRun) gitHubPublishesARelease(ctx context.Context) error {
	p.say("GitHub has no token for the cluster. It signs with a secret that is also in the namespace's Secret")
	p.say("postern-webhook-secrets. The owner of Application shop has opted in to updates of targetRevision.")
	before := fields{"postern.dev/requested-ref": "", targetRevision: "v1.0.0"}
	if err := p.show(ctx, "before", shop, before); err != nil {
		return err
	}
	if err := p.accepted(ctx, gitHubReleased(p.secret), "HMAC"); err != nil {
		return err
	}
	return p.show(ctx, "after", shop, fields{
		"postern.dev/requested-ref":  "v2.0.0",
		"postern.dev/requested-by":   "github",
		"argocd.argoproj.io/refresh": "normal",
		targetRevision:               "v2.0.0",
	})
}

func (p *demoRun) forgedReleaseIsRefused(ctx context.Context) error {
	p.say("The release of v6.6.6 is signed, but with another secret.")
	webhook := gitHubWebhook(strings.ReplaceAll(gitHubRelease, "v2.0.0", "v6.6.6"), "a guess")
	if err := p.refused(ctx, webhook, http.StatusUnauthorized); err != nil {
		return err
	}
	return p.show(ctx, "after", shop, fields{"postern.dev/requested-ref": "v2.0.0", targetRevision: "v2.0.0"})
}

// gitHubReleased returns the webhook of the release, with GitHub's delivery id.
func gitHubReleased(secret string) webhook {
	w := gitHubWebhook(gitHubRelease, secret)
	w.header.Set("X-GitHub-Delivery", "0c2f7c0e-8d5e-4c57-9a55-6f3b6c1a7d01")
	return w
}

func gitHubWebhook(body, secret string) webhook {
	signature := hmac.New(sha256.New, []byte(secret))
	signature.Write([]byte(body))
	return webhook{
		path: posternPath("applications", "shop"),
		header: http.Header{
			"Content-Type":        {"application/json"},
			"X-Github-Event":      {"release"},
			"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(signature.Sum(nil))},
		},
		body: body,
	}
}
