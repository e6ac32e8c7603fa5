// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/pkg/cli/doctor"
	"postern.dev/postern/test/testcluster"
)

// Secrets of senders, and what they send.
const (
	secret, otherSecret = "tellnobody-the-first", "tellnobody-the-second"

	sender  = "--sender=system:serviceaccount:{ns}:ci"
	plant   = "gatewaysyncs/plant"
	shop    = "applications/shop"
	toPlant = "gatewaysync/plant"
	toShop  = "application/shop"

	imageList = "argocd-image-updater.argoproj.io/image-list"
)

var released = map[string]string{"X-GitHub-Event": "release"}

// release is a signed release of GitHub to the GatewaySync plant.
func release(secret string) delivery {
	return delivery{path: plant, header: released, secret: secret, anonymous: true,
		body: `{"action": "published", "release": {"tag_name": "v1.5.0"}}`}
}

// ref is the delivery of a CI job to a target.
func ref(path, name string) delivery { return delivery{path: path, body: `{"ref": "` + name + `"}`} }

// image is a push that Harbor reports.
func image(name, tag string) delivery {
	return delivery{path: "webhooksources/harbor", header: map[string]string{"Content-Type": "application/json"},
		body: fmt.Sprintf(`{"type": "PUSH_ARTIFACT", "occur_at": 1769851800, "operator": "admin", "event_data": {
			"resources": [{"tag": %[2]q, "resource_url": "%[1]s:%[2]s"}],
			"repository": {"name": "shop", "namespace": "team", "repo_full_name": "team/shop"}}}`,
			name, tag)}
}

// tag is the push of a tag that GitHub reports by source.
func tag(name string) delivery {
	return delivery{path: "webhooksources/github", header: map[string]string{"X-GitHub-Event": "push"},
		body: `{"ref": "refs/tags/` + name + `", "after": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
			"repository": {"clone_url": "https://github.com/example/shop.git"}}`}
}

// push is the push of a branch that GitHub reports by source, with the file that it changes.
func push(file string) delivery {
	return delivery{path: "webhooksources/github", header: map[string]string{"X-GitHub-Event": "push"},
		body: `{"ref": "refs/heads/main", "before": "1111111111111111111111111111111111111111",
			"after": "2222222222222222222222222222222222222222", "created": false, "forced": false,
			"commits": [{"id": "2222222222222222222222222222222222222222", "added": [], "removed": [],
			"modified": ["` + file + `"]}], "repository": {"clone_url": "https://github.com/example/shop.git"}}`}
}

// signed is a delivery of an anonymous sender.
func signed(d delivery, secret string) delivery {
	d.anonymous, d.secret = true, secret
	return d
}

// releaseAt is a release with its time.
func releaseAt(name, time string) delivery {
	return delivery{path: plant, header: released, body: `{"action": "published", "release": {"tag_name": "` + name +
		`", "published_at": "` + time + `"}}`}
}

// shopOf is the Application shop with annotations, whose only image runs.
func shopOf(annotations string, images ...string) string {
	return strings.Replace(testcluster.Application("shop"), "{name: shop}",
		"{name: shop, annotations: {"+annotations+"}}",
		1) + "\nstatus: {sourceType: Kustomize, summary: {images: [" + strings.Join(images, ", ") + "]}}"
}

