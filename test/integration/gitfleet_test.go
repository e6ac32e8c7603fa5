// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"slices"
	"strings"
)

// gitTarget is a target that uses a git repository. In its YAML, HOST stands for the host of the push, and
// harbour-works/lighthouse for the repository, which may have another path there.
type gitTarget struct {
	name string
	// annotations and spec are YAML. An Application's spec has no project and destination.
	annotations, spec string
	// onBranch and onTag are the results of a push of main, and of the tag v2.4.0; empty if it does not match.
	onBranch, onTag string
	// byDefault is true if onBranch requires that the payload names main as the default branch.
	byDefault bool
	// moves is the field of an Application that is set to the ref.
	moves []string
}

const written = "Written Requested"

func gitOf(repo, ref string) string { return "git: {repo: '" + repo + "', ref: '" + ref + "'}" }

var gitSyncs = []gitTarget{
	{name: "https", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "main"), onBranch: written},
	{name: "https-bare", spec: gitOf("https://HOST/harbour-works/lighthouse/", "main"), onBranch: written},
	{name: "https-with-user", spec: gitOf("https://bot@HOST:443/harbour-works/lighthouse", "refs/heads/main"),
		onBranch: written},
	{name: "ssh", spec: gitOf("ssh://git@HOST/harbour-works/lighthouse.git", "main"), onBranch: written},
	{name: "scp", spec: gitOf("git@HOST:harbour-works/lighthouse.git", "main"), onBranch: written},
	{name: "ssh-at-another-port", spec: gitOf("ssh://git@HOST:2222/harbour-works/lighthouse.git", "main"),
		onBranch: written},
	{name: "upper-case", spec: gitOf("https://HOST/HARBOUR-WORKS/LIGHTHOUSE.git", "main"), onBranch: written},
	{name: "head", spec: gitOf("git@HOST:harbour-works/lighthouse", "HEAD"), onBranch: written, byDefault: true},
	{name: "without-ref", spec: gitOf("https://HOST/harbour-works/lighthouse", ""), onBranch: written, byDefault: true},
	{name: "other-branch", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "maintenance")},
	{name: "other-repository", spec: gitOf("https://HOST/harbour-works/lighthouse-keeper.git", "main")},
	{name: "other-host", spec: gitOf("https://elsewhere.example.org/harbour-works/lighthouse.git", "main")},
	{name: "other-port", spec: gitOf("https://HOST:8443/harbour-works/lighthouse.git", "main")},
	{name: "pinned", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "main"),
		annotations: "stoker.io/requested-ref: v1.0.0"},
	{name: "tags", spec: gitOf("git@HOST:harbour-works/lighthouse.git", "v2.0.0"),
		annotations: "postern.dev/follow-tags: '>=2'", onTag: written},
	{name: "branch-and-tags", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "main"),
		annotations: "postern.dev/follow-tags: '*'", onBranch: written, onTag: written},
	{name: "that-tag", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "v2.4.0"), onTag: written},
	{name: "lower-tags", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "v1.0.0"),
		annotations: "postern.dev/follow-tags: '<2'"},
	{name: "higher-tag", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "v3.0.0"),
		annotations: "postern.dev/follow-tags: '>=1'"},
	{name: "bad-constraint", spec: gitOf("https://HOST/harbour-works/lighthouse.git", "v1.0.0"),
		annotations: "postern.dev/follow-tags: newest", onTag: "Skipped InvalidConfiguration"},
}

var gitApplications = []gitTarget{
	{name: "app-https", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse', path: ., targetRevision: " +
		"main}", onBranch: written},
	{name: "app-head", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse.git', path: ., " +
		"targetRevision: HEAD}", onBranch: written, byDefault: true},
	{name: "app-without-revision", spec: "source: {repoURL: 'git@HOST:harbour-works/lighthouse.git', path: .}",
		onBranch: written, byDefault: true},
	{name: "app-second-source", spec: "sources: [{repoURL: 'https://charts.example.com', chart: a, targetRevision: " +
		"1.0.0}, " +
		"{repoURL: 'ssh://git@HOST/harbour-works/lighthouse.git', targetRevision: main, ref: values}]",
		onBranch: written},
	{name: "app-hydrated", spec: "sourceHydrator: {drySource: {repoURL: 'https://HOST/harbour-works/lighthouse', " +
		"path: ., targetRevision: main}, " +
		"syncSource: {targetBranch: env/prod, path: lighthouse}}", onBranch: written},
	{name: "app-other-branch", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse', path: ., " +
		"targetRevision: release}"},
	{name: "app-commit", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse', path: ., targetRevision: " +
		commit + "}"},
	{name: "app-other-repository", spec: "source: {repoURL: 'https://HOST/harbour-works/keeper', path: ., " +
		"targetRevision: main}"},
	{name: "app-tags", spec: "source: {repoURL: 'git@HOST:harbour-works/lighthouse', path: ., targetRevision: v2.0.0}",
		annotations: "postern.dev/follow-tags: '~2', postern.dev/update-target-revision: 'true'", onTag: written,
		moves: []string{"spec", "source", "targetRevision"}},
	{name: "app-that-tag", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse', path: ., " +
		"targetRevision: refs/tags/v2.4.0}", onTag: written},
	{name: "app-range", spec: "source: {repoURL: 'git@HOST:harbour-works/lighthouse', path: ., " +
		"targetRevision: '>=2.1, <3'}", annotations: "postern.dev/update-target-revision: 'true'", onTag: written},
	{name: "app-other-range", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse', path: ., " +
		"targetRevision: 1.*}"},
	{name: "app-lower-tags", spec: "source: {repoURL: 'https://HOST/harbour-works/lighthouse', path: ., " +
		"targetRevision: v1.0.0}",
		annotations: "postern.dev/follow-tags: '~1'"},
}

