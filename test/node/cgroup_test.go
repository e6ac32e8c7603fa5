// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCgroupDirectories(t *testing.T) {
	const mounts = "30 29 0:25 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n" +
		"31 30 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
		"32 30 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" +
		"33 30 0:28 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n" +
		"34 30 0:29 /below /mnt/pids rw,relatime - cgroup cgroup rw,pids\n" +
		"35 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	const own = "9:name=systemd:/session\n4:memory:/jobs/1\n3:pids:/\n2:cpuset:/\n1:cpu,cpuacct:/\n0::/session\n"
	got, err := cgroupDirectories(mounts, own)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{ // neither what is not mounted nor what is mounted in part
		"/sys/fs/cgroup/systemd/session", "/sys/fs/cgroup/memory/jobs/1", "/sys/fs/cgroup/cpu,cpuacct",
		"/sys/fs/cgroup/unified/session",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected directories (-want +got):\n%s", diff)
	}
}

func TestCgroupDirectories_VersionTwo(t *testing.T) {
	const mounts = "30 29 0:25 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"
	if got, err := cgroupDirectories(mounts, "0::/session\n"); err == nil {
		t.Errorf("cgroups of version 2 are %q, want an error", got)
	}
}
