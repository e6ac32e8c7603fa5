// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"
)

// creationsAtOnce keeps a kube-apiserver on a small machine busy without overloading it.
const creationsAtOnce = 16

// create creates count objects, numbered from first, and skips existing ones. With managed fields and status each is as
// large as a small object of a real cluster: 2 to 4 kB of JSON.
func (c *cluster) create(ctx context.Context, k kind, first, count int) error {
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(creationsAtOnce)
	for number := first; number < first+count && working.Err() == nil; number++ {
		group.Go(func() error { return c.createOne(working, k, number) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("could not create objects: %w", err)
	}
	return ctx.Err()
}

func (c *cluster) createOne(ctx context.Context, k kind, number int) error {
	name := nameOf(number)
	object := k.object(name, number)
	object["apiVersion"], object["kind"] = k.groupVersion, k.name
	if !k.statusSubresource {
		object["status"] = k.status(name)
	}
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	got, err := c.admin.do(ctx, http.MethodPost, k.collection()+"?fieldManager=gitops", "application/json", body)
	switch {
	case err != nil:
		return err
	case got.code == http.StatusConflict || got.code == http.StatusCreated && !k.statusSubresource:
		return nil
	case got.code != http.StatusCreated:
		return fmt.Errorf("creating %s was answered %d: %s", name, got.code, got.body)
	}
	body, err = json.Marshal(map[string]any{"status": k.status(name)})
	if err != nil {
		return err
	}
	path := k.path(name) + "/status?fieldManager=controller"
	_, err = c.admin.must(ctx, http.MethodPatch, path, "application/merge-patch+json", body, http.StatusOK)
	return err
}

func gatewaySync(name string, number int) map[string]any {
	return map[string]any{
		"metadata": map[string]any{
			"name": name, "labels": commonLabels(name, number),
			"annotations": map[string]any{"example.com/contact": "team-" + name + "@example.com"},
		},
		"spec": map[string]any{
			"git": map[string]any{"repo": repository(name), "ref": "v1.0.0",
				"auth": map[string]any{"token": map[string]any{
					"secretRef": map[string]any{"name": "git", "key": "token"}}}},
			"polling": map[string]any{"enabled": true, "interval": "60s"},
			"gateway": map[string]any{"port": 8043, "tls": true,
				"api": map[string]any{"secretName": name + "-api-key", "secretKey": "apiKey"}},
			"sync": map[string]any{"profiles": map[string]any{"default": map[string]any{
				"mappings": []any{
					map[string]any{"source": "projects/" + name, "destination": "projects/" + name, "type": "dir",
						"required": true},
					map[string]any{"source": "config/resources", "destination": "config/resources", "type": "dir"},
				},
				"excludePatterns": []any{"**/*.bak", "**/.git/"},
			}}},
		},
	}
}

func gatewaySyncStatus(name string) map[string]any {
	return map[string]any{
		"observedGeneration": 1, "lastSyncRef": "v1.0.0", "lastSyncCommit": commit, "lastSyncCommitShort": commit[:7],
		"lastSyncTime": since, "profileCount": 1,
		"discoveredGateways": []any{map[string]any{
			"name": name + "-0", "namespace": namespace, "podName": name + "-0", "profile": "default",
			"syncStatus":   "Synced",
			"syncedCommit": commit, "syncedRef": "v1.0.0", "agentVersion": "v0.4.2", "lastSyncTime": since,
			"filesChanged": 17,
		}},
		"conditions": []any{
			condition("Ready", "SyncSucceeded", "all gateways are in sync"),
			condition("RefResolved", "Resolved", "v1.0.0 is "+commit),
			condition("AllGatewaysSynced", "Synced", "1/1 gateways synced"),
		},
	}
}

func application(name string, number int) map[string]any {
	const prefix = "argocd-image-updater.argoproj.io/"
	return map[string]any{
		"metadata": map[string]any{
			"name": name, "labels": commonLabels(name, number),
			"finalizers": []any{"resources-finalizer.argocd.argoproj.io"},
			"annotations": map[string]any{
				"notifications.argoproj.io/subscribe.on-sync-failed.slack": "team-" + name,
				prefix + "image-list":           "web=" + image(name) + ":1.x",
				prefix + "web.update-strategy":  "semver",
				prefix + "web.helm.image-name":  "image.repository",
				prefix + "web.helm.image-tag":   "image.tag",
				prefix + "write-back-method":    "argocd",
				"argocd.argoproj.io/sync-wave":  "1",
				"example.com/contact":           "team-" + name + "@example.com",
				"example.com/runbook":           "https://wiki.example.com/runbooks/" + name,
				"example.com/cost-center":       fmt.Sprint(1000 + number%50),
				"example.com/service-level":     "gold",
				"example.com/data-protection":   "none",
				"example.com/change-management": "automatic",
			},
		},
		"spec": map[string]any{
			"project":     "default",
			"destination": map[string]any{"server": "https://kubernetes.default.svc", "namespace": name},
			"source": map[string]any{
				"repoURL": repository(name), "path": "deploy/prod", "targetRevision": "main",
				"helm": map[string]any{"valueFiles": []any{"values.yaml", "values-prod.yaml"}},
			},
			"syncPolicy": map[string]any{"automated": map[string]any{"prune": true, "selfHeal": true},
				"syncOptions": []any{"CreateNamespace=true"}},
		},
	}
}

func applicationStatus(name string) map[string]any {
	return map[string]any{
		"sourceType": "Helm", "reconciledAt": since, "controllerNamespace": "argocd",
		"summary": map[string]any{"images": []any{image(name) + ":1.0.0", "docker.io/library/redis:7.4"}},
		"sync":    map[string]any{"status": "Synced", "revision": commit},
		"health":  map[string]any{"status": "Healthy", "lastTransitionTime": since},
		"history": []any{map[string]any{"id": 0, "revision": commit, "deployedAt": since,
			"initiatedBy": map[string]any{"automated": true}}},
		"resources": []any{
			map[string]any{"group": "apps", "version": "v1", "kind": "Deployment", "namespace": name, "name": "web",
				"status": "Synced"},
			map[string]any{"version": "v1", "kind": "Service", "namespace": name, "name": "web", "status": "Synced"},
			map[string]any{"version": "v1", "kind": "ConfigMap", "namespace": name, "name": "web", "status": "Synced"},
		},
	}
}

const (
	commit = "8a5a2f6d3c1b4e7f9081726354a5b6c7d8e9f001"
	since  = "2026-01-01T00:00:00Z"
)

func commonLabels(name string, number int) map[string]any {
	return map[string]any{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop",
		"team": fmt.Sprintf("team-%d", number%100)}
}

func repository(name string) string { return "https://git.example.com/shops/" + name + ".git" }

func image(name string) string { return "harbor.example.com/shops/" + name }

func condition(kind, reason, message string) map[string]any {
	return map[string]any{"type": kind, "status": "True", "reason": reason, "message": message,
		"lastTransitionTime": since, "observedGeneration": 1}
}
