// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// as converts an object to a type, as strictly as the kube-apiserver: a number is not a string.
func as[T any](t *testing.T, object *unstructured.Unstructured) *T {
	t.Helper()
	if object == nil {
		t.Fatal("the object is missing")
	}
	into := new(T)
	const strict = true
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, into,
		strict); err != nil {
		t.Fatal(err)
	}
	return into
}

func renderedPod(t *testing.T, args ...string) corev1.PodSpec {
	t.Helper()
	objects := parse(t, mustTemplate(t, args...))
	return as[appsv1.StatefulSet](t, objects["StatefulSet.apps postern-system/postern"]).Spec.Template.Spec
}

// YAML parses 123 and 1e3 as numbers and on as a boolean, but all of them are valid names.
func TestValues_NamesLikeOtherYAMLTypes(t *testing.T) {
	rendered, err := run(t, nil, "bin/tools/helm", "template", "123", chartDir, "--namespace="+namespace,
		`--set-json=externalEtcd={"endpoints":["https://etcd:2379"],"secretName":"123"}`,
		`--set-json=webhookReceiver={"enabled":true,"namespaces":["123"],"registrySecrets":"1e3",`+
			`"hmac":{"secretRef":{"name":"456","key":"on"}},"tls":{"secretName":"789"}}`,
		`--set-json=serviceMonitor={"enabled":true,"prometheus":{"serviceAccount":"1","namespace":"2"}}`)
	if err != nil {
		t.Fatal(err)
	}
	objects := parse(t, rendered)
	for name, object := range objects {
		labels, found, err := unstructured.NestedStringMap(object.Object, "metadata", "labels")
		if err != nil || !found || labels["app.kubernetes.io/instance"] != "123" {
			t.Errorf("%s has the labels %q: %v", name, labels, err)
		}
	}
	as[rbacv1.ClusterRoleBinding](t, objects["ClusterRoleBinding.rbac.authorization.k8s.io /postern-metrics-reader"])
	as[rbacv1.RoleBinding](t, objects["RoleBinding.rbac.authorization.k8s.io postern-system/postern-metrics-discovery"])
	pod := as[appsv1.StatefulSet](t, objects["StatefulSet.apps postern-system/postern"]).Spec.Template.Spec
	var secrets []string
	for _, volume := range pod.Volumes {
		secrets = append(secrets, volume.Secret.SecretName)
	}
	if diff := cmp.Diff([]string{"123", "789", "456"}, secrets); diff != "" {
		t.Errorf("volumes of these Secrets (-want +got):\n%s", diff)
	}
}

// Each value is set once to a plain word, and once to one that YAML parses as another type. The objects must differ
// only in that word.
func TestValues_TextLikeOtherYAMLTypes(t *testing.T) {
	const word = "zebra"
	for name, test := range map[string]struct {
		value, unusual string
	}{
		"name of the objects that is a boolean": {`fullnameOverride="%s"`, "on"},
		"name of the objects that is null":      {`fullnameOverride="%s"`, "null"},
		"name that is a boolean":                {`nameOverride="%s"`, "yes"},
		"image that starts like an alias":       {`image.repository="%s"`, "*x"},
		"storage class":                         {`persistence.storageClassName="%s"`, "1e3"},
		"image pull Secret":                     {`imagePullSecrets=[{"name":"%s"}]`, "123"},
		"namespace of the dashboard":            {`grafanaDashboard.namespace="%s"`, "123"},
		"Ingress class":                         {`webhookReceiver.ingress.ingressClassName="%s"`, "1e3"},
		"Ingress host": {
			`webhookReceiver.ingress.hosts=[{"host":"%s","paths":[{"path":"/","pathType":"Exact"}]}]`, "*"},
		"Ingress path with a comment sign": {
			`webhookReceiver.ingress.hosts=[{"host":"a","paths":[{"path":"/%s","pathType":"Exact"}]}]`, "a #b"},
		"Ingress path with a colon": {
			`webhookReceiver.ingress.hosts=[{"host":"a","paths":[{"path":"/%s","pathType":"Exact"}]}]`, "a: b"},
		"Ingress Secret":              {`webhookReceiver.ingress.tls=[{"secretName":"%s","hosts":["a"]}]`, "123"},
		"Ingress annotation":          {`webhookReceiver.ingress.annotations={"a":"%s"}`, "true"},
		"label of the ServiceMonitor": {`serviceMonitor.labels={"a":"%s"}`, "1e3"},
		"Secret with the CA":          {`serviceMonitor.caSecretRef.name="%s"`, "123"},
		"label of the Pod":            {`podLabels={"a":"%s"}`, "no"},
		"node selector":               {`nodeSelector={"a":"%s"}`, "true"},
		"flag with a comment sign":    {`extraArgs=["--a=%s"]`, "a #b"},
		"value of a variable":         {`extraEnv=[{"name":"A","value":"%s"}]`, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			render := func(word string) string {
				content, err := json.Marshal(parse(t, mustTemplate(t, "--set=certManager.enabled=true",
					"--values=test/chart/testdata/monitoring.yaml", "--values=test/chart/testdata/receiver.yaml",
					"--set-json="+strings.Replace(test.value, "%s", word, 1))))
				if err != nil {
					t.Fatal(err)
				}
				return string(content)
			}
			want := decode(t, strings.ReplaceAll(render(word), word, test.unusual))
			if diff := cmp.Diff(want, decode(t, render(test.unusual))); diff != "" {
				t.Errorf("not the same (-want +got):\n%s", diff)
			}
		})
	}
}

