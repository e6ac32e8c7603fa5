// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/observability"
)

// scrape gets the metrics directly from Postern, as Prometheus does according to the ServiceMonitor: it trusts only the
// CA in the named key of the named Secret, and verifies the named server.
func (w *world) scrape(token string) (text string, code int) {
	w.T.Helper()
	endpoint := shippedEndpoint(w.T)
	if w.usesCertManager(w.T) { // see the comment in the ServiceMonitor
		endpoint.TLSConfig.CA.Secret.Name = ofCertManager
	}
	secret, err := w.Kube.CoreV1().Secrets(controlplane.Namespace).Get(w.T.Context(), endpoint.TLSConfig.CA.Secret.Name,
		metav1.GetOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	config := &rest.Config{Host: w.postern.Address(), BearerToken: token, TLSClientConfig: rest.TLSClientConfig{
		ServerName: endpoint.TLSConfig.ServerName, CAData: secret.Data[endpoint.TLSConfig.CA.Secret.Key],
	}}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		w.T.Fatal(err)
	}
	result := client.RESTClient().Get().AbsPath("/metrics").Do(w.T.Context())
	result.StatusCode(&code)
	body, _ := result.Raw() // the code has the error
	return string(body), code
}

// endpoint has the tested fields of a ServiceMonitor's endpoint.
type endpoint struct {
	TLSConfig struct {
		ServerName string
		CA         struct{ Secret struct{ Name, Key string } }
	}
	MetricRelabelings []struct{ Regex, Action string }
}

func shippedEndpoint(t *testing.T) endpoint {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "manifests", "components", "monitoring", "servicemonitor.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var monitor struct {
		Spec struct{ Endpoints []endpoint }
	}
	if err := yaml.Unmarshal(text, &monitor); err != nil || len(monitor.Spec.Endpoints) != 1 {
		t.Fatalf("got %+v, %v", monitor, err)
	}
	return monitor.Spec.Endpoints[0]
}

// ofEtcdWithin is the prefix of metrics that exist only with the embedded etcd.
const ofEtcdWithin = "postern_etcd_"

func TestMonitoring_ScrapeHasAlertAndDashboardMetrics(t *testing.T) {
	w := newWorld(t)
	w.gatewaySync("web")
	_, releaser := w.releaser("web")
	w.allow(unauthenticated, "gatewaysyncs")
	anonymous := w.anonymous()
	w.untilRejected(anonymous, gatewaySyncPath("web"), noProof)
	releaser.mustPost(t, gatewaySyncPath("web"), anyBody, nil, http.StatusAccepted)
	w.deliver(delivery("d", toWeb+", ref: v1"))

	_, token := w.serviceAccount("prometheus")
	if _, code := w.scrape(token); code != http.StatusForbidden {
		t.Errorf("a ServiceAccount without a role scrapes with %d", code)
	}
	w.bindMetricsReader()
	var text string
	w.eventually(func() error {
		var code int
		text, code = w.scrape(token)
		return wantMetric("code of a scrape", float64(code), http.StatusOK)
	})

	clusters, err := w.Kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	used, err := observability.MetricsUsed(repository)
	if err != nil {
		t.Fatal(err)
	}
	relabeling := shippedEndpoint(t).MetricRelabelings[0]
	dropped := regexp.MustCompile("^(?:" + relabeling.Regex + ")$")
	if relabeling.Action != "drop" || !dropped.MatchString("apiserver_watch_events_sizes_bucket") {
		t.Errorf("the ServiceMonitor does not drop unused metrics: %v", relabeling)
	}
	for _, name := range used {
		from := text
		if strings.HasPrefix(name, "aggregator_") {
			from = string(clusters)
		}
		if dropped.MatchString(name) {
			t.Errorf("the ServiceMonitor drops %s, which is used", name)
		}
		if w.EtcdIsOutside() && strings.HasPrefix(name, ofEtcdWithin) {
			continue
		}
		// up is Prometheus' own
		if name != "up" && !strings.Contains(from, "\n"+name+"{") && !strings.Contains(from, "\n"+name+" ") {
			t.Errorf("there is no metric %s", name)
		}
	}
	for _, resource := range []string{"gatewaysyncs", "webhookdeliveries"} { // see the dashboard
		series := regexp.MustCompile(
			`\napiserver_request_duration_seconds_bucket\{[^}]*group="postern.dev",resource="` + resource +
				`"[^}]*verb="POST"`)
		if !series.MatchString(text) {
			t.Errorf("there are no durations of deliveries at %s", resource)
		}
	}
}

// bindMetricsReader binds the shipped ClusterRole for metrics to the ServiceAccount prometheus of the test's namespace.
func (w *world) bindMetricsReader() {
	w.T.Helper()
	file := filepath.Join("manifests", "components", "monitoring", "servicemonitor.yaml")
	shipped, err := os.ReadFile(filepath.Join(repository, file))
	if err != nil {
		w.T.Fatal(err)
	}
	objects := strings.Split(string(shipped), "\n---\n")
	role := slices.IndexFunc(objects, func(o string) bool { return strings.Contains(o, "\nkind: ClusterRole\n") })
	if role < 0 {
		w.T.Fatalf("%s has no ClusterRole", file)
	}
	w.kubectl(objects[role], "apply", "--filename=-")
	w.kubectl("", "create", "clusterrolebinding", w.Namespace, "--clusterrole=postern-metrics-reader",
		"--serviceaccount="+w.Namespace+":prometheus")
	w.T.Cleanup(func() {
		if _, err := w.Kubectl(context.Background(), "", "delete", "clusterrolebinding", w.Namespace); err != nil {
			w.T.Error(err)
		}
	})
}

func TestMonitoring_DocumentedMetricsAreServed(t *testing.T) {
	defined, err := observability.Definitions(filepath.Join(repository, "cmd"), filepath.Join(repository, "pkg"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]observability.Metric{}
	for _, m := range defined {
		documented[m.Name] = m
	}
	w := newWorld(t)
	text, err := rawMetrics(t, w.suite)
	if err != nil {
		t.Fatal(err)
	}
	help := regexp.MustCompile(`(?m)^# HELP (postern_\w+) \[(\w+)\] (.*)$`)
	for _, served := range help.FindAllStringSubmatch(text, -1) {
		m, ok := documented[served[1]]
		if !ok || m.Stability != served[2] || m.Help != served[3] {
			t.Errorf("%s is served but not documented as such", served[0])
		}
		kind := "# TYPE " + m.Name + " " + m.Type + "\n"
		if !strings.Contains(text, kind) {
			t.Errorf("%s is not served as a %s", m.Name, m.Type)
		}
		delete(documented, m.Name)
	}
	// Metrics with labels appear with their first event, so other tests cover them.
	for name, m := range documented {
		elsewhere := w.EtcdIsOutside() && strings.HasPrefix(name, ofEtcdWithin)
		if len(m.Labels) == 0 && !elsewhere {
			t.Errorf("%s is documented but not served", name)
		}
	}
}

// rawMetrics returns Postern's metrics as they are served.
func rawMetrics(t *testing.T, s *suite) (string, error) {
	t.Helper()
	client, err := discovery.NewDiscoveryClientForConfig(s.postern.DirectConfig())
	if err != nil {
		return "", err
	}
	text, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	return string(text), err
}
