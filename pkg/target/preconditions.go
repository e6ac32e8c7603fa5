// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/pkg/imageupdate"
)

// readAnnotations returns the annotations with the given keys, and makes the decision depend on each, present or
// absent.
func (b *patchBuilder) readAnnotations(keys ...string) map[string]string {
	kept := map[string]string{}
	for _, key := range keys {
		b.testAnnotation(key)
		if value, ok := b.annotations[key]; ok {
			kept[key] = value
		}
	}
	return kept
}

// readRevisions returns the sources that Argo CD uses, and makes the decision depend on the fields that rules for git
// refs read.
func (b *patchBuilder) readRevisions(spec *argov1alpha1.ApplicationSpec) []appSource {
	sources := b.readSources(spec)
	if len(sources) <= maxSources {
		for _, source := range sources {
			b.test(source.path+"/targetRevision", pointerOrNull(source.TargetRevision))
		}
	}
	return sources
}

// readSources returns the sources that Argo CD uses, and makes the decision depend on exactly these being there.
func (b *patchBuilder) readSources(spec *argov1alpha1.ApplicationSpec) []appSource {
	sources := sourcesOf(spec)
	if spec.SourceHydrator == nil {
		b.test("/spec/sourceHydrator", nil)
		b.testLength("/spec/sources", spec.Sources)
		if len(sources) == 0 {
			b.test("/spec/source", nil)
		}
	}
	if len(sources) > maxSources {
		return sources // tested as a whole
	}
	for _, source := range sources {
		b.test(source.path+"/repoURL", source.RepoURL)
		// In a list the repository does not identify a source: several directories or charts often share one, and may
		// have changed places.
		if len(spec.Sources) > 0 {
			b.test(source.path+"/path", orNull(source.Path))
			b.test(source.path+"/chart", orNull(source.Chart))
		}
	}
	return sources
}

// testLength makes the decision depend on the number of sources. JSON Patch has no test for that: an appended item is
// at the expected index only if the length is as expected.
func (b *patchBuilder) testLength(path string, list []argov1alpha1.ApplicationSource) {
	switch count := len(list); {
	case list == nil:
		b.test(path, nil)
	case count == 0 || count > maxSources:
		b.addTest(Operation{Op: "test", Path: path, Value: list, uncertain: count > 0})
	case !b.tested[path]:
		b.tested[path] = true
		const end = "the end"
		last := fmt.Sprintf("%s/%d", path, count)
		b.tests = append(b.tests,
			Operation{Op: "add", Path: path + "/-", Value: end, probe: true},
			Operation{Op: "test", Path: last, Value: end, probe: true},
			Operation{Op: "remove", Path: last, probe: true})
	}
}

// readImages returns the parts of an Application that rules for images read, and makes the decision depend on them. The
// configuration must be from imageupdate.ReadConfigForImage for the pushed image.
func (b *patchBuilder) readImages(app *argov1alpha1.Application) *argov1alpha1.Application {
	if sources := b.readSources(&app.Spec); len(sources) <= maxSources {
		for _, source := range sources {
			b.test(source.path+"/chart", orNull(source.Chart))
			b.testTools(source)
		}
	}
	if len(app.Spec.Sources) > 0 && app.Spec.SourceHydrator == nil {
		b.testStatus("/status/sourceTypes", listOrNull(app.Status.SourceTypes), app)
	} else {
		b.testStatus("/status/sourceType", orNull(app.Status.SourceType), app)
	}
	b.testStatus("/status/summary/images", listOrNull(app.Status.Summary.Images), app)
	read := &argov1alpha1.Application{Spec: app.Spec, Status: app.Status}
	read.Namespace = app.Namespace
	return read
}

// testTools makes the decision depend on the parameters of the tools that may render a source.
func (b *patchBuilder) testTools(source appSource) {
	if source.Kustomize == nil {
		b.test(source.path+"/kustomize", nil)
	} else {
		b.test(source.path+"/kustomize/images", listOrNull(source.Kustomize.Images))
	}
	if source.Helm == nil {
		b.test(source.path+"/helm", nil)
	} else {
		b.test(source.path+"/helm/parameters", listOrNull(source.Helm.Parameters))
	}
	if source.Plugin == nil {
		b.test(source.path+"/plugin", nil)
	} else {
		b.test(source.path+"/plugin/env", listOrNull(source.Plugin.Env))
	}
}

// testStatus makes the decision depend on a part of the status. If no image is reported the cache does not show whether
// the parent of the part exists.
func (b *patchBuilder) testStatus(path string, value any, app *argov1alpha1.Application) {
	b.addTest(Operation{Op: "test", Path: path, Value: value, uncertain: len(app.Status.Summary.Images) == 0})
}

// testConfiguration makes the decision depend on the values from which the configuration of one image was read.
func (b *patchBuilder) testConfiguration(labels map[string]string, config imageupdate.Config) {
	b.readAnnotations(config.Annotations...)
	for _, image := range config.Images {
		b.readAnnotations(image.Annotations...)
	}
	if config.Labels {
		b.test("/metadata/labels", mapOrNull(labels))
	}
}

// pointerOrNull, listOrNull and mapOrNull return the value to test for a field that may be absent.
func pointerOrNull(value *string) any {
	if value == nil {
		return nil
	}
	return *value
}

func listOrNull[T any](list []T) any {
	if list == nil {
		return nil
	}
	return list
}

func mapOrNull(values map[string]string) any {
	if values == nil {
		return nil
	}
	return values
}

// errNullItem marks a list that can't be tested: the kube-apiserver's library panics when it compares null items.
var errNullItem = errors.New("a list tested by the patch contains null")

// exactTests returns a patch whose tests are for the exact values in a document. Our types are parts of the real ones,
// and some do not distinguish null, empty and absent. A patch that tests for our values, of a list in particular, could
// be rejected forever.
func exactTests(patch []Operation, document []byte) ([]Operation, error) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber() // numbers must keep their spelling
	var read any
	if err := decoder.Decode(&read); err != nil {
		return nil, fmt.Errorf("could not decode the object: %w", err)
	}
	exact := slices.Clone(patch)
	for i, operation := range exact {
		if operation.Op != "test" || operation.probe {
			continue
		}
		path := existingPrefix(read, operation.Path)
		value := lookupPointer(read, path)
		if list, ok := value.([]any); ok && slices.Contains(list, nil) {
			return nil, fmt.Errorf("%w: %s", errNullItem, operation.Path)
		}
		exact[i].Path, exact[i].Value = path, value
	}
	return exact, nil
}

// lookupPointer returns the value at a JSON pointer (RFC 6901); nil if it does not exist.
func lookupPointer(value any, pointer string) any {
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch container := value.(type) {
		case map[string]any:
			value = container[pointerUnescaper.Replace(token)]
		case []any:
			index, err := strconv.Atoi(token)
			if err != nil || index < 0 || index >= len(container) {
				return nil
			}
			value = container[index]
		default:
			return nil
		}
	}
	return value
}

// existingPrefix cuts a JSON pointer off after its first absent segment: without its parent a member can't be tested to
// be absent.
func existingPrefix(value any, pointer string) string {
	for end := 1; end < len(pointer); end++ {
		next := strings.IndexByte(pointer[end:], '/')
		if next < 0 {
			break
		}
		if end += next; lookupPointer(value, pointer[:end]) == nil {
			return pointer[:end]
		}
	}
	return pointer
}
