// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/naming"
)

// maxGenerators bounds the generators of an ApplicationSet that are looked at.
const maxGenerators = 100

// generator is a generator of an ApplicationSet that pushes or pull requests may concern. Argo CD's own webhook is the
// model: shouldRefreshGitGenerator and its neighbors in applicationset/webhook/webhook.go. It knows fewer git hosts,
// and runs a generator to find what a template in another one may name. Templates match nothing here.
type generator struct {
	// path is the location as a JSON pointer, and reads are the fields below it that wants relies on.
	path  string
	reads []fieldRead
	// repositories are what it looks at.
	repositories []string
	// ofPullRequests is set if it looks at pull requests, otherwise at revision.
	ofPullRequests bool
	revision       string
}

// fieldRead is a field with the value that was read.
type fieldRead struct {
	path  string
	value any
}

// isAny reports whether the generator may look at any repository.
func (g generator) isAny() bool { return slices.Contains(g.repositories, anyRepository) }

// wants reports whether what a request is about may change the result of the generator.
func (g generator) wants(namespace string, r Request) bool {
	switch {
	case g.isAny():
		return true
	case !r.isFromAny(g.repositories) || r.isPullRequest() != g.ofPullRequests:
		return false
	case g.ofPullRequests:
		return true
	}
	if follows, _ := (followRule{namespace: namespace, tracked: g.revision}).follows(r); follows {
		return true
	}
	tracked := appSource{ApplicationSource: argov1alpha1.ApplicationSource{TargetRevision: &g.revision}}
	return g.revision != "" && r.mayBeTag() && tracked.selectsTag(namespace, r.Ref, "")
}

// generatorsOf returns the generators of an ApplicationSet, also those within a matrix or a merge.
func generatorsOf(spec *argov1alpha1.ApplicationSetSpec) []generator {
	var l generatorList
	for i, g := range spec.Generators {
		path := fmt.Sprintf("/spec/generators/%d", i)
		l.add(path, g.LeafGenerator)
		l.addCombined(path+"/matrix/generators/", g.Matrix)
		l.addCombined(path+"/merge/generators/", g.Merge)
	}
	return l
}

type generatorList []generator

func (l *generatorList) addCombined(path string, combined *argov1alpha1.CombinedGenerator) {
	if combined == nil {
		return
	}
	for i, g := range combined.Generators {
		path := fmt.Sprint(path, i)
		l.add(path, g.LeafGenerator)
		l.addNested(path+"/matrix/generators/", g.Matrix)
		l.addNested(path+"/merge/generators/", g.Merge)
	}
}

func (l *generatorList) addNested(path string, combined *argov1alpha1.NestedCombinedGenerator) {
	if combined == nil {
		return
	}
	for i, g := range combined.Generators {
		l.add(fmt.Sprint(path, i), g)
	}
}

// add adds what a generator looks at, if that is known.
func (l *generatorList) add(path string, leaf argov1alpha1.LeafGenerator) {
	if len(*l) >= maxGenerators {
		return
	}
	switch {
	case leaf.Git != nil && leaf.Git.RepoURL != "":
		g := generator{path: path + "/git", repositories: []string{leaf.Git.RepoURL}}
		if leaf.Git.Revision != nil {
			g.revision = *leaf.Git.Revision
		}
		g.reads = []fieldRead{{"/repoURL", leaf.Git.RepoURL}, {"/revision", leaf.Git.Revision}}
		*l = append(*l, g)
	case leaf.PullRequest != nil:
		if g := pullRequestGenerator(*leaf.PullRequest); len(g.repositories) > 0 {
			g.path = path + "/pullRequest" + g.path
			*l = append(*l, g)
		}
	case leaf.Plugin != nil && leaf.Plugin.ConfigMapRef.Name != "": // as in Argo CD: it may look at any repository
		*l = append(*l, generator{
			path: path + "/plugin", repositories: []string{anyRepository},
			reads: []fieldRead{{"/configMapRef/name", leaf.Plugin.ConfigMapRef.Name}},
		})
	}
}

