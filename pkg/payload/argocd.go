// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/naming"
)

var argoCD = Sender{
	Name: "argocd", Requests: RequestsGitRefs,
	Expects:  `app.metadata.annotations["git.ref"] or app.status.sync.revision`,
	Identity: true, Token: true,
	defaultBranch: anyDefaultBranch,
	fits:          fitsArgoCD, decode: decodeArgoCD,
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
			Source struct {
				RepoURL string `json:"repoURL"`
			} `json:"source"`
		} `json:"spec"`
		Status struct {
			Sync struct {
				Revision string `json:"revision"`
			} `json:"sync"`
		} `json:"status"`
	} `json:"app"`
	Ref string `json:"ref"`
}

func fitsArgoCD(m message) bool {
	return m.has("app", "metadata", "annotations", "git.ref") || m.has("app", "status", "sync", "revision")
}

// decodeArgoCD uses the annotation, then a top-level "ref" of the template, then the synced commit. Only the synced
// commit is known to belong to the repository of the app.
func decodeArgoCD(m message, out *Decoded) error {
	p, err := decodeAs[argoCDNotification](m)
	if err != nil {
		return err
	}
	e := postern.DeliveryEvent{Event: "notification"}
	revision := p.App.Status.Sync.Revision
	switch {
	case p.App.Metadata.Annotations.GitRef != "":
		e.Ref, e.RefType = naming.ShortRef(p.App.Metadata.Annotations.GitRef)
	case p.Ref != "":
		e.Ref, e.RefType = naming.ShortRef(p.Ref)
	case isCommitID(revision):
		e.Ref, e.RefType, e.Revision = revision, postern.RefTypeCommit, revision
		e.Repository = p.App.Spec.Source.RepoURL
	default:
		return refuse(ErrorInvalidField,
			`app.metadata.annotations["git.ref"] is missing or empty, `+
				"and app.status.sync.revision is %s, not a commit id",
			quote(revision))
	}
	out.add(e)
	return nil
}