// setups are broken in one way each, in a namespace of their own.
var setups = []setup{
	{
		name: "wrong secret", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		secrets: map[string]string{"webhook.github-secret": secret},
		sent:    release(otherSecret), refused: "401",
		question: []string{toPlant, "--source=github"}, level: doctor.Fault, step: "Credentials",
		cause: []string{"SignatureMismatch", "another secret than the key webhook.github-secret"}, stdin: otherSecret,
	},
	{
		name: "key of another name", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		secrets: map[string]string{"github-secret": secret}, sent: release(secret), refused: "401",
		question: []string{toPlant, "--source=github"}, level: doctor.Fault, step: "Secret",
		cause: []string{"the key github-secret, which Postern does not read"},
	},
	{
		name: "missing secret", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		sent: release(secret), refused: "401",
		question: []string{toPlant, "--source=github"}, level: doctor.Fault, step: "Secret",
		cause: []string{"there is no Secret postern-webhook-secrets"}, stdin: secret + "\n",
	},
	{
		name: "empty secret", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		secrets: map[string]string{"webhook.github-secret": ""}, sent: release(secret), refused: "401",
		question: []string{toPlant, "--source=github"}, level: doctor.Fault, step: "Secret",
		cause: []string{"webhook.github-secret", "is empty"}, stdin: secret,
	},
	{
		name: "secret of the target alone", objects: []string{testcluster.GatewaySync("plant")},
		allowed: []string{plant},
		secrets: map[string]string{"hmac": secret, "gatewaysyncs.plant.hmac": otherSecret}, sent: release(secret),
		refused: "401", question: []string{toPlant, "--source=github"}, level: doctor.Fault, step: "Credentials",
		cause: []string{"another secret than the key gatewaysyncs.plant.hmac"}, stdin: secret,
	},
	{
		name: "sender without a secret", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		secrets: map[string]string{"webhook.github-secret": secret}, sent: release(""), refused: "401",
		question: []string{toPlant, "--source=github"}, level: doctor.Fault, step: "Credentials",
		cause: []string{"NoCredential", "without a secret"},
		then:  func(r *run, output string) { r.accepted = release(output) },
	},
	{
		name: "missing role", objects: []string{testcluster.GatewaySync("plant")}, sent: ref(plant, "v1"),
		refused:  "403",
		question: []string{toPlant, sender}, level: doctor.Fault, step: "Permission",
		cause: []string{"system:serviceaccount:{ns}:ci may not deliver to gatewaysyncs/plant"},
	},
	{
		name: "missing binding",
		objects: []string{testcluster.GatewaySync("plant"), `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: github}
rules:
- {apiGroups: [postern.dev], resources: [gatewaysyncs/webhookdeliveries], resourceNames: [plant], verbs: [create]}`},
		secrets: map[string]string{"webhook.github-secret": secret}, sent: release(secret), refused: "403",
		question: []string{toPlant, "--source=github"}, level: doctor.Fault, step: "Permission",
		cause: []string{"an anonymous sender may not deliver to gatewaysyncs/plant"},
	},
	{
		name: "user without a role", objects: []string{testcluster.GatewaySync("plant")},
		sent: delivery{path: plant, body: `{"ref": "v1"}`, user: "ada"}, refused: "403",
		question: []string{toPlant, "--sender=ada"}, level: doctor.Fault, step: "Permission",
		cause: []string{"ada may not deliver to gatewaysyncs/plant", "unless one of its groups may"},
	},
	{
		name: "webhook that nothing understands", objects: []string{testcluster.GatewaySync("plant")},
		allowed: []string{plant}, sent: delivery{path: plant, body: `{"version": "v1"}`}, refused: "400",
		question: []string{toPlant, sender}, level: doctor.Warning, step: "Refusals", manually: true,
		accepted: ref(plant, "v1"),
	},
	{
		name: "role for another target", objects: []string{testcluster.GatewaySync("plant")},
		allowed: []string{"gatewaysyncs/plants"}, sent: ref(plant, "v1"), refused: "403",
		question: []string{toPlant, sender}, level: doctor.Fault, step: "Permission",
		cause: []string{"may not deliver"},
	},
	{
		name: "unknown type of sender", objects: []string{testcluster.Application("shop")},
		allowed: []string{"webhooksources/git-hub", "webhooksources/github"},
		sent:    delivery{path: "webhooksources/git-hub", body: tag("main").body}, refused: "404",
		question: []string{toShop, "--source=git-hub", sender}, level: doctor.Fault, step: "Source",
		cause: []string{`no type of sender "git-hub"`, "github is meant"},
		accepted: delivery{path: "webhooksources/github", header: map[string]string{"X-GitHub-Event": "push"},
			body: strings.Replace(tag("main").body, "tags", "heads", 1)},
	},
	{
		name: "missing target", objects: []string{testcluster.GatewaySync("plant")},
		allowed: []string{plant, "gatewaysyncs/plnat"}, sent: ref("gatewaysyncs/plnat", "v1"), refused: "404",
		question: []string{"gatewaysync/plnat", sender}, level: doctor.Fault, step: "Target",
		cause: []string{"no gatewaysync/plnat", "is plant meant"}, accepted: ref(plant, "v1"),
	},
	{
		name: "wrong namespace", allowed: []string{"gatewaysyncs/furnace"}, breaks: furnaceElsewhere,
		sent: ref("gatewaysyncs/furnace", "v1"), refused: "404", question: []string{"gatewaysync/furnace", sender},
		level: doctor.Fault, step: "Target", cause: []string{"there is in {ns}-other", "namespaces/{ns}-other/"},
		accepted: ref("/apis/postern.dev/v1alpha1/namespaces/{ns}-other/gatewaysyncs/furnace", "v1"),
	},
	{
		name: "policy", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		breaks: onlyReleases,
		sent:   ref(plant, "main"), refused: "403",
		question: []string{toPlant, sender, "--try=main"}, level: doctor.Fault, step: "DryRun",
		cause:  []string{"only-releases-{ns}", "only refs that start with v"},
		editor: "sed -i s/e.ref.startsWith(.v.)/true/",
	},
	{
		name: "policy, without a dry run", objects: []string{testcluster.GatewaySync("plant")},
		allowed: []string{plant},
		breaks:  onlyReleases, sent: ref(plant, "main"), refused: "403",
		question: []string{toPlant, sender}, level: doctor.Fault, step: "Refusals",
		cause:  []string{"only-releases-{ns}", "only refs that start with v"},
		editor: "sed -i s/e.ref.startsWith(.v.)/true/",
	},
	{
		name: "policy on the target", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		breaks: frozen, sent: ref(plant, "v1"), refused: "500",
		question: []string{toPlant, sender}, level: doctor.Fault, step: "Deliveries",
		cause: []string{"frozen-{ns}", "TargetRefused"}, editor: "sed -i s/false/true/",
	},
	{
		name: "admission webhook that can't be reached", objects: []string{testcluster.GatewaySync("plant")},
		allowed: []string{plant}, breaks: brokenWebhook, sent: ref(plant, "v1"), refused: "202 Pending",
		question: []string{toPlant, sender}, level: doctor.Fault, step: "Deliveries",
		cause: []string{"Pending", "broken.example.com"}, editor: "sed -i s/Fail$/Ignore/",
	},
	{
		name: "constraint", objects: []string{shopOf(imageList+`: "shop=registry.example.com/team/shop:~1"`,
			"registry.example.com/team/shop:1.4.0")},
		allowed: []string{"webhooksources/harbor"}, sent: image("registry.example.com/team/shop", "2.0.0"),
		refused: "202 Ignored", question: []string{toShop, "--source=harbor", sender}, level: doctor.Warning,
		step: "Deliveries", cause: []string{"ConstraintNotMet", `2.0.0 does not meet the constraint "~1"`},
		words: map[string]string{"CONSTRAINT": "~2"},
	},
	{
		name: "allow-tags",
		objects: []string{shopOf(`"argocd-image-updater.argoproj.io/shop.allow-tags": "regexp:^v", `+
			imageList+`: "shop=registry.example.com/team/shop"`, "registry.example.com/team/shop:1.4.0")},
		allowed: []string{"webhooksources/harbor"}, sent: image("registry.example.com/team/shop", "1.5.0"),
		refused: "202 Ignored", question: []string{toShop, "--source=harbor", sender}, level: doctor.Warning,
		step: "Deliveries", cause: []string{"TagNotAllowed", "regexp:^v"}, words: map[string]string{"EXPRESSION": "^1"},
	},
	{
		name: "image that does not run", objects: []string{shopOf(imageList+`: "shop=registry.example.com/team/shop"`,
			"registry.example.com/team/web:1.4.0")},
		allowed: []string{"webhooksources/harbor"}, sent: image("registry.example.com/team/shop", "1.5.0"),
		refused: "202 Ignored", question: []string{toShop, "--source=harbor", sender}, level: doctor.Warning,
		step: "Deliveries", cause: []string{"NotInUse", "force-update is not set"},
	},
	{
		name: "image that is not in the list", objects: []string{shopOf(imageList+`: "registry.example.com/team/web"`,
			"registry.example.com/team/web:1.0.0", "registry.example.com/team/shop:1.4.0")},
		allowed: []string{"webhooksources/harbor"}, sent: image("registry.example.com/team/shop", "1.5.0"),
		refused: "202 Ignored", question: []string{toShop, "--source=harbor", sender}, level: doctor.Warning,
		step: "Deliveries", cause: []string{"registry.example.com/team/shop is not among the images", imageList},
	},
	{
		name: "no list of images", objects: []string{shopOf("", "registry.example.com/team/shop:1.4.0")},
		allowed: []string{"webhooksources/harbor"}, sent: image("registry.example.com/team/shop", "1.5.0"),
		refused: "202 Ignored", question: []string{toShop, "--source=harbor", sender}, level: doctor.Fault,
		step: "Configuration", cause: []string{"takes no pushed image", imageList},
	},
	{
		name: "tags that are not followed", objects: []string{testcluster.Application("shop")},
		allowed: []string{"webhooksources/github"}, sent: tag("v1.3.0"), refused: "202 Ignored",
		question: []string{toShop, "--source=github", sender}, level: doctor.Warning, step: "Deliveries",
		cause: []string{"NoTarget", "has to opt in"}, words: map[string]string{"CONSTRAINT": ">=1"},
	},
	{
		name: "invalid constraint", objects: []string{shopOf(`postern.dev/follow-tags: "the latest"`)},
		allowed: []string{"webhooksources/github"}, sent: tag("v1.3.0"), refused: "202 Ignored",
		question: []string{toShop, "--source=github", sender}, level: doctor.Fault, step: "Configuration",
		cause: []string{`postern.dev/follow-tags is "the latest"`}, words: map[string]string{"CONSTRAINT": ">=1"},
	},
	{
		name: "targetRevision that stays", objects: []string{testcluster.Application("shop")}, allowed: []string{shop},
		sent: ref(shop, "v1.3.0"), refused: "202 Applied", question: []string{toShop, sender}, level: doctor.Note,
		step: "Configuration", cause: []string{"do not set targetRevision",
			"postern.dev/update-target-revision is not set"},
		check: func(r *run) error {
			return r.wantField("{.spec.source.targetRevision}", "v1.3.0", "application", "shop")
		},
	},
	{
		name: "commit id", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		sent: ref(plant, "6dcb09b5b57875f334f61aebed695e2e4193db5e"), refused: "202 Ignored",
		question: []string{toPlant, sender}, level: doctor.Warning, step: "Deliveries",
		cause: []string{"CommitNotAccepted", "postern.dev/accept-commits"},
	},
	{
		name: "older event", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		breaks: func(r *run) func() {
			r.untilAnswered(releaseAt("v2", "2026-02-03T04:05:06Z"), "202 Applied")
			return nil
		},
		sent: releaseAt("v1", "2026-01-02T03:04:05Z"), refused: "202 Superseded",
		question: []string{toPlant, sender}, level: doctor.Warning, step: "Deliveries",
		cause: []string{"Superseded", "happened later"},
		then: func(r *run, _ string) {
			r.Eventually(testcluster.Patience, func() error {
				return r.wantField(`{.metadata.annotations.stoker\.io/requested-ref}`, "v1", "gatewaysync", "plant")
			})
		},
		accepted: releaseAt("v3", "2026-03-04T05:06:07Z"),
	},
	{
		name: "push that changes no file", objects: []string{shopOf(`argocd.argoproj.io/manifest-generate-paths: .`)},
		allowed: []string{"webhooksources/github"}, sent: push("docs/index.md"), refused: "202 Ignored",
		question: []string{toShop, "--source=github", sender}, level: doctor.Warning, step: "Deliveries",
		cause: []string{"NotAffected", "manifest-generate-paths"}, accepted: push("deploy/shop.yaml"),
		check: func(r *run) error {
			return r.wantField(`{.metadata.annotations.postern\.dev/requested-ref}`, "main", "application", "shop")
		},
	},
	{
		name: "secret of the target alone, by source", objects: []string{testcluster.Application("shop")},
		allowed: []string{"webhooksources/github", shop},
		secrets: map[string]string{"hmac": secret, "applications.shop.hmac": otherSecret},
		sent:    signed(push("deploy/shop.yaml"), secret), refused: "202 Ignored",
		question: []string{toShop, "--source=github"}, level: doctor.Warning, step: "Deliveries",
		cause: []string{"OwnSecret", "deliver to it by its own path"}, accepted: delivery{path: shop, anonymous: true,
			header: push("").header, body: push("deploy/shop.yaml").body, secret: otherSecret},
	},
	{
		name: "taken back", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		sent: ref(plant, "v1"), refused: "202 Applied",
		after: func(r *run) {
			r.kubectl("", "annotate", "--overwrite", "gatewaysync", "plant", "stoker.io/requested-ref=by-hand")
		},
		question: []string{toPlant, sender}, level: doctor.Warning, step: "Deliveries",
		cause: []string{"taken back by another client", "kubectl"},
		then: func(r *run, _ string) {
			r.Eventually(testcluster.Patience, func() error {
				return r.wantField(`{.metadata.annotations.stoker\.io/requested-ref}`, "v1", "gatewaysync", "plant")
			})
		},
		accepted: ref(plant, "v2"),
	},
	{
		name: "held", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		sent: ref(plant, "v1"), refused: "202 Applied",
		after: func(r *run) {
			r.kubectl("", "annotate", "gatewaysync", "plant", "postern.dev/hold=freeze until Monday")
		},
		question: []string{toPlant, sender}, level: doctor.Warning, step: "Configuration",
		cause:    []string{`postern.dev/hold is "freeze until Monday", so deliveries are held`},
		accepted: ref(plant, "v2"),
	},
	{
		name:    "paused",
		objects: []string{strings.Replace(testcluster.GatewaySync("plant"), "spec:", "spec:\n  paused: true", 1)},
		allowed: []string{plant}, sent: ref(plant, "v1"), refused: "202 Applied", question: []string{toPlant, sender},
		level: doctor.Fault, step: "Controller", cause: []string{"is paused"},
		check: func(r *run) error { return r.wantField("{.spec.paused}", "false", "gatewaysync", "plant") },
	},
}

func TestDoctor_Setups(t *testing.T) {
	for _, c := range slices.Concat(setups, clusterSetups) {
		t.Run(c.name, func(t *testing.T) { cluster.run(t, c) })
	}
}
