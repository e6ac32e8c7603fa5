// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package webhookdelivery

import (
	"fmt"
	"slices"
	"strings"

	"postern.dev/postern/apis/postern"
)

// targetCell tells where a delivery went: to the object that it names, or else to those that were found for it, of which
// one is named and more are counted. Those that did not want it count only if no other did.
func targetCell(d *postern.WebhookDelivery) string {
	if t := d.Spec.Target; t != nil {
		return objectCell(t.Kind, t.Name)
	}
	var wanted, all []string
	for _, t := range d.Status.Targets {
		object := objectCell(t.Kind, t.Name)
		all = append(all, object)
		if t.Result != postern.TargetSkipped {
			wanted = append(wanted, object)
		}
	}
	if len(wanted) == 0 {
		wanted = all
	}
	slices.Sort(wanted) // each may be there several times, once for each ref
	switch wanted = slices.Compact(wanted); len(wanted) {
	case 0:
		return ""
	case 1:
		return wanted[0]
	}
	return fmt.Sprintf("%d targets", len(wanted))
}

func objectCell(kind postern.TargetKind, name string) string {
	return strings.ToLower(string(kind)) + "/" + name
}

// maxRefs is how many refs a cell shows; one delivery may ask for hundreds.
const maxRefs = 3

// refCell tells what was requested: main, or library/nginx:1.2.3. Tags of one repository that follow each other share
// its name.
func refCell(events []postern.DeliveryEvent) string {
	var refs []string
	repository := ""
	for _, e := range events {
		ref := e.Ref
		if e.Image != nil {
			ref = imageCell(e.Image)
			if name := repositoryCell(e.Image); name == repository {
				ref = strings.TrimPrefix(ref, name+":")
			} else {
				repository = name
			}
		} else {
			repository = ""
		}
		refs = append(refs, ref)
	}
	if more := len(refs) - maxRefs; more > 0 {
		refs = append(refs[:maxRefs], fmt.Sprintf("+%d", more))
	}
	return strings.Join(refs, ",")
}

func imageCell(image *postern.ImageReference) string {
	switch {
	case image.Tag != "":
		return repositoryCell(image) + ":" + image.Tag
	case image.Digest != "":
		return repositoryCell(image) + "@" + image.Digest
	}
	return repositoryCell(image)
}

// repositoryCell leaves out the host that everybody leaves out.
func repositoryCell(image *postern.ImageReference) string {
	if image.Host == "" || image.Host == "docker.io" {
		return image.Repository
	}
	return image.Host + "/" + image.Repository
}
