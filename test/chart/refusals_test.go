// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"strings"
	"testing"
)

func TestSchema_RefusesUnknownAndWrongTypes(t *testing.T) {
	for values, want := range map[string]string{
		`replicas=3`:             "additional properties 'replicas' not allowed",
		`replicaCount=0`:         "'/replicaCount': minimum: got 0, want 1",
		`replicaCount="2"`:       "'/replicaCount': got string, want integer",
		`image={"tag":"a b"}`:    "'/image/tag'",
		`image={"name":"x"}`:     "additional properties 'name' not allowed",
		`imagePullSecrets=["x"]`: "'/imagePullSecrets/0': got string, want object",
		`imagePullSecrets=[{"name":"a"},{"name":"a"}]`: "'/imagePullSecrets': items at 0 and 1 are equal",
		`fullnameOverride="1postern"`:                  "'/fullnameOverride'",
		`resources={"limits":{"memory":"lots"}}`:       "'/resources/limits/memory'",
		`persistence={"size":"5"}`:                     "'/persistence/size'",
		`externalEtcd={"endpoints":["etcd:2379"]}`:     "'/externalEtcd/endpoints/0'",
		`certManager={"enabled":"yes"}`:                "'/certManager/enabled': got string, want boolean",
		`webhookReceiver={"port":80}`: "'/webhookReceiver/port': minimum: got 80, want " +
			"1,024",
		`webhookReceiver={"namespaces":["Demo"]}`: "'/webhookReceiver/namespaces/0'",
		`webhookReceiver={"namespaces":"demo"}`: "'/webhookReceiver/namespaces': got string, " +
			"want array",
		`webhookReceiver={"rateLimit":"100/d"}`: "'/webhookReceiver/rateLimit'",
		`webhookReceiver={"hmac":"swordfish"}`:  "'/webhookReceiver/hmac': got string, want object",
		`webhookReceiver={"tls":{"minVersion":"1.0"}}`: "'/webhookReceiver/tls/minVersion': value must " +
			"be one of",
		`webhookReceiver={"tls":{"minVersion":1.2}}`:  "'/webhookReceiver/tls/minVersion'",
		`webhookReceiver={"tls":{"ciphers":["AES"]}}`: "'/webhookReceiver/tls/ciphers/0'",
		`webhookReceiver={"ingress":{"hosts":["x.example.com"]}}`: "'/webhookReceiver/ingress/hosts/0': got " +
			"string, want object",
		`webhookReceiver={"ingress":{"hosts":[{"host":"a.test"}]}}`: "missing property 'paths'",
		`config={"webhook.requiresecret":"true"}`: "additional properties 'webhook.requiresecret' " +
			"not allowed",
		`config={"disable-tls":true}`:                  "'/config/disable-tls'",
		`serviceMonitor={"interval":"often"}`:          "'/serviceMonitor/interval'",
		`prometheusRule={"additionalRules":{}}`:        "'/prometheusRule/additionalRules': got object, want array",
		`grafanaDashboard={"labels":{"a":1}}`:          "'/grafanaDashboard/labels/a': got number, want string",
		`admissionPolicies=false`:                      "'/admissionPolicies': got boolean, want object",
		`networkPolicy=false`:                          "'/networkPolicy': got boolean, want object",
		`podLabels={"a":true}`:                         "'/podLabels/a': got boolean, want string",
		`externalEtcd=null`:                            "at '': missing property 'externalEtcd'",
		`persistence={"enabled":null}`:                 "at '/persistence': missing property 'enabled'",
		`webhookReceiver={"requireSecret":null}`:       "at '/webhookReceiver': missing property 'requireSecret'",
		`webhookReceiver={"token":{"secretRef":null}}`: "at '/webhookReceiver/token': missing property 'secretRef'",
		`extraArgs=["delivery-ttl=1h"]`:                "'/extraArgs/0'",
	} {
		t.Run(values, func(t *testing.T) { mustRefuse(t, want, "--set-json="+values) })
	}
}

