// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// caWarning is how long before its end a CA is reported. Postern renews its own four months before.
const caWarning = 30 * 24 * time.Hour

// injectAnnotation on the APIService names the Certificate whose CA cert-manager writes there.
const injectAnnotation = "cert-manager.io/inject-ca-from"

// examineCertificate reads the CAs that the kube-apiserver trusts. The serving certificate is only on Postern's port,
// which the kube-apiserver does not relay: if it is wrong, the condition of the APIService says so.
func (e *examiner) examineCertificate(ctx context.Context) {
	if e.apiService == nil || e.apiService.Spec.Service == nil {
		return
	}
	if e.apiService.Spec.InsecureSkipTLSVerify {
		e.report(Warning, e.kubectl("patch", "apiservice", apiServiceName, "--type=merge", "--patch",
			`{"spec": {"insecureSkipTLSVerify": false}}`),
			"the kube-apiserver does not verify Postern's certificate: insecureSkipTLSVerify is set")
		return
	}
	now := time.Now()
	var last time.Time
	for rest := e.apiService.Spec.CABundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if ca, err := x509.ParseCertificate(block.Bytes); err == nil && ca.NotAfter.After(last) {
			last = ca.NotAfter
		}
	}
	keeper := e.certificateKeeper(ctx)
	switch {
	case last.IsZero():
		e.report(Fault, keeper.command, "the APIService has no CA in spec.caBundle, so the kube-apiserver does not "+
			"trust Postern. %s", keeper.advice)
	case last.Before(now):
		e.report(Fault, keeper.command, "the CA in spec.caBundle of the APIService expired %s ago. %s",
			duration.HumanDuration(now.Sub(last)), keeper.advice)
	case last.Before(now.Add(caWarning)):
		e.report(Warning, keeper.command, "the CA in spec.caBundle of the APIService expires in %s. %s",
			duration.HumanDuration(last.Sub(now)), keeper.advice)
	default:
		e.report(OK, "", "the CA that the kube-apiserver trusts is valid for %s", duration.HumanDuration(last.Sub(now)))
	}
}

// explainCertificate reports what is wrong with the certificate on Postern's port.
func (e *examiner) explainCertificate(ctx context.Context, prefix, message string) {
	problem := "TLS fails"
	switch {
	case strings.Contains(message, "has expired or is not yet valid"):
		problem = "its serving certificate has expired, or a clock is wrong"
	case strings.Contains(message, "unknown authority"):
		problem = "its serving certificate is not signed by a CA in spec.caBundle of the APIService"
	case strings.Contains(message, "certificate is valid for"),
		strings.Contains(message, "doesn't contain any IP SANs"):
		problem = "its serving certificate is for another name"
	}
	keeper := e.certificateKeeper(ctx)
	e.report(Fault, keeper.command, prefix+"%s. %s (%s)", problem, keeper.advice, message)
}

// certificateKeeper is who renews Postern's certificates.
type certificateKeeper struct{ advice, command string }

// certificateKeeper returns how to get a valid certificate: it depends on who renews it.
func (e *examiner) certificateKeeper(ctx context.Context) certificateKeeper {
	system := e.systemNamespace()
	if injected := e.apiService.Annotations[injectAnnotation]; injected != "" {
		namespace, name, _ := strings.Cut(injected, "/")
		return certificateKeeper{"cert-manager renews it",
			e.kubectl("describe", "certificates.cert-manager.io", name, "-n", namespace)}
	}
	set, err := e.workload(ctx)
	if err == nil && set != nil {
		for _, container := range set.Spec.Template.Spec.Containers {
			if slices.ContainsFunc(container.Args, isCertificateFlag) {
				return certificateKeeper{"It is from files (--tls-cert-file): renew it, with its CA in spec.caBundle",
					fmt.Sprintf("%s | %s", e.kubectl("create", "secret", "tls",
						mountedSecret(&set.Spec.Template.Spec), "-n", system, "--cert=FILE", "--key=FILE",
						"--dry-run=client", "--output=yaml"),
						e.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-"))}
			}
		}
	}
	return certificateKeeper{"Postern renews it by itself, unless it may not: its log says why",
		e.kubectl("logs", "-n", system, "--selector="+podSelector, "--prefix", "--tail=-1", "--since=1h")}
}

func isCertificateFlag(arg string) bool { return strings.HasPrefix(arg, "--tls-cert-file") }

// mountedSecret returns the name of the only Secret that a Pod mounts, or a word for it.
func mountedSecret(pod *corev1.PodSpec) string {
	var names []string
	for _, volume := range pod.Volumes {
		if volume.Secret != nil {
			names = append(names, volume.Secret.SecretName)
		}
	}
	if len(names) != 1 {
		return "NAME"
	}
	return names[0]
}
