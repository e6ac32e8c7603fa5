// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"

	"postern.dev/postern/apis/postern"
)

var giteaPackages = Sender{
	Name: "gitea-packages", Requests: RequestsImages, Expects: "package.type and package.html_url",
	Identity: true, Signatures: []SignatureScheme{SignatureBody},
	family:  giteaFamily,
	namedBy: allOf(gitea.namedBy, giteaEventIs("package")),
	shape:   allOf(has("package", "type"), has("package", "version"), has("sender", "username")),
	decode:  decodeGiteaPackages,
}

// giteaFamily is the family of the sender types that use the webhooks of Gitea and Forgejo.
const giteaFamily = "gitea"

// giteaEventIs matches if the headers name the event.
func giteaEventIs(event string) condition {
	return func(m message) bool {
		_, name := firstHeader(m.header, giteaEventHeaders...)
		return name == event
	}
}

// giteaPackage contains the used fields of the package event of Gitea and Forgejo: modules/structs/{hook,package}.go,
// services/convert/package.go and routers/api/packages/container in their sources.
//
// The version of a container is a tag, in lower case, or the digest of a manifest without one, such as the manifests of
// an index. A tag that is pushed again is a new version with its own time. The event has neither the digest of a tag
// nor the type of its manifest.
type giteaPackage struct {
	Action  string `json:"action"`
	Package struct {
		Owner struct {
			Login    string `json:"login"`
			Username string `json:"username"`
		} `json:"owner"`
		Type      string    `json:"type"`
		Name      string    `json:"name"`
		Version   string    `json:"version"`
		HTMLURL   string    `json:"html_url"`
		CreatedAt timestamp `json:"created_at"`
	} `json:"package"`
}

func decodeGiteaPackages(m message, out *Decoded) (err error) {
	if out.DeliveryID, err = m.deliveryID(giteaDeliveryHeaders...); err != nil {
		return err
	}
	if _, name := firstHeader(m.header, giteaEventHeaders...); name != "" && name != "package" {
		out.ignore(IgnoredEvent, "the event %s asks for no image; send packages", quote(name))
		return nil
	}
	p, err := decodeAs[giteaPackage](m)
	pkg := p.Package
	switch {
	case err != nil:
		return err
	case pkg.Type == "":
		return missing("package.type", "it says whether the package is an image")
	case pkg.Type != "container":
		out.ignore(IgnoredNotAnImage, "the package %s is of the type %s", quote(pkg.Name), quote(pkg.Type))
		return nil
	case p.Action == "":
		return missing("action", "it says what happened to the package")
	case p.Action == "deleted":
		out.ignore(IgnoredRefDeleted, "%s of the package %s was deleted", quote(pkg.Version), quote(pkg.Name))
		return nil
	case p.Action != "created":
		out.ignore(IgnoredAction, "a package was %s; only created counts", quote(p.Action))
		return nil
	}
	image := postern.ImageReference{Tag: pkg.Version}
	image.Host, _ = splitAddress(pkg.HTMLURL)
	owner := pkg.Owner.Login
	if owner == "" {
		owner = pkg.Owner.Username
	}
	if err := require("package.html_url", image.Host, "package.owner.login", owner, "package.name", pkg.Name,
		"package.version", pkg.Version); err != nil {
		return err
	}
	repository := strings.ToLower(owner + "/" + pkg.Name)
	image.Host, image.Repository, err = m.pullReference(registry{host: image.Host}, repository)
	if err != nil {
		return err
	}
	out.addImage(postern.DeliveryEvent{Event: "package.created", Time: pkg.CreatedAt.microTime()}, image)
	return nil
}
