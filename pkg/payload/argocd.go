// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

// argoCDNotification is the part that is read of a notification of Argo CD. Its body is a template of the user's; the
// usual one holds the whole Application below "app": https://argo-cd.readthedocs.io/en/stable/operator-manual/notifications/services/webhook/
// The annotation git.ref is what Stoker's receiver reads.
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

// decodeArgoCD takes the annotation, else a "ref" that the template puts beside the app, else the commit that the app is
// synced to. Only for the last it is known that it belongs to the repository of the app.
func decodeArgoCD(m message, out *Decoded) error {
	p, err := decodeAs[argoCDNotification](m)
	if err != nil {
		return err
	}
	e := Event{Type: "notification"}
	revision := p.App.Status.Sync.Revision
	switch {
	case p.App.Metadata.Annotations.GitRef != "":
		e.Ref, e.RefType = ShortRef(p.App.Metadata.Annotations.GitRef)
	case p.Ref != "":
		e.Ref, e.RefType = ShortRef(p.Ref)
	case isCommitID(revision):
		e.Ref, e.RefType, e.Revision = revision, RefTypeCommit, revision
		e.Repository = p.App.Spec.Source.RepoURL
	default:
		return refuse(ErrorInvalidField,
			`app.metadata.annotations["git.ref"] is missing or empty, and app.status.sync.revision is %s, not a commit id`,
			quote(revision))
	}
	out.add(e)
	return nil
}
