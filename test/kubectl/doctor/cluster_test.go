// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"postern.dev/postern/pkg/cli/doctor"
	"postern.dev/postern/test/certs"
	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

// clusterSetups break the whole cluster, so they come last.
var clusterSetups = []setup{
	{
		name: "missing role of Postern", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		breaks: unbindPostern, sent: ref(plant, "v1"), refused: "202 Pending", question: []string{toPlant, sender},
		level: doctor.Fault, step: "PosternPermissions", cause: []string{"may not", "patch gatewaysyncs"},
	},
	{
		name: "anonymous access is off", objects: []string{testcluster.GatewaySync("plant")},
		secrets: map[string]string{"webhook.gitlab-secret": secret}, breaks: forbidAnonymous,
		sent: delivery{path: plant, anonymous: true, header: map[string]string{"X-Gitlab-Token": secret,
			"X-Gitlab-Event": "Release Hook"}, body: gitLabRelease},
		refused: "401", question: []string{toPlant, "--source=gitlab"}, level: doctor.Fault, step: "AnonymousAccess",
		cause: []string{"refuses requests without credentials", "--anonymous-auth"},
		then: func(r *run, _ string) {
			token, err := os.ReadFile(filepath.Join(r.dir, "token"))
			if err != nil {
				r.T.Fatal(err)
			}
			r.token = strings.TrimSpace(string(token))
		},
		accepted: delivery{path: plant, header: map[string]string{"X-Gitlab-Event": "Release Hook"},
			body: gitLabRelease},
	},
	{
		name: "kind that is not installed", allowed: []string{plant}, breaks: removeCRD, sent: ref(plant, "v1"),
		refused: "404", question: []string{toPlant, sender}, level: doctor.Fault, step: "Target",
		cause: []string{"GatewaySync is not installed"}, words: map[string]string{"FILE": inCheckout(gatewaySyncCRD)},
		then: func(r *run, _ string) {
			if err := cluster.ApplyCRDs(r.T.Context(), gatewaySyncCRD); err != nil {
				r.T.Fatal(err)
			}
			r.Create(testcluster.GatewaySyncs, testcluster.GatewaySync("plant"))
		},
	},
	{
		name: "scaled down", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		breaks: scaleDown, sent: ref(plant, "v1"), refused: "503", question: []string{toPlant, sender},
		level: doctor.Fault, step: "APIService", cause: []string{"can't reach Postern", "scaled to 0"},
		then: func(r *run, _ string) { r.startScaled() },
	},
	{
		name: "not installed", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		breaks: uninstall, sent: ref(plant, "v1"), refused: "404", question: []string{toPlant, sender},
		level: doctor.Fault, step: "APIService", cause: []string{"Postern is not installed"},
		words: map[string]string{"OVERLAY": inCheckout(controlplane.Base)},
		then: func(r *run, _ string) {
			ctx := testcluster.StartContext(r.T)
			if err := errors.Join(cluster.Provide(ctx), cluster.postern.Restart(ctx)); err != nil {
				r.T.Fatal(err)
			}
		},
	},
	{
		name: "expired certificate", objects: []string{testcluster.GatewaySync("plant")}, allowed: []string{plant},
		breaks: expireCertificate, sent: ref(plant, "v1"), refused: "503", question: []string{toPlant, sender},
		// Older versions of Kubernetes show it at the step API only.
		level: doctor.Fault, cause: []string{"its serving certificate has expired"}, manually: true,
		then: func(r *run, _ string) { r.renewCertificate() },
	},
}

const gitLabRelease = `{"object_kind": "release", "action": "create", "tag": "v1.1.0",
	"project": {"git_http_url": "https://gitlab.com/example/plant.git"}}`

const gatewaySyncCRD = "artifacts/crds/gatewaysyncs.stoker.io.yaml"

// inCheckout returns the absolute path of a file of the checkout.
func inCheckout(path string) string {
	absolute, err := filepath.Abs(filepath.Join("../../..", path))
	if err != nil {
		return path
	}
	return absolute
}

func unbindPostern(r *run) func() {
	if err := cluster.Kube.RbacV1().ClusterRoleBindings().Delete(r.T.Context(), "postern",
		metav1.DeleteOptions{}); err != nil {
		r.T.Fatal(err)
	}
	return nil
}

