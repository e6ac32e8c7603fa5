// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"slices"
	"strings"
)

// kustomizeImage is an entry of kustomize.images: [name=]newName[:tag][@digest]
// (https://kubectl.docs.kubernetes.io/references/kustomize/cmd/edit/set/image/).
type kustomizeImage struct {
	// name is the image name in the manifests, or empty.
	name string
	Image
}

func parseKustomizeImage(entry string) (kustomizeImage, error) {
	name, image, found := strings.Cut(entry, "=")
	if !found {
		name, image = "", entry
	}
	parsed, err := ParseImage(image)
	return kustomizeImage{name: name, Image: parsed}, err
}

// replacedName returns the image name in the manifests that the entry replaces.
func (k kustomizeImage) replacedName() string {
	if k.name != "" {
		return k.name
	}
	return k.Name
}

func (k kustomizeImage) String() string {
	if k.name != "" {
		return k.name + "=" + k.Image.String()
	}
	return k.Image.String()
}

// kustomizeEntry is an entry with its index in the list.
type kustomizeEntry struct {
	index int
	kustomizeImage
}

// kustomizeEntries finds the entries that set a configured image. If the configuration names an image to replace, it
// returns the entries for that name, otherwise the entries for the image itself, which then take over that name.
// Without such a name, it returns every entry that sets the image, regardless of the name it replaces.
func kustomizeEntries(entries []string, c ImageConfig) []kustomizeEntry {
	var byReplacedName, byImage []kustomizeEntry
	image, replacedBase := baseName(c.Name), baseName(c.replacedName())
	for i, entry := range entries {
		if !strings.Contains(entry, image) && (replacedBase == "" || !strings.Contains(entry, replacedBase)) {
			continue // avoids parsing nearly all entries
		}
		k, err := parseKustomizeImage(entry)
		if err != nil {
			continue
		}
		if replaced := c.replacedName(); replaced != "" {
			if sameName(k.replacedName(), replaced) {
				byReplacedName = append(byReplacedName, kustomizeEntry{i, k})
			}
			if k.name != "" {
				continue
			}
		}
		if sameName(k.Name, c.Name) {
			byImage = append(byImage, kustomizeEntry{i, k})
		}
	}
	if len(byReplacedName) > 0 {
		return byReplacedName
	}
	return byImage
}

// kustomizeImages returns the images that entries set for a configured image.
func kustomizeImages(entries []string, c ImageConfig) []Image {
	var images []Image
	for _, entry := range kustomizeEntries(entries, c) {
		images = append(images, entry.Image)
	}
	return images
}

// setKustomizeImage returns the entries with the image set. Existing entries keep their spelling and the name they
// replace. A new entry replaces the configured name, or by default the image as the manifests spell it, because
// Kustomize matches images by their spelling.
func setKustomizeImage(entries []string, c ImageConfig, live []Image, to Image) []string {
	entries = slices.Clone(entries)
	found := kustomizeEntries(entries, c)
	for _, entry := range found {
		k := entry.kustomizeImage
		if replaced := c.replacedName(); replaced != "" {
			if k.name = k.replacedName(); !sameName(k.name, replaced) {
				k.name = replaced
			}
			k.Image = to
		} else {
			k.Tag, k.Digest = to.Tag, to.Digest
		}
		entries[entry.index] = k.String()
	}
	if len(found) > 0 {
		return entries
	}
	k := kustomizeImage{name: c.replacedName(), Image: to}
	if k.name == "" {
		k.name = liveSpelling(c.Name, live)
	}
	return append(entries, k.String())
}

// liveSpelling returns the spelling of an image in the manifests, or "" if any manifest spells it as the configuration
// does.
func liveSpelling(name string, live []Image) string {
	spelling := ""
	for _, i := range live {
		switch {
		case i.Name == name:
			return ""
		case spelling == "" && sameName(i.Name, name):
			spelling = i.Name
		}
	}
	return spelling
}