func decode(t *testing.T, objects string) map[string]any {
	t.Helper()
	var decoded map[string]any
	if err := json.Unmarshal([]byte(objects), &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}

// The base64 of these bytes is 4420, which YAML parses as a number.
func TestValues_SecretLikeNumber(t *testing.T) {
	const secret = "㍴"
	objects := parse(t, mustTemplate(t, "--values=test/chart/testdata/receiver.yaml",
		"--set=webhookReceiver.hmac.secret="+secret, "--set=webhookReceiver.token.secret="+secret))
	content, _, err := unstructured.NestedStringMap(objects["Secret postern-system/postern-receiver"].Object, "data")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"hmac": "4420", "token": "4420"}, content); diff != "" {
		t.Errorf("the Secret (-want +got):\n%s", diff)
	}
}

func TestValues_NamespaceOfDigits(t *testing.T) {
	rendered, err := run(t, nil, "bin/tools/helm", "template", release, chartDir, "--namespace=123",
		"--values=test/chart/testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, object := range parse(t, rendered) {
		content, err := object.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(`"namespace":123`)) {
			t.Errorf("the namespace of %s is a number", name)
		}
	}
}

func TestValues_ImageByTagOrDigest(t *testing.T) {
	const repository = "ghcr.io/postern-dev/postern"
	for tag, want := range map[string]string{
		"":            repository + ":v0.1.0",
		"1.5":         repository + ":1.5",
		digest:        repository + digest,
		"v2" + digest: repository + ":v2" + digest,
	} {
		t.Run(tag, func(t *testing.T) {
			if got := renderedPod(t, "--set-string=image.tag="+tag).Containers[0].Image; got != want {
				t.Errorf("the image is %s, want %s", got, want)
			}
		})
	}
}

func TestValues_MemoryLimitOfGo(t *testing.T) {
	for resources, want := range map[string]string{
		`{"limits":{"memory":"1Gi"}}`:      "920MiB",
		`{"limits":{"memory":"500Mi"}}`:    "450MiB",
		`{"limits":{"memory":"100Mi"}}`:    "90MiB",
		`{"limits":{"memory":"99Mi"}}`:     "91238KiB",
		`{"limits":{"memory":"10Mi"}}`:     "9216KiB",
		`{"limits":{"memory":"1Mi"}}`:      "921KiB",
		`{"limits":{"memory":"0Mi"}}`:      "",
		`{"limits":{"memory":"1G"}}`:       "",
		`{"limits":{"memory":1073741824}}`: "",
		`{"limits":{"memory":null}}`:       "",
		`{"limits":null}`:                  "",
		`null`:                             "",
	} {
		t.Run(resources, func(t *testing.T) {
			got := ""
			for _, variable := range renderedPod(t, `--set-json=resources=`+resources).Containers[0].Env {
				if variable.Name == "GOMEMLIMIT" {
					got = variable.Value
				}
			}
			if got != want {
				t.Errorf("GOMEMLIMIT is %q, want %q", got, want)
			}
		})
	}
}

func TestValues_ReceiverServicePort(t *testing.T) {
	for name, test := range map[string]struct {
		args     []string
		port     int32
		protocol string
	}{
		"by default":               {nil, 443, "https"},
		"without TLS by its value": {[]string{`--set=webhookReceiver.tls.disabled=true`}, 80, "http"},
		"without TLS by its key":   {[]string{`--set-json=config={"disable-tls":"true"}`}, 80, "http"},
		"with TLS by a key, which wins": {[]string{`--set=webhookReceiver.tls.disabled=true`,
			`--set-json=config={"disable-tls":"false"}`}, 443, "https"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(test.args, "--set=webhookReceiver.enabled=true", "--set=webhookReceiver.namespaces={demo}")
			objects := parse(t, mustTemplate(t, args...))
			port := as[corev1.Service](t, objects["Service postern-system/postern-receiver"]).Spec.Ports[0]
			if port.Port != test.port || *port.AppProtocol != test.protocol {
				t.Errorf("the port is %d for %s, want %d for %s", port.Port, *port.AppProtocol, test.port,
					test.protocol)
			}
		})
	}
}

func TestValues_NullRemovesListsAndMaps(t *testing.T) {
	var nulls []string
	for _, value := range []string{
		"imagePullSecrets", "resources", "config", "podAnnotations", "podLabels", "nodeSelector", "tolerations",
		"affinity",
		"topologySpreadConstraints", "extraArgs", "extraEnv", "extraVolumes", "extraVolumeMounts",
	} {
		nulls = append(nulls, "--set-json="+value+"=null")
	}
	pod := renderedPod(t, nulls...)
	if diff := cmp.Diff(corev1.ResourceRequirements{}, pod.Containers[0].Resources); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"kubernetes.io/os": "linux"}, pod.NodeSelector); diff != "" {
		t.Errorf("node selector (-want +got):\n%s", diff)
	}
}