func TestValues_ConflictsAreRefused(t *testing.T) {
	const receiver = `webhookReceiver={"enabled":true,"namespaces":["demo"]}`
	for name, test := range map[string]struct {
		values []string
		want   string
	}{
		"several replicas without a shared etcd": {
			[]string{`replicaCount=2`},
			"replicaCount is more than 1, which requires externalEtcd.endpoints: the embedded etcd serves only one " +
				"replica.",
		},
		"an etcd with TLS, but without a client certificate": {
			[]string{`externalEtcd={"endpoints":["https://etcd:2379"],"secretName":""}`},
			"externalEtcd.endpoints has https://etcd:2379, which requires externalEtcd.secretName: etcd " +
				"authenticates its clients by certificate.",
		},
		"a receiver for no namespace": {
			[]string{`webhookReceiver={"enabled":true}`},
			`webhookReceiver.enabled needs webhookReceiver.namespaces: the namespaces in which it may act, or ["*"] ` +
				`for all.`,
		},
		"a receiver for all namespaces and for some": {
			[]string{`webhookReceiver={"enabled":true,"namespaces":["*","demo"]}`},
			`webhookReceiver.namespaces has both "*", which is all namespaces, and names.`,
		},
		"a receiver on the API server's port": {
			[]string{receiver, `webhookReceiver.port=8443`},
			"webhookReceiver.port is 8443, which is the port of the API server.",
		},
		"a minimum TLS version above the maximum": {
			[]string{receiver, `webhookReceiver.tls.maxVersion="1.2"`},
			"webhookReceiver.tls.minVersion is above webhookReceiver.tls.maxVersion; empty is 1.3 for both.",
		},
		"an Ingress without a receiver": {
			[]string{
				`webhookReceiver={"ingress":{"enabled":true,"hosts":[{"host":"a.test","paths":[{"path":"/",` +
					`"pathType":"Prefix"}]}]}}`},
			"webhookReceiver.ingress.enabled needs webhookReceiver.enabled.",
		},
		"an Ingress without hosts": {
			[]string{receiver, `webhookReceiver.ingress.enabled=true`},
			"webhookReceiver.ingress.enabled needs webhookReceiver.ingress.hosts.",
		},
		"a receiver enabled by its key in the ConfigMap": {
			[]string{`config={"webhook.enable":"true"}`},
			"config has webhook.enable; set webhookReceiver.enabled instead, which also configures the Service and " +
				"the NetworkPolicy.",
		},
		"a flag that a value sets": {
			[]string{`extraArgs=["--etcd-servers=http://etcd:2379"]`},
			"extraArgs has --etcd-servers; set externalEtcd.endpoints instead, which also configures other objects.",
		},
		"a flag that the Service follows": {
			[]string{`extraArgs=["--disable-tls"]`},
			"extraArgs has --disable-tls; set webhookReceiver.tls.disabled instead, which also configures other " +
				"objects.",
		},
		"a flag that permissions and probes depend on": {
			[]string{`extraArgs=["-v=2","--secure-port=9443"]`},
			"extraArgs has --secure-port, which can't be changed here: the chart's objects depend on it.",
		},
		"a certificate from cert-manager and from a file": {
			[]string{`certManager.enabled=true`,
				`extraArgs=["--tls-private-key-file=/a/tls.key","--tls-cert-file=/a/tls.crt"]`},
			"extraArgs has --tls-cert-file, which certManager.enabled sets, too; leave out one of the two.\n" +
				"extraArgs has --tls-private-key-file, which certManager.enabled sets, too; leave out one of the two.",
		},
		"an etcd CA in two places": {
			[]string{`externalEtcd.endpoints=["https://etcd:2379"]`, `extraArgs=["--etcd-cafile=/a/ca.crt"]`},
			"extraArgs has --etcd-cafile, which externalEtcd.secretName sets, too; leave out one of the two.",
		},
		"a token file in two places": {
			[]string{receiver, `webhookReceiver.token.secret="x"`, `extraArgs=["--token-file=/a/token"]`},
			"extraArgs has --token-file, which webhookReceiver.token sets, too; leave out one of the two.",
		},
		"a certificate from a file that Prometheus can't verify": {
			[]string{`serviceMonitor.enabled=true`,
				`extraArgs=["--tls-cert-file=/a/tls.crt","--tls-private-key-file=/a/tls.key"]`},
			"extraArgs has --tls-cert-file, with which serviceMonitor.enabled needs serviceMonitor.caSecretRef.name: " +
				"a Secret with " +
				"the CA of that certificate, for Prometheus.",
		},
		"a label that selects the Pod": {
			[]string{`podLabels={"app.kubernetes.io/name":"x"}`},
			"podLabels has app.kubernetes.io/name, by which the Service and the StatefulSet select their Pods; set " +
				"nameOverride instead.",
		},
		"an annotation that replaces the Pod": {
			[]string{`podAnnotations={"checksum/config":"x"}`},
			"podAnnotations has checksum/config, which the chart sets, so that a change of the ConfigMap replaces " +
				"the Pods. Choose another name.",
		},
		"a variable that configures the receiver": {
			[]string{`extraEnv=[{"name":"ENABLE_WEBHOOK","value":"true"}]`},
			"extraEnv has ENABLE_WEBHOOK, which the chart sets itself: leave it out;",
		},
		"a variable with a secret of the receiver": {
			[]string{receiver, `extraEnv=[{"name":"ALIYUN_ACR_WEBHOOK_SECRET","value":"x"}]`},
			"extraEnv has ALIYUN_ACR_WEBHOOK_SECRET, which the chart sets itself: leave it out;",
		},
		"a variable that flags refer to": {
			[]string{`extraEnv=[{"name":"POD_NAMESPACE","value":"x"}]`},
			"extraEnv has POD_NAMESPACE, which the chart sets itself: leave it out;",
		},
		"a variable given twice": {
			[]string{`extraEnv=[{"name":"GOMEMLIMIT","value":"1GiB"},{"name":"GOMEMLIMIT","value":"2GiB"}]`},
			"extraEnv has GOMEMLIMIT twice.",
		},
		"a volume with the name of the claim's": {
			[]string{`extraVolumes=[{"name":"data","emptyDir":{}}]`},
			"extraVolumes has data, which the chart sets itself: choose another name.",
		},
		"a volume with the name of the receiver's": {
			[]string{receiver, `extraVolumes=[{"name":"receiver-tls","emptyDir":{}}]`},
			"extraVolumes has receiver-tls, which the chart sets itself: choose another name.",
		},
		"a volume at the path of another": {
			[]string{`extraVolumeMounts=[{"name":"data","mountPath":"/var/lib/postern/"}]`},
			"extraVolumeMounts has /var/lib/postern, which the chart sets itself: choose another path.",
		},
		"two volumes at one path": {
			[]string{`extraVolumeMounts=[{"name":"a","mountPath":"/a"},{"name":"b","mountPath":"/a"}]`},
			"extraVolumeMounts has /a twice.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var args []string
			for _, value := range test.values {
				args = append(args, "--set-json="+value)
			}
			mustRefuse(t, test.want, args...)
		})
	}
}

func TestValues_AllConflictsAreReported(t *testing.T) {
	args := []string{"--set-json=replicaCount=2", "--set-json=webhookReceiver.enabled=true"}
	mustRefuse(t, "replicaCount is more than 1", args...)
	mustRefuse(t, "webhookReceiver.enabled needs webhookReceiver.namespaces", args...)
}

// mustRefuse checks that the chart does not render with the values, and that the error contains want.
func mustRefuse(t *testing.T, want string, args ...string) {
	t.Helper()
	_, err := template(t, args...)
	if err == nil {
		t.Fatalf("the chart renders with %q", args)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %q, want %q", err, want)
	}
}
