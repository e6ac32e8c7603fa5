// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"cmp"
	"strings"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

var argoCD = Sender{
	Name: "argocd", Requests: RequestsGitRefs,
	Expects:  `app.metadata.annotations["git.ref"], app.status.sync.revision or revisions, or app.metadata and ref`,
	Identity: true, Token: true,
	identifying: idHeaders, kept: idHeaders,
	defaultBranch: anyDefaultBranch,
	shape: anyOf(
		has("app", "metadata", "annotations", "git.ref"),
		has("app", "status", "sync", "revision"), has("app", "status", "sync", "revisions"),
		allOf(has("app", "metadata"), hasAll("ref")),
	),
	decode: decodeArgoCD,
}

// argoCDNotification contains the used fields of an Argo CD notification. The user defines its template, which usually
// has the whole Application in "app":
// https://argo-cd.readthedocs.io/en/stable/operator-manual/notifications/services/webhook/
//
// The annotation git.ref is also used by Stoker's receiver.
type argoCDNotification struct {
	App struct {
		Metadata struct {
			Annotations struct {
				GitRef string `json:"git.ref"`
			} `json:"annotations"`
		} `json:"metadata"`
		Spec struct {
			Source  argoCDSource       `json:"source"`
			Sources list[argoCDSource] `json:"sources"`
		} `json:"spec"`
		Status struct {
			Sync struct {
				Revision  string       `json:"revision"`
				Revisions list[string] `json:"revisions"` // of the sources, in their order
			} `json:"sync"`
		} `json:"status"`
	} `json:"app"`
	Ref string `json:"ref"`
}

type argoCDSource struct {
	RepoURL string `json:"repoURL"`
	Chart   string `json:"chart"`
}

// isGit reports whether the source may be a git repository.
func (s argoCDSource) isGit() bool {
	return s.Chart == "" && !strings.HasPrefix(s.RepoURL, naming.OCIScheme)
}

// decodeArgoCD uses the annotation, then a top-level "ref" of the template, then the synced commits.
func decodeArgoCD(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID(idHeaders...); err != nil {
		return err
	}
	p, err := decodeAs[argoCDNotification](m)
	if err != nil {
		return err
	}
	commits := p.commits()
	if named := cmp.Or(p.App.Metadata.Annotations.GitRef, p.Ref); named != "" {
		out.addNamed("notification", named, commits)
		return nil
	}
	for _, c := range commits {
		if c.id != "" {
			out.add(postern.DeliveryEvent{
				Event: "notification", Ref: c.id, RefType: postern.RefTypeCommit, Revision: c.id,
				Repository: c.repository,
			})
		}
	}
	if len(out.Events) == 0 {
		return refuse(ErrorInvalidField,
			`app.metadata.annotations["git.ref"] is missing or empty, and app.status.sync names no full commit id `+
				`(%s): add the annotation git.ref, or a "ref" next to app`,
			quote(cmp.Or(strings.Join(p.App.Status.Sync.Revisions, ", "), p.App.Status.Sync.Revision)))
	}
	return nil
}

// commits returns the synced commits of the sources, without those of charts and OCI artifacts. The commit of a source
// without a revision has no id.
func (p argoCDNotification) commits() (commits []repositoryCommit) {
	sources, revisions := p.App.Spec.Sources, p.App.Status.Sync.Revisions
	switch revision := p.App.Status.Sync.Revision; {
	case len(revisions) > 0:
	case revision == "" && len(sources) > 0:
		revisions = make(list[string], len(sources))
	default:
		sources, revisions = list[argoCDSource]{p.App.Spec.Source}, list[string]{revision}
	}
	for i, revision := range revisions {
		c, isGit := repositoryCommit{id: commitIDOrEmpty(revision)}, true
		if len(sources) == len(revisions) {
			c.repository, isGit = sources[i].RepoURL, sources[i].isGit()
		}
		if isGit && c.id == revision {
			commits = append(commits, c)
		}
	}
	return commits
}
