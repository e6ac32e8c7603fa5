// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import "fmt"

const followedRepository, runImage = "https://git.example.com/honest/shop.git", "quay.io/honest/shop"

// createFollowers creates the targets of deliveries by source: some follow tags, and others run an image.
func (h *honest) createFollowers() (following, running []target) {
	h.T.Helper()
	following = []target{{gatewaySyncs, "follower"}, {applications, "follower"}}
	running = []target{{applications, "runner-0"}, {applications, "runner-1"}}
	manifests := map[target]string{
		following[0]: fmt.Sprintf(`
apiVersion: stoker.io/v1alpha1
kind: GatewaySync
metadata: {name: follower, annotations: {postern.dev/follow-tags: '*'}}
spec:
  git: {repo: %q, ref: v0.0.1}
  gateway: {api: {secretName: key}}
  sync: {profiles: {default: {mappings: [{source: a/, destination: b/}]}}}`, followedRepository),
		following[1]: applicationManifest("follower", "postern.dev/follow-tags: '*'",
			fmt.Sprintf("repoURL: %q, path: ., targetRevision: v0.0.1", followedRepository), ""),
	}
	for _, g := range running {
		manifests[g] = imageApplication(g.name, runImage, "0.0.1", "")
	}
	for g, manifest := range manifests {
		if err := h.createFrom(h.T.Context(), g.resource, manifest); err != nil {
			h.T.Fatal(err)
		}
		h.targets = append(h.targets, g)
	}
	return following, running
}

// applicationManifest returns an Application in YAML, with annotations and a source in flow style.
func applicationManifest(name, annotations, source, status string) string {
	return fmt.Sprintf(`
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: %s, annotations: {%s}}
spec: {project: default, destination: {name: in-cluster, namespace: shop}, source: {%s}}
status: {%s}`, name, annotations, source, status)
}

// imageApplication returns an Application that Argo CD Image Updater would update.
func imageApplication(name, image, tag, annotations string) string {
	const list = "argocd-image-updater.argoproj.io/image-list: "
	full := image + ":" + tag
	return applicationManifest(name, list+"web="+image+annotations,
		fmt.Sprintf("repoURL: 'https://git.example.com/deploy.git', path: ., targetRevision: main, "+
			"kustomize: {images: [%q]}", full),
		fmt.Sprintf("sourceType: Kustomize, summary: {images: [%q]}", full))
}

func pushOfTag(n int) request {
	const format = `{"object_kind":"tag_push","event_name":"tag_push",` +
		`"ref":"refs/tags/%s","after":%q,"checkout_sha":%q,"project":{"git_http_url":%q}}`
	ref, commit := fmt.Sprintf("v1.0.%d", n), fmt.Sprintf("%040x", n+1)
	return request{
		ref: ref, body: fmt.Sprintf(format, ref, commit, commit, followedRepository),
		header: map[string]string{"X-Gitlab-Event": "Tag Push Hook", "X-Gitlab-Event-UUID": "honest-" + ref},
	}
}

func pushOfImage(n int) request {
	tag := fmt.Sprintf("1.0.%d", n)
	return request{ref: runImage + ":" + tag, body: quayPush("honest", "shop", fmt.Sprintf("%q", tag))}
}

// quayPush returns Quay's payload for pushed tags. tags are the elements of a JSON list.
func quayPush(namespace, name, tags string) string {
	return fmt.Sprintf(`{"name":%[2]q,"repository":"%[1]s/%[2]s","namespace":%[1]q,"docker_url":"quay.io/%[1]s/%[2]s",`+
		`"homepage":"https://quay.io/repository/%[1]s/%[2]s","updated_tags":[%[3]s]}`, namespace, name, tags)
}