func forbidAnonymous(r *run) func() {
	ctx := testcluster.StartContext(r.T)
	r.Grant(testcluster.Unauthenticated, "create", "gatewaysyncs/webhookdeliveries", "plant")
	if err := cluster.RestartAPIServer(ctx, "--anonymous-auth=false"); err != nil {
		r.T.Fatal(err)
	}
	if err := cluster.WaitForPostern(ctx); err != nil {
		r.T.Fatal(err)
	}
	return func() {
		ctx := context.Background()
		if err := errors.Join(cluster.RestartAPIServer(ctx), cluster.WaitForPostern(ctx)); err != nil {
			r.T.Error(err)
		}
	}
}

func removeCRD(r *run) func() {
	r.kubectl("", "delete", "--filename="+gatewaySyncCRD)
	r.Eventually(testcluster.Patience, func() error {
		_, err := cluster.Objects.Resource(testcluster.GatewaySyncs).Namespace(r.Namespace).List(r.T.Context(),
			metav1.ListOptions{})
		if err == nil {
			return errors.New("GatewaySyncs are still served")
		}
		return nil
	})
	return nil
}

// check makes the kube-apiserver check the APIService at once.
func (r *run) checkAPIService(patch string) {
	r.T.Helper()
	r.kubectl("", "patch", "apiservice", "v1alpha1.postern.dev", "--type=merge", "--patch", patch)
}

func scaleDown(r *run) func() {
	if err := cluster.postern.Stop(r.T.Context()); err != nil {
		r.T.Fatal(err)
	}
	r.kubectl("", "scale", "statefulset/postern", "--namespace="+controlplane.Namespace, "--replicas=0")
	r.checkAPIService(`{"metadata": {"annotations": {"postern.dev/local-started-at": "never"}}}`)
	return nil
}

// startScaled starts what the StatefulSet asks for, as its controller does.
func (r *run) startScaled() {
	set, err := cluster.Kube.AppsV1().StatefulSets(controlplane.Namespace).Get(r.T.Context(), "postern",
		metav1.GetOptions{})
	if err != nil {
		r.T.Fatal(err)
	}
	if *set.Spec.Replicas != 1 {
		r.T.Fatalf("the StatefulSet has %d replicas", *set.Spec.Replicas)
	}
	if err := cluster.postern.Start(testcluster.StartContext(r.T)); err != nil {
		r.T.Fatal(err)
	}
}

func uninstall(r *run) func() {
	r.kubectl("", "delete", "apiservice", "v1alpha1.postern.dev")
	return nil
}

// expireCertificate runs Postern with a certificate from files, and replaces these by one that has expired.
func expireCertificate(r *run) func() {
	ctx := testcluster.StartContext(r.T)
	if err := cluster.postern.Stop(ctx); err != nil {
		r.T.Fatal(err)
	}
	postern, err := cluster.StartPostern(ctx, controlplane.PosternOptions{CertificateFiles: true})
	if err != nil {
		r.T.Fatal(err)
	}
	cluster.postern = postern
	ca, err := certs.NewAuthority("expired")
	if err != nil {
		r.T.Fatal(err)
	}
	const name = "postern.postern-system.svc"
	template := certs.ServingTemplate(name, name)
	template.NotBefore, template.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	certPEM, keyPEM, err := ca.Issue(template)
	if err != nil {
		r.T.Fatal(err)
	}
	caPEM, _, err := ca.PEM()
	if err != nil {
		r.T.Fatal(err)
	}
	file := func(suffix string) string { return filepath.Join(cluster.Dir(), "pki", "postern"+suffix) }
	err = errors.Join(os.WriteFile(file(".crt"), certPEM, 0o600), os.WriteFile(file(".key"), keyPEM, 0o600))
	if err != nil {
		r.T.Fatal(err)
	}
	r.setCA(caPEM)
	return nil
}

func (r *run) renewCertificate() {
	if err := cluster.RenewCertificateFiles(); err != nil {
		r.T.Fatal(err)
	}
	caPEM, err := os.ReadFile(filepath.Join(cluster.Dir(), "pki", "postern-ca.crt"))
	if err != nil {
		r.T.Fatal(err)
	}
	r.setCA(caPEM)
}

// setCA sets the CA that the kube-apiserver trusts for Postern.
func (r *run) setCA(caPEM []byte) {
	r.T.Helper()
	patch := fmt.Appendf(nil, `{"spec": {"caBundle": %s}}`, mustJSON(r.T, caPEM))
	if err := cluster.Kube.Discovery().RESTClient().Patch(types.MergePatchType).
		AbsPath("/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.postern.dev").Body(patch).Do(r.T.Context()).
		Error(); err != nil {
		r.T.Fatal(err)
	}
}
