// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"path"
	"slices"
	"strings"

	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern"
)

// These bound the work for one Application, whose owner chooses the paths. With more, every push is taken to change its
// files.
const (
	// maxManifestPaths is how many paths are compared with each changed file.
	maxManifestPaths = 100
	// maxManifestPathsBytes is how long the annotation and the path of a source may be together.
	maxManifestPathsBytes = 4 << 10
	// maxMatchedBytes is the length of all patterns times that of all files. For each byte of a file, path.Match may
	// read the whole pattern.
	maxMatchedBytes = 1 << 20
)

// manifestPaths returns the paths in AnnotationManifestGeneratePaths, for a source at a path, clean and below the root
// of the repository. The root itself is empty.
func manifestPaths(annotation, sourcePath string) []string {
	var paths []string
	for item := range strings.SplitSeq(annotation, ";") {
		item = strings.TrimSpace(item)
		switch {
		case item == "":
			continue
		case !strings.HasPrefix(item, "/"):
			item = path.Join("/", sourcePath, item)
		}
		paths = append(paths, path.Clean(item)[1:])
	}
	return paths
}

// touches reports whether a changed file is at or below one of the paths, or matches it as a pattern. It is true if the
// files or the paths are unknown, or too many.
func touches(paths, files []string) bool {
	patterns := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !isPattern(p) })
	if len(files) == 0 || len(paths) == 0 || len(paths) > maxManifestPaths ||
		totalLength(patterns)*totalLength(files) > maxMatchedBytes {
		return true
	}
	return slices.ContainsFunc(paths, func(p string) bool {
		isPattern := isPattern(p)
		return slices.ContainsFunc(files, func(file string) bool {
			if below, found := strings.CutPrefix(file, p); found && (p == "" || below == "" || below[0] == '/') {
				return true
			}
			if !isPattern {
				return false
			}
			matches, err := path.Match(p, file)
			return matches && err == nil
		})
	})
}

func isPattern(p string) bool { return strings.ContainsAny(p, `*?[\`) }

func totalLength(texts []string) (length int) {
	for _, text := range texts {
		length += len(text)
	}
	return length
}

// isUnaffected reports whether a pushed branch that an Application follows changes no file that its manifests are made
// from, and so needs no refresh.
func isUnaffected(app *argov1alpha1.Application, r Request) bool {
	annotation, present := app.Annotations[argov1alpha1.AnnotationManifestGeneratePaths]
	if !present || len(r.ChangedFiles) == 0 || r.RefType != postern.RefTypeBranch {
		return false
	}
	followed, problem := sourcesFollowing(app.Namespace, app.Annotations, sourcesOf(&app.Spec), r)
	if problem != nil || awaitsRefresh(app, r) {
		return false
	}
	var paths []string
	for _, s := range followed {
		if !s.isAtRef(r) || len(annotation)+len(s.Path) > maxManifestPathsBytes || len(paths) > maxManifestPaths {
			return false
		}
		ofSource := manifestPaths(annotation, s.Path)
		if len(ofSource) == 0 {
			return false
		}
		paths = append(paths, ofSource...)
	}
	return !touches(paths, r.ChangedFiles)
}

// awaitsRefresh reports whether the status of an Application does not show the commit of a request for the same
// repository that was written a moment ago. A refresh then serves both.
func awaitsRefresh(app *argov1alpha1.Application, r Request) bool {
	last, known := parseWatermarks(app.Annotations)[applicationKind{}.gitSlot(r)]
	return known && last.Commit != "" && r.At.Sub(last.Received) <= refreshWindow &&
		!slices.Contains(comparedRevisions(app), last.Commit)
}
