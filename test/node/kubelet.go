// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os"
	"path/filepath"
)

const cniDir = "/usr/lib/cni"

// runtime returns the container runtime.
func (n *Node) runtime() *program {
	return &program{machine: n.machine, name: "containerd", path: "containerd", args: []string{
		"--config=" + n.file("containerd.toml"),
	}}
}

func (n *Node) kubelet() (*program, error) {
	kubeconfig, err := n.cluster.credentials.kubeconfig("kubelet-"+n.Name(), "system:node:"+n.Name(), "system:nodes")
	return &program{machine: n.machine, name: "kubelet", path: n.cluster.k8s("kubelet"), args: []string{
		"--config=" + n.file("kubelet.yaml"), "--kubeconfig=" + kubeconfig, "--hostname-override=" + n.Name(),
		"--node-ip=" + address(n.index), "--v=2",
	}}, err
}

func (n *Node) proxy() (*program, error) {
	_, err := n.cluster.credentials.kubeconfig("kube-proxy", "system:kube-proxy")
	return &program{machine: n.machine, name: "kube-proxy", path: n.cluster.k8s("kube-proxy"), args: []string{
		"--config=" + n.file("kube-proxy.yaml"), "--v=2",
	}}, err
}

// configure writes the files that the programs of the node read.
func (n *Node) configure() error {
	if err := os.MkdirAll(n.file("cni.d"), 0o755); err != nil {
		return err
	}
	pki := n.cluster.credentials
	for name, content := range map[string]string{
		"containerd.toml":     fmt.Sprintf(containerdConfig, PauseImage, cniDir, n.file("cni.d")),
		"cni.d/node.conflist": fmt.Sprintf(cniConfig, podSubnet(n.index)),
		"resolv.conf":         "nameserver 10.96.0.10\n", // no one is there: nothing in these tests asks for a name
		"kubelet.yaml":        fmt.Sprintf(kubeletConfig, pki.cert("ca"), n.file("resolv.conf")),
		"kube-proxy.yaml": fmt.Sprintf(proxyConfig, filepath.Join(pki.dir, "kube-proxy.kubeconfig"), n.Name(),
			podRange),
	} {
		if err := os.WriteFile(n.file(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) file(name string) string { return filepath.Join(n.machine.dir, name) }

// containerdConfig needs the image of the pause container and the directories of CNI. Neither AppArmor nor a lower
// oom_score_adj than the parent's can be relied on where the tests run.
const containerdConfig = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = %q
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = %q
conf_dir = %q
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
`

// cniConfig needs the subnet of the node's Pods. The node's route to the bridge is the only one that they need.
const cniConfig = `{"cniVersion": "0.4.0", "name": "node", "plugins": [
  {"type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true, "ipam": {
    "type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
`

// kubeletConfig needs the CA of clients and the file with the name server. The disk is shared with the host.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %q}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
resolvConf: %q
podLogsDir: /var/log/pods
volumePluginDir: /run/kubelet-plugins
evictionHard: {memory.available: 50Mi, nodefs.available: 1%%, imagefs.available: 1%%}
imageGCHighThresholdPercent: 100
`

// proxyConfig needs the kubeconfig, the name of the node and the range of Pods. The table of connections is shared with
// the host, so its size stays.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: %q}
hostnameOverride: %s
clusterCIDR: %s
conntrack: {maxPerCore: 0, min: 0}
`