// pullRequestGenerator returns a generator by the URL of its repository, with a path below that of the generator. It
// has no repositories if the URL is unknown.
func pullRequestGenerator(p argov1alpha1.PullRequestGenerator) generator {
	g := generator{ofPullRequests: true}
	set := func(path string, api *string, reads ...fieldRead) {
		g.path, g.reads = path, append(reads, fieldRead{"/api", api})
	}
	switch {
	case p.GitHub != nil:
		set("/github", p.GitHub.API, fieldRead{"/owner", p.GitHub.Owner}, fieldRead{"/repo", p.GitHub.Repo})
		g.repositories = repositoryAt(p.GitHub.API, "api.github.com", "/api/v3", p.GitHub.Owner, p.GitHub.Repo)
	case p.GitLab != nil:
		set("/gitlab", p.GitLab.API, fieldRead{"/project", p.GitLab.Project})
		g.repositories = gitLabProject(p.GitLab)
	case p.Gitea != nil:
		set("/gitea", p.Gitea.API, fieldRead{"/owner", p.Gitea.Owner}, fieldRead{"/repo", p.Gitea.Repo})
		g.repositories = repositoryAt(p.Gitea.API, "", "/api/v1", p.Gitea.Owner, p.Gitea.Repo)
	case p.Bitbucket != nil:
		set("/bitbucket", p.Bitbucket.API,
			fieldRead{"/owner", p.Bitbucket.Owner}, fieldRead{"/repo", p.Bitbucket.Repo})
		g.repositories = repositoryAt(p.Bitbucket.API, "api.bitbucket.org", "/2.0", p.Bitbucket.Owner, p.Bitbucket.Repo)
	case p.BitbucketServer != nil:
		s := p.BitbucketServer
		set("/bitbucketServer", s.API, fieldRead{"/project", s.Project}, fieldRead{"/repo", s.Repo})
		g.repositories = repositoryAt(s.API, "", "/rest", "scm", s.Project, s.Repo)
		if g.repositories != nil { // some webhooks do not name the host
			g.repositories = append(g.repositories, s.Project+"/"+s.Repo)
		}
	case p.AzureDevOps != nil:
		a := p.AzureDevOps
		set("/azuredevops", a.API, fieldRead{"/organization", a.Organization},
			fieldRead{"/project", a.Project}, fieldRead{"/repo", a.Repo})
		g.repositories = repositoryAt(a.API, "dev.azure.com", "", a.Organization, a.Project, "_git", a.Repo)
	}
	return g
}

// repositoryAt returns the URL of a repository at the git host of an API, whose URL may end with suffix. Without a URL
// it is the one at the public host. The host of an API may be that of its web pages with "api." before it.
func repositoryAt(api *string, public, suffix string, segments ...string) []string {
	base := "https://" + public
	if api != nil && *api != "" {
		base = strings.TrimSuffix(strings.TrimRight(*api, "/"), suffix)
	} else if public == "" {
		return nil
	}
	scheme, rest, found := strings.Cut(base, "://")
	if !found {
		scheme, rest = "https", base
	}
	address := []string{scheme + "://" + strings.TrimPrefix(rest, "api.")}
	for _, segment := range segments {
		if segment == "" || strings.Contains(segment, "{{") {
			return nil
		}
		address = append(address, url.PathEscape(segment))
	}
	return []string{strings.Join(address, "/")}
}

// gitLabProject returns the URL of the project of a generator, which names it by its number or by its path.
func gitLabProject(g *argov1alpha1.PullRequestGitLab) []string {
	if strings.Trim(g.Project, "0123456789") == "" {
		if host := repositoryAt(g.API, "gitlab.com", "/api/v4"); g.Project != "" && host != nil {
			return []string{numberedRepository(host[0], g.Project)}
		}
		return nil
	}
	path, err := url.PathUnescape(g.Project)
	if err != nil {
		return nil
	}
	return repositoryAt(g.API, "gitlab.com", "/api/v4", strings.Split(path, "/")...)
}

// numberedRepository returns the address of a repository by its number at its git host. address is any URL there.
func numberedRepository(address, number string) string {
	host, _, _ := strings.Cut(naming.NormalizeRepository(address), "/")
	return host + "/projects/" + number
}
