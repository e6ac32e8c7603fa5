// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"slices"
)

// Resolve finds out whether a target exists. Its errors are those of Write.
func (w *Writer) Resolve(ctx context.Context, key Key) error {
	endpoint, ok := w.endpoints[key.Kind]
	if !ok {
		return fmt.Errorf("could not find %s: a ref cannot be written to this kind", key)
	}
	if _, ok := w.cache.get(key); ok {
		return nil
	}
	switch _, _, err := endpoint.get(ctx, key); {
	case err == nil:
		return nil
	case mayPass(err):
		return fmt.Errorf("could not find %s: %w", key, &transientError{err})
	default:
		return fmt.Errorf("could not find %s: %w", key, explain(err, key.Kind))
	}
}

// APIVersion returns the group and version by which Postern reads and writes a
// kind; empty if it is not one of Kinds.
func (k Kind) APIVersion() string {
	resource, _, err := k.api()
	if err != nil || !slices.Contains(Kinds(), k) {
		return ""
	}
	return resource.GroupVersion().String()
}
