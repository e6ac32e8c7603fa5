// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"slices"
	"strings"
)

// kustomizeImage is an entry of kustomize.images, [name=]newName[:tag][@digest], as `kustomize edit set image` reads it
// (https://kubectl.docs.kubernetes.io/references/kustomize/cmd/edit/set/image/).
type kustomizeImage struct {
	// name is the image in the manifests, with or without a tag, or empty if newName is also the name in the manifests.
	name string
	// newName is what the entry sets. After a name it may be empty or "*", to keep the name.
	newName string
	// tag and digest may be any text, such as a variable that Argo CD replaces.
	tag, digest string
}

func parseKustomizeImage(entry string) kustomizeImage {
	var k kustomizeImage
	name, value, found := strings.Cut(entry, "=")
	if found {
		k.name = name
	} else {
		value = entry
	}
	value, k.digest, _ = strings.Cut(value, "@")
	path := strings.IndexByte(value, '/') + 1 // a colon before it starts a port
	if colon := strings.IndexByte(value[path:], ':'); colon >= 0 {
		value, k.tag = value[:path+colon], value[path+colon+1:]
	}
	k.newName = value
	return k
}

// replacedName returns the image in the manifests that the entry replaces.
func (k kustomizeImage) replacedName() string {
	if k.name != "" {
		return k.name
	}
	return k.newName
}

// keepsName reports whether the entry sets only the version of the image that it names.
func (k kustomizeImage) keepsName() bool {
	return k.name != "" && (k.newName == "" || k.newName == "*")
}

func (k kustomizeImage) String() string {
	image := Image{Name: k.newName, Tag: k.tag, Digest: k.digest}.String()
	if k.name != "" {
		return k.name + "=" + image
	}
	return image
}

// sets reports whether the entry sets a configured image, and whether it does so by the name that the configuration
// replaces.
func (k kustomizeImage) sets(c ImageConfig) (sets, byReplacedName bool) {
	if replaced := c.replacedName(); replaced != "" {
		byReplacedName = sameName(k.replacedName(), replaced)
		return byReplacedName || k.name == "" && sameName(k.newName, c.Name), byReplacedName
	}
	name := k.newName
	if _, err := NormalizeName(name); k.keepsName() || err != nil && k.name != "" {
		name, _ = splitConstraint(k.name)
	}
	return sameName(name, c.Name), false
}

// image returns the image that the entry sets for a configured image. ok is false if it is not a reference. An entry
// that keeps the name may set a name that other files give to the image: the configured one, if it runs or the name in
// the manifests does not.
func (k kustomizeImage) image(c ImageConfig, live []Image) (i Image, ok bool) {
	i = Image{Name: k.newName, Tag: strings.Trim(k.tag, "*"), Digest: strings.Trim(k.digest, "*")}
	if k.keepsName() {
		i.Name, _ = splitConstraint(k.name)
		same, others := partitionByName(live, c.Name)
		if len(same) > 0 || len(others) == 0 {
			i.Name = c.Name
		}
	}
	return i, i.validate() == nil
}

// respelled returns an entry without a name in the manifests with the name as the running images spell it. Kustomize
// compares the exact text, so an entry with another spelling has no effect.
func (k kustomizeImage) respelled(live []Image) kustomizeImage {
	if spelling := liveSpelling(k.newName, live); k.name == "" && spelling != "" {
		k.newName = spelling
	}
	return k
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
		k := parseKustomizeImage(entry)
		switch sets, byName := k.sets(c); {
		case byName:
			byReplacedName = append(byReplacedName, kustomizeEntry{i, k})
		case sets:
			byImage = append(byImage, kustomizeEntry{i, k})
		}
	}
	if len(byReplacedName) > 0 {
		return byReplacedName
	}
	return byImage
}

// readKustomizeImages adds what entries set for a configured image.
func (c *Current) readKustomizeImages(entries []string, config ImageConfig) {
	for _, entry := range kustomizeEntries(entries, config) {
		i, ok := entry.image(config, c.Live)
		if !ok {
			c.Unreadable = entry.String()
			continue
		}
		c.Overrides = append(c.Overrides, i)
		c.Ineffective = c.Ineffective || entry.respelled(c.Live) != entry.kustomizeImage
	}
}

// setKustomizeImage returns the entries with the image set. Existing entries keep their spelling and the name they
// replace, unless the manifests spell it differently. A new entry replaces the configured name, or by default the image
// as the manifests spell it.
func setKustomizeImage(entries []string, c ImageConfig, live []Image, to Image) []string {
	entries = slices.Clone(entries)
	found := kustomizeEntries(entries, c)
	for _, entry := range found {
		k := entry.respelled(live)
		if replaced := c.replacedName(); replaced != "" {
			if k.name = k.replacedName(); !sameName(k.name, replaced) {
				k.name = replaced
			}
			k.newName = to.Name
		}
		k.tag, k.digest = to.Tag, to.Digest
		entries[entry.index] = k.String()
	}
	if len(found) > 0 {
		return entries
	}
	k := kustomizeImage{name: c.replacedName(), newName: to.Name, tag: to.Tag, digest: to.Digest}
	if k.name == "" {
		k.name = liveSpelling(c.Name, live)
	}
	return append(entries, k.String())
}

// liveSpelling returns the spelling of an image in the manifests, or "" if it does not run or any manifest spells it as
// given.
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
