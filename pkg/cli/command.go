// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import "slices"

// PluginCommand returns a command of this plugin, in the same cluster and namespace, that can be pasted into a shell.
func (c *Cluster) PluginCommand(words ...string) string {
	all := slices.Concat([]string{"kubectl", "postern"}, words, []string{"-n", c.Namespace}, c.Flags)
	return Command(all...)
}
