// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package node

import "path/filepath"

const etcdAddress = "http://127.0.0.1:2379"

// controlPlane returns the programs of the control plane on a machine.
func (c *Cluster) controlPlane(m *machine) ([]*program, error) {
	if _, err := c.credentials.kubeconfig("admin", "admin", "system:masters"); err != nil {
		return nil, err
	}
	manager, err := c.credentials.kubeconfig("kube-controller-manager", "system:kube-controller-manager")
	if err != nil {
		return nil, err
	}
	scheduler, err := c.credentials.kubeconfig("kube-scheduler", "system:kube-scheduler")
	if err != nil {
		return nil, err
	}
	pki := c.credentials
	return []*program{
		{machine: m, name: "etcd", path: c.k8s("etcd"), args: []string{
			"--name=cluster", "--data-dir=" + filepath.Join(m.dir, "etcd"),
			"--listen-client-urls=" + etcdAddress, "--advertise-client-urls=" + etcdAddress,
			"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
			"--initial-cluster=cluster=http://127.0.0.1:2380", "--log-level=warn",
		}},
		{machine: m, name: "kube-apiserver", path: c.k8s("kube-apiserver"), args: []string{
			"--advertise-address=" + firstAddress, "--secure-port=" + apiServerPort, "--etcd-servers=" + etcdAddress,
			"--service-cluster-ip-range=" + serviceRange, "--cert-dir=" + filepath.Join(m.dir, "kube-apiserver"),
			"--tls-cert-file=" + pki.cert("kube-apiserver"), "--tls-private-key-file=" + pki.key("kube-apiserver"),
			"--client-ca-file=" + pki.cert("ca"), "--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + pki.key("service-account"),
			"--service-account-signing-key-file=" + pki.key("service-account"),
			"--kubelet-client-certificate=" + pki.cert("kubelet-client"),
			"--kubelet-client-key=" + pki.key("kubelet-client"),
			"--kubelet-preferred-address-types=InternalIP",
			"--proxy-client-cert-file=" + pki.cert("front-proxy-client"),
			"--proxy-client-key-file=" + pki.key("front-proxy-client"),
			"--requestheader-client-ca-file=" + pki.cert("front-proxy-ca"),
			"--requestheader-allowed-names=front-proxy-client",
			"--requestheader-username-headers=X-Remote-User", "--requestheader-uid-headers=X-Remote-Uid",
			"--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		}},
		{machine: m, name: "kube-controller-manager", path: c.k8s("kube-controller-manager"), args: []string{
			"--kubeconfig=" + manager, "--leader-elect=false", "--bind-address=127.0.0.1",
			"--cluster-cidr=" + podRange, "--service-cluster-ip-range=" + serviceRange,
			"--root-ca-file=" + pki.cert("ca"), "--use-service-account-credentials=true",
			"--service-account-private-key-file=" + pki.key("service-account"),
			"--cluster-signing-cert-file=" + pki.cert("ca"), "--cluster-signing-key-file=" + pki.key("ca"),
		}},
		{machine: m, name: "kube-scheduler", path: c.k8s("kube-scheduler"), args: []string{
			"--kubeconfig=" + scheduler, "--leader-elect=false", "--bind-address=127.0.0.1",
		}},
	}, nil
}
