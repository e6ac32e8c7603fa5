// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package story

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// Annotations of targets, as the server writes them: pkg/target.
const (
	annotationStokerRef = "stoker.io/requested-ref"
	annotationRef       = "postern.dev/requested-ref"
	annotationEventTime = "postern.dev/event-time"
)

// liveTarget is a target as it is now.
type liveTarget struct {
	kind   v1alpha1.TargetKind
	object *unstructured.Unstructured
}

// readTarget reads a target. problem says why it could not be read, if so.
func readTarget(
	ctx context.Context, cluster *cli.Cluster, namespace string, kind v1alpha1.TargetKind, name string,
) (target *liveTarget, problem string) {
	known, err := cli.ParseKind(string(kind))
	if err != nil {
		return nil, "this version of kubectl postern does not know targets of kind " + string(kind)
	}
	object, err := cluster.Dynamic.Resource(known.Resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, "it does not exist"
	case apierrors.IsForbidden(err):
		return nil, "you may not read it"
	case err != nil:
		return nil, "it could not be read: " + err.Error()
	}
	return &liveTarget{kind, object}, ""
}

// ref returns the git ref or image that is requested of the target now or, if none is, the ref in its specification.
func (t *liveTarget) ref() string {
	annotations := t.object.GetAnnotations()
	if t.kind == v1alpha1.TargetApplicationSet {
		return "" // it holds none
	}
	if t.kind == v1alpha1.TargetGatewaySync {
		inSpec, _, _ := unstructured.NestedString(t.object.Object, "spec", "git", "ref")
		return cmp.Or(annotations[annotationStokerRef], inSpec)
	}
	inSpec, _, _ := unstructured.NestedString(t.object.Object, "spec", "source", "targetRevision")
	return cmp.Or(annotations[annotationRef], inSpec)
}

// now returns the value that a changed field has now; empty if it is absent. Of a list it returns the entry that took
// the place of the one that was written.
func (t *liveTarget) now(change v1alpha1.FieldChange) string {
	if !strings.HasPrefix(change.Field, "spec.") {
		return t.object.GetAnnotations()[change.Field]
	}
	switch value := lookup(t.object.Object, change.Field).(type) {
	case string:
		return value
	case []any:
		return entryLike(value, change)
	}
	return ""
}

// lookup returns the value at a path such as spec.sources[1].targetRevision; nil if it is absent.
func lookup(value any, path string) any {
	for segment := range strings.SplitSeq(path, ".") {
		name, index, isItem := strings.Cut(strings.TrimSuffix(segment, "]"), "[")
		members, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		if value = members[name]; !isItem {
			continue
		}
		items, ok := value.([]any)
		i, err := strconv.Atoi(index)
		if !ok || err != nil || i < 0 || i >= len(items) {
			return nil
		}
		value = items[i]
	}
	return value
}

// entryLike returns the entry of a list that sets the same as the written one: the image of the same name of
// kustomize.images, the same parameter of helm.parameters, or the same variable of plugin.env.
func entryLike(list []any, change v1alpha1.FieldChange) string {
	key := entryKey(cmp.Or(change.New, change.Old))
	for _, item := range list {
		if entry := entryText(item); entryKey(entry) == key {
			return entry
		}
	}
	return ""
}

// entryText returns an entry as the server describes it in a change.
func entryText(item any) string {
	switch item := item.(type) {
	case string:
		return item
	case map[string]any:
		name, _ := item["name"].(string)
		if value, ok := item["value"].(string); ok {
			return name + "=" + value
		}
		return name
	}
	return ""
}

// entryKey returns what an entry sets: the name before "=", or that of an image without its version.
func entryKey(entry string) string {
	if name, _, found := strings.Cut(entry, "="); found {
		return name
	}
	entry, _, _ = strings.Cut(entry, "@")
	if colon := strings.LastIndexByte(entry, ':'); colon > strings.LastIndexByte(entry, '/') {
		return entry[:colon]
	}
	return entry
}

// lastEvent is what a target notes of the last event in a slot.
type lastEvent struct {
	By       string    `json:"by"`
	Received time.Time `json:"received"`
}

// lastEvents returns the last event in each slot, as far as the annotation shows them.
func (t *liveTarget) lastEvents() map[string]lastEvent {
	var events map[string]lastEvent
	if json.Unmarshal([]byte(t.object.GetAnnotations()[annotationEventTime]), &events) != nil {
		return nil
	}
	return events
}
