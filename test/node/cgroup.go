// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ownCgroups returns the directory of this process' cgroup in each hierarchy. They are an error unless controllers are
// in hierarchies of version 1, since only those have been tried.
func ownCgroups() ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	return cgroupDirectories(string(mounts), string(own))
}

// cgroupDirectories does so for the contents of /proc/self/mountinfo and /proc/self/cgroup.
func cgroupDirectories(mounts, own string) ([]string, error) {
	var directories []string
	for line := range strings.Lines(own) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			return nil, fmt.Errorf("%q is no line of /proc/self/cgroup", line)
		}
		if mountPoint := hierarchy(mounts, fields[1]); mountPoint != "" {
			directories = append(directories, filepath.Join(mountPoint, fields[2]))
		} else if fields[1] == "memory" {
			return nil, errors.New("the hierarchy of memory is not mounted")
		}
	}
	if !strings.Contains(own, ":memory:") {
		return nil, errors.New("the controllers of cgroups are not in hierarchies of version 1")
	}
	return directories, nil
}

// hierarchy returns where the hierarchy with the controllers, or that of version 2 if there are none, is mounted.
func hierarchy(mounts, controllers string) string {
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		fields, filesystem := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(filesystem) < 3 || fields[3] != "/" {
			continue
		}
		if filesystem[0] == "cgroup2" && controllers == "" {
			return fields[4]
		}
		options := strings.Split(filesystem[2], ",")
		if filesystem[0] == "cgroup" && !slices.ContainsFunc(strings.Split(controllers, ","), func(c string) bool {
			return !slices.Contains(options, c)
		}) {
			return fields[4]
		}
	}
	return ""
}

// makeCgroup creates a cgroup, which may use all processors and memory that its parent may use.
func makeCgroup(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		inherited, err := os.ReadFile(filepath.Join(filepath.Dir(path), file))
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(path, file), inherited, 0o600)
		}
		if err != nil {
			return fmt.Errorf("could not set %s of the cgroup %s: %w", file, path, err)
		}
	}
	return os.WriteFile(filepath.Join(path, "cgroup.clone_children"), []byte("1"), 0o600)
}
