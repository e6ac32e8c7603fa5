// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"postern.dev/postern/pkg/cli"
)

// newTestExaminer returns an examiner of a cluster with these objects and an APIService, and what it finds.
func newTestExaminer(service *apiregistrationv1.APIService, objects ...runtime.Object) (*examiner, *[]Finding) {
	var findings []Finding
	service.Spec.Service = &apiregistrationv1.ServiceReference{Namespace: "postern-system", Name: "postern"}
	return &examiner{
		Cluster:    &cli.Cluster{Namespace: "demo", Kubernetes: fake.NewClientset(objects...)},
		apiService: service, found: func(f Finding) { findings = append(findings, f) }, step: "APIService",
	}, &findings
}

// statefulSet returns that of an installation.
func statefulSet(replicas, ready int32, args ...string) *appsv1.StatefulSet {
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "postern-system", Name: "postern",
			Labels: map[string]string{"app.kubernetes.io/name": "postern"},
		},
		Spec:   appsv1.StatefulSetSpec{Replicas: &replicas},
		Status: appsv1.StatefulSetStatus{ReadyReplicas: ready},
	}
	set.Spec.Template.Spec.Containers = []corev1.Container{{Name: "postern", Args: args}}
	set.Spec.Template.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: "postern-serving"},
	}}}
	return set
}

// The reasons and messages are the kube-apiserver's, of causes that take a network to produce.
func TestExplainUnavailable_Causes(t *testing.T) {
	const refused = "failing or missing response from https://10.0.0.1:8443/apis/postern.dev/v1alpha1: "
	for name, test := range map[string]struct {
		reason, message string
		annotation      string
		objects         []runtime.Object
		want, command   string
	}{
		"no Service": {"ServiceNotFound", `service/postern in "postern-system" is not present`, "", nil,
			"is not present. Apply the manifests again", "kubectl apply --kustomize=OVERLAY"},
		"no StatefulSet": {"EndpointsNotFound", "cannot find endpointslices", "", nil, "there is no StatefulSet",
			"kubectl apply --kustomize=OVERLAY"},
		"scaled to 0": {"MissingEndpoints", "have no addresses", "", []runtime.Object{statefulSet(0, 0)}, "scaled to 0",
			"kubectl scale statefulset/postern -n postern-system --replicas=1"},
		"not ready": {"MissingEndpoints", "have no addresses", "", []runtime.Object{statefulSet(1, 0)},
			"none of its Pods is ready", "kubectl get pods -n postern-system " +
				"--selector=app.kubernetes.io/name=postern --output=wide"},
		"a firewall": {"FailedDiscoveryCheck", refused + "dial tcp 10.0.0.1:8443: i/o timeout", "",
			[]runtime.Object{statefulSet(1, 1)}, "may block port 8443",
			"kubectl get networkpolicies -n postern-system --output=yaml"},
		"a certificate that Postern does not renew": {"FailedDiscoveryCheck", refused + "x509: certificate has " +
			"expired or is not yet valid", "", []runtime.Object{statefulSet(1, 1)}, "Postern renews it by itself",
			"kubectl logs -n postern-system --selector=app.kubernetes.io/name=postern --prefix --tail=-1 --since=1h"},
		"a certificate from files": {"FailedDiscoveryCheck", refused + "x509: certificate signed by unknown authority",
			"",
			[]runtime.Object{statefulSet(1, 1, "--tls-cert-file=/tls/tls.crt")}, "not signed by a CA in spec.caBundle",
			"kubectl create secret tls postern-serving -n postern-system --cert=FILE --key=FILE --dry-run=client " +
				"--output=yaml | kubectl apply --server-side --force-conflicts --filename=-"},
		"a certificate of cert-manager": {"FailedDiscoveryCheck", refused + "x509: certificate is valid for other, " +
			"not postern.postern-system.svc", "certs/serving", nil, "for another name. cert-manager renews it",
			"kubectl describe certificates.cert-manager.io serving -n certs"},
	} {
		t.Run(name, func(t *testing.T) {
			service := &apiregistrationv1.APIService{}
			if test.annotation != "" {
				service.Annotations = map[string]string{injectAnnotation: test.annotation}
			}
			e, findings := newTestExaminer(service, test.objects...)
			e.explainUnavailable(t.Context(), test.reason, test.message)
			if len(*findings) != 1 {
				t.Fatalf("got %d findings", len(*findings))
			}
			got := (*findings)[0]
			if got.Level != Fault || !strings.Contains(got.Message, test.want) || !strings.Contains(got.Message,
				test.message) || got.Command != test.command {
				t.Errorf("got %+v, want a fault with %q and the command %q", got, test.want, test.command)
			}
		})
	}
}

// A kube-apiserver 1.31 answers this, and reports the APIService as available nevertheless.
func TestExplainNoAnswer_NamesCertificate(t *testing.T) {
	const message = "error trying to reach service: tls: failed to verify certificate: x509: certificate has expired " +
		"or is not yet valid"
	answer := apierrors.NewGenericServerResponse(http.StatusServiceUnavailable, "get", schema.GroupResource{}, "",
		message, 0, true)
	e, findings := newTestExaminer(&apiregistrationv1.APIService{}, statefulSet(1, 1))
	e.explainNoAnswer(t.Context(), answer)
	if got := *findings; len(got) != 1 || got[0].Level != Fault || !strings.Contains(got[0].Message,
		"its serving certificate has expired") || !strings.HasPrefix(got[0].Command, "kubectl logs ") {
		t.Errorf("got %+v", got)
	}
	e.apiService = nil // the user may not read it
	e.explainNoAnswer(t.Context(), answer)
	if got := *findings; len(got) != 2 || !strings.Contains(got[1].Message, "unable to handle the request") {
		t.Errorf("got %+v", got)
	}
}

func TestExamineCertificate_CA(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := func(left time.Duration) []byte {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(left),
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		bundle []byte
		level  Level
		want   string
	}{
		"none":             {nil, Fault, "no CA in spec.caBundle"},
		"no certificate":   {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE"}), Fault, "no CA in spec.caBundle"},
		"expired":          {ca(-day), Fault, "expired 24h ago"},
		"expires soon":     {ca(10*day + time.Hour), Warning, "expires in 10d"},
		"valid":            {ca(300*day + time.Hour), OK, "valid for 300d"},
		"an old and a new": {append(ca(-day), ca(300*day+time.Hour)...), OK, "valid for 300d"},
	} {
		t.Run(name, func(t *testing.T) {
			service := &apiregistrationv1.APIService{Spec: apiregistrationv1.APIServiceSpec{CABundle: test.bundle}}
			e, findings := newTestExaminer(service)
			e.examineCertificate(t.Context())
			if len(*findings) != 1 || (*findings)[0].Level != test.level ||
				!strings.Contains((*findings)[0].Message, test.want) {
				t.Errorf("got %+v, want %s with %q", *findings, test.level, test.want)
			}
		})
	}
}