// gitPlace is the location of the repository at a git host, for HTTP and SSH.
type gitPlace struct{ host, path, sshHost, sshPath string }

func lighthouseAt(host string) gitPlace {
	return gitPlace{host: host, path: "harbour-works/lighthouse", sshHost: host, sshPath: "harbour-works/lighthouse"}
}

// fill replaces the placeholders in YAML.
func (p gitPlace) fill(yaml string) string {
	return strings.NewReplacer(
		"ssh://git@HOST/harbour-works/lighthouse", "ssh://git@"+p.sshHost+"/"+p.sshPath,
		"ssh://git@HOST:2222/harbour-works/lighthouse", "ssh://git@"+p.sshHost+":2222/"+p.sshPath,
		"git@HOST:harbour-works/lighthouse", "git@"+p.sshHost+":"+p.sshPath,
		"HARBOUR-WORKS/LIGHTHOUSE", strings.ToUpper(p.path),
		"harbour-works/lighthouse", p.path,
		"HOST", p.host,
	).Replace(yaml)
}

// gitFleet creates all targets.
func (w *world) gitFleet(at gitPlace) {
	w.T.Helper()
	fill := func(kind, more string, target gitTarget) string {
		return at.fill(kind + "\nmetadata: {name: " + target.name + ", annotations: {example.com/note: keep me, " +
			target.annotations + "}}\nspec: {" + more + target.spec + "}")
	}
	for _, target := range gitSyncs {
		w.Create(gatewaySyncs, fill("apiVersion: stoker.io/v1alpha1\nkind: GatewaySync",
			"gateway: {api: {secretName: key}}, "+
				"sync: {profiles: {default: {mappings: [{source: a/, destination: b/}]}}}, ", target))
	}
	for _, target := range gitApplications {
		w.Create(applications, fill("apiVersion: argoproj.io/v1alpha1\nkind: Application",
			"project: default, destination: {name: in-cluster, namespace: a}, ", target))
	}
}

// gitHost is a supported git host.
type gitHost struct {
	source      string
	at          gitPlace
	key, method string
	proof       func(secret string) proof
	// namesDefault is true if push payloads name the default branch.
	namesDefault bool
}

var (
	atGitHub = gitHost{source: "github", at: lighthouseAt("github.com"), key: "hmac", method: "HMAC",
		proof: bySignature, namesDefault: true}
	atGitLab = gitHost{source: "gitlab", at: lighthouseAt("gitlab.example.com"), key: "token", method: "Token",
		proof: func(secret string) proof { return byToken("X-Gitlab-Token", secret) }, namesDefault: true}
	atGitea = gitHost{source: "gitea", at: lighthouseAt("git.example.com"), key: "webhook.gitea-secret", method: "HMAC",
		proof: bySignature, namesDefault: true}
	atBitbucket = gitHost{source: "bitbucket", at: lighthouseAt("bitbucket.org"), key: "webhook.bitbucket-secret",
		method: "HMAC",
		proof:  byHubSignature}
	atBitbucketServer = gitHost{source: "bitbucket-server",
		at: gitPlace{host: "git.example.com", path: "scm/hw/lighthouse",
			sshHost: "git.example.com", sshPath: "hw/lighthouse"}, key: "hmac", method: "HMAC", proof: byHubSignature}
	atAzureDevOps = gitHost{source: "azure-devops",
		at: gitPlace{host: "dev.azure.com", path: "harbour-works/Harbour%20works/_git/lighthouse",
			sshHost: "ssh.dev.azure.com", sshPath: "v3/harbour-works/Harbour%20works/lighthouse"},
		key: "webhook.azure-devops-secret", method: "Token",
		proof: func(secret string) proof { return byToken("X-Webhook-Secret", secret) }, namesDefault: true}
)

// byHubSignature returns Bitbucket's signature.
func byHubSignature(secret string) proof {
	return func(body string) map[string]string {
		return map[string]string{"X-Hub-Signature": sign(secret, body)}
	}
}

// results returns the result at each target of a push of main, or of the tag.
func (h gitHost) results(tag bool) map[string]string {
	results := map[string]string{}
	for _, target := range slices.Concat(gitSyncs, gitApplications) {
		result := target.onBranch
		switch {
		case tag:
			result = target.onTag
		case target.byDefault && !h.namesDefault:
			result = ""
		}
		if result != "" {
			results[target.name] = result
		}
	}
	return results
}
