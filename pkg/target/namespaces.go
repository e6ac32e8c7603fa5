// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"slices"

	"k8s.io/client-go/tools/cache"
)

// Has reports whether an object is in the cache, as it is now. It is safe to call on a nil Cache, which has none.
func (c *Cache) Has(key Key) bool {
	if c == nil {
		return false
	}
	_, found, err := c.kinds[key.Kind].informer.GetIndexer().GetByKey(key.Namespace + "/" + key.Name)
	return found && err == nil
}

// Namespaces returns the namespaces that hold a target, sorted. The error satisfies
// IsTransient if the cache is not filled yet. It is safe to call on a nil Cache, which
// knows none.
func (c *Cache) Namespaces() ([]string, error) {
	if c == nil {
		return nil, errNoCache
	}
	if err := c.ready(Kinds()...); err != nil {
		return nil, &transientError{err}
	}
	var namespaces []string
	for _, kind := range Kinds() {
		namespaces = append(namespaces, c.kinds[kind].informer.GetIndexer().ListIndexFuncValues(cache.NamespaceIndex)...)
	}
	slices.Sort(namespaces)
	return slices.Compact(namespaces), nil
}
