// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const storageClass = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: local
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
---
`

// localVolume needs the name of the node and a path.
const localVolume = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 5Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  local: {path: %[2]s}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%[1]s]}]
`

// sharedVolume needs a path.
const sharedVolume = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: shared}
spec:
  capacity: {storage: 5Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  hostPath: {path: %s, type: Directory}
`

// AddVolume adds what a StorageClass with a provisioner would: a volume on the node.
func (n *Node) AddVolume(ctx context.Context) error {
	path := filepath.Join(n.machine.dir, "volume")
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return n.cluster.apply(ctx, storageClass+fmt.Sprintf(localVolume, n.Name(), path))
}

// AddSharedVolume adds a volume that every node can mount, as one in a network, whose directory belongs to a user and
// the group of the same number. The disk of this machine stands in for it.
func (c *Cluster) AddSharedVolume(ctx context.Context, user int) error {
	path := filepath.Join(c.dir, "shared")
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if err := os.Chown(path, user, user); err != nil { // no fsGroup is applied to a directory of the host
		return err
	}
	return c.apply(ctx, storageClass+fmt.Sprintf(sharedVolume, path))
}

func (c *Cluster) apply(ctx context.Context, objects string) error {
	_, err := c.Kubectl(ctx, strings.NewReader(objects), "apply", "--filename=-")
	return err
}
