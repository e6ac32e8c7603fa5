// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"postern.dev/postern/pkg/payload"
)

// examineSource checks that the type of sender exists. The server may know more types than this program.
func (e *examiner) examineSource(ctx context.Context) {
	if e.Source == "" {
		return
	}
	if !e.answers {
		if e.sender.Name == "" {
			e.reportUnknownSource()
		}
		return
	}
	source, err := e.Cluster.Postern.PosternV1alpha1().WebhookSources(e.Namespace).Get(ctx, e.Source, getOptions)
	switch {
	case err == nil:
		e.source = source
		e.report(OK, "", "%s is a type of sender: it requests %s, and proves itself by %s", e.Source,
			words(source.Status.Requests), strings.Join(source.Status.Methods, ", "))
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err) && e.sender.Name == "":
		e.reportUnknownSource()
	default:
		e.cannotRead("the type of sender "+e.Source, err)
	}
}

// words returns what a type of sender requests, in words.
func words(requests string) string {
	if requests == payload.RequestsImages {
		return "images"
	}
	return "git refs"
}

// reportUnknownSource suggests the type of sender whose name is most like the given one.
func (e *examiner) reportUnknownSource() {
	similar := similarTo(e.Source, payload.Sources())
	if similar == "" {
		e.report(Fault, e.kubectlHere("get", "webhooksources"), "there is no type of sender %q, so the path of its "+
			"webhook does not exist", e.Source)
		return
	}
	target := ""
	if e.Target != nil {
		target = e.targetName()
	}
	e.report(Fault, e.PluginCommand(e.arguments(target, similar)...),
		"there is no type of sender %q, so the path of its webhook does not exist: %s is meant", e.Source, similar)
}

// maxEdits is how many letters of a name may be wrong.
const maxEdits = 2

// similarTo returns the name that is most like a given one, ignoring case, punctuation and the end .io. It is empty if
// none is.
func similarTo(given string, names []string) string {
	plain := func(s string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune("-_. ", r) {
				return -1
			}
			return r
		}, strings.TrimSuffix(strings.ToLower(s), ".io"))
	}
	best, edits := "", maxEdits+1
	for _, name := range names {
		if n := distance(plain(given), plain(name)); n < edits && n < len(plain(name)) {
			best, edits = name, n
		}
	}
	return best
}

// maxCompared bounds the work of distance.
const maxCompared = 253

// distance returns how many letters have to be inserted, removed or replaced to turn a into b.
func distance(a, b string) int {
	if len(a) > maxCompared || len(b) > maxCompared {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// isOneOf reports whether a list has a text.
func isOneOf(text string, list ...string) bool { return slices.Contains(list, text) }
