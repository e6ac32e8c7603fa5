// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package real

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"postern.dev/postern/test/controlplane"
	"postern.dev/postern/test/testcluster"
)

const (
	argocdNamespace = "argocd"
	// reactionTimeout is the time that a consumer has to react, on a machine that is busy.
	reactionTimeout = 2 * time.Minute
)

var applications = testcluster.Applications

// argocd is a running Argo CD: redis, the repo-server and the application-controller. Its Applications may be in all
// namespaces. It polls nothing.
type argocd struct {
	redisPort, repoServerPort, commitServerPort string
	redis, repoServer, controller               *controlplane.Program
	controllerManager                           *controlplane.ControllerManager
}

// needsArgoCD starts Argo CD if no test before has, and skips the test unless it was built. It runs until the end of
// all tests.
func (s *suite) needsArgoCD(t *testing.T) *argocd {
	t.Helper()
	needsPrograms(t)
	if s.argocd != nil {
		return s.argocd
	}
	s.installArgoCD(t)
	a := &argocd{redisPort: freePort(t), repoServerPort: freePort(t), commitServerPort: freePort(t)}
	s.argocd = a // stop ends what has been started
	run := func(o controlplane.ProgramOptions) *controlplane.Program {
		t.Helper()
		program, err := s.StartProgram(o)
		if err != nil {
			t.Fatal(err)
		}
		return program
	}
	a.redis = run(controlplane.ProgramOptions{
		Name: "redis", Path: "bin/argocd/redis-server",
		Args: []string{"--bind", "127.0.0.1", "--port", a.redisPort, "--save", "", "--appendonly", "no"},
	})
	a.repoServer = run(s.argocdProgram(t, "argocd-repo-server",
		"--address=127.0.0.1", "--port="+a.repoServerPort,
		"--metrics-address=127.0.0.1", "--metrics-port="+freePort(t),
		"--disable-tls", "--client-ca-path=",
		"--redis=127.0.0.1:"+a.redisPort,
	))
	a.controller = run(s.argocdProgram(t, "argocd-application-controller",
		"--repo-server=127.0.0.1:"+a.repoServerPort, "--repo-server-plaintext",
		"--redis=127.0.0.1:"+a.redisPort,
		"--metrics-port="+freePort(t),
		"--application-namespaces=*",
		"--hydrator-enabled", "--commit-server=127.0.0.1:"+a.commitServerPort,
		"--app-resync=0", "--app-resync-jitter=0",
	))
	var err error
	// Deployments need Pods, from which Argo CD learns the images.
	a.controllerManager, err = s.StartControllerManager("deployment-controller", "replicaset-controller",
		"serviceaccount-controller")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// stop ends all that was started.
func (a *argocd) stop() error {
	var errs []error
	for _, program := range []*controlplane.Program{a.controller, a.repoServer, a.redis} {
		if program != nil {
			errs = append(errs, program.Kill())
		}
	}
	if a.controllerManager != nil {
		errs = append(errs, a.controllerManager.Kill())
	}
	return errors.Join(errs...)
}

// argocdProgram describes one of the programs of Argo CD, which are one executable, as the administrator runs it.
func (s *suite) argocdProgram(t *testing.T, name string, args ...string) controlplane.ProgramOptions {
	t.Helper()
	checkout := checkout(t)
	dir := filepath.Join(s.Dir(), name)
	for _, sub := range []string{"tmp", "tls", "ssh"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return controlplane.ProgramOptions{
		Name: name, Path: "bin/argocd/argocd", Args: append(args, "--logformat=text"),
		Env: []string{
			"ARGOCD_BINARY_NAME=" + name,
			"ARGOCD_FAKE_IN_CLUSTER=true",
			"ARGOCD_GPG_ENABLED=false",
			"ARGOCD_RECONCILIATION_TIMEOUT=0s",
			"ARGOCD_TLS_DATA_PATH=" + filepath.Join(dir, "tls"),
			"ARGOCD_SSH_DATA_PATH=" + filepath.Join(dir, "ssh"),
			"ARGOCD_ASK_PASS_SOCK=" + filepath.Join(dir, "askpass.sock"),
			"HOME=" + dir,
			"KUBECONFIG=" + s.argocdKubeconfig(t),
			"PATH=" + strings.Join([]string{
				filepath.Join(checkout, "bin/argocd"), filepath.Join(checkout, "bin/tools"), os.Getenv("PATH"),
			}, ":"),
			"TMPDIR=" + filepath.Join(dir, "tmp"),
		},
	}
}

// argocdKubeconfig returns a kubeconfig with the namespace of Argo CD, as a Pod there has.
func (s *suite) argocdKubeconfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(s.Dir(), "argocd.kubeconfig")
	admin, err := os.ReadFile(s.AdminKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, admin, 0o600); err != nil {
		t.Fatal(err)
	}
	s.MustKubectl(t, "", "--kubeconfig="+path, "config", "set-context", "--current", "--namespace="+argocdNamespace)
	return path
}

// installArgoCD applies Argo CD's stock configuration, and a project for all namespaces. The CRD of Applications is
// there already.
func (s *suite) installArgoCD(t *testing.T) {
	t.Helper()
	s.MustKubectl(t, "", "create", "namespace", argocdNamespace)
	s.applyArgoCDCRD(t, "appproject-crd.yaml")
	s.MustKubectl(t, "", "apply", "--server-side", "--namespace="+argocdNamespace,
		"--kustomize="+argocdManifest(t, "base/config"))
	s.MustKubectl(t, `
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default, namespace: argocd}
spec:
  sourceRepos: ["*"]
  sourceNamespaces: ["*"]
  destinations: [{server: "*", namespace: "*"}]
  clusterResourceWhitelist: [{group: "*", kind: "*"}]
`, "apply", "--server-side", "--filename=-")
}

// argocdManifest returns the path of a file or directory in the manifests of Argo CD's module.
func argocdManifest(t *testing.T, name string) string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-C", filepath.Join(checkout(t), "hack/argocd"), "-m",
		"-f={{.Dir}}", "github.com/argoproj/argo-cd/v3")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v", list, err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "manifests", name)
}

func (s *suite) applyArgoCDCRD(t *testing.T, name string) {
	t.Helper()
	if err := s.ApplyCRDs(testcluster.StartContext(t), argocdManifest(t, "crds/"+name)); err != nil {
		t.Fatal(err)
	}
}

// checkout returns the directory of the repository.
func checkout(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// application returns the manifest of an Application, which syncs itself. The source is YAML in one line, such as
// "source: {…}", and the annotations are the inside of a map.
func (w *world) application(name, source, annotations string) string {
	return fmt.Sprintf(`
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: %s, annotations: {%s}}
spec:
  project: default
  destination: {server: "https://kubernetes.default.svc", namespace: %s}
  syncPolicy: {automated: {prune: true}}
  %s
`, name, annotations, w.Namespace, source)
}

// source returns the one source of an Application, at main, with more of its fields.
func source(r *repository, more string) string {
	return fmt.Sprintf("source: {repoURL: %q, path: ., targetRevision: main%s}", r.url, more)
}

// waitSynced waits until Argo CD has synced an Application at the revisions of all of its sources.
func (w *world) waitSynced(application string, revisions ...string) {
	w.T.Helper()
	w.Eventually(reactionTimeout, func() error {
		got := w.Get(applications, application)
		have, _, _ := unstructured.NestedStringSlice(got.Object, "status", "sync", "revisions")
		one, found, _ := unstructured.NestedString(got.Object, "status", "sync", "revision")
		if found && len(have) == 0 {
			have = []string{one}
		}
		status, _, _ := unstructured.NestedString(got.Object, "status", "sync", "status")
		if status != "Synced" || !slices.Equal(have, revisions) {
			conditions, _, _ := unstructured.NestedSlice(got.Object, "status", "conditions")
			return fmt.Errorf("%s is %q at %q, want Synced at %q; conditions %v; annotations %v", application, status,
				have, revisions, conditions, got.GetAnnotations())
		}
		return nil
	})
}

// configMap returns a manifest, whose one value tells one revision from another.
func configMap(name, version string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {version: %q}\n", name, version)
}

// waitVersion waits until the cluster has the ConfigMap with the version.
func (w *world) waitVersion(name, version string) {
	w.T.Helper()
	w.Eventually(reactionTimeout, func() error {
		got, err := w.Kube.CoreV1().ConfigMaps(w.Namespace).Get(w.T.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got.Data["version"] != version {
			return fmt.Errorf("the ConfigMap %s has version %q, want %q", name, got.Data["version"], version)
		}
		return nil
	})
}

// annotate sets annotations of an Application, as a user does.
func (w *world) annotate(application, patch string) {
	w.T.Helper()
	_, err := w.Objects.Resource(applications).Namespace(w.Namespace).Patch(w.T.Context(), application,
		types.MergePatchType, []byte(`{"metadata":{"annotations":`+patch+`}}`), metav1.PatchOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
}

// excludePostern adds Postern's group to Argo CD's resource.exclusions, and returns how to undo it.
func (s *suite) excludePostern(t *testing.T) (undo func()) {
	t.Helper()
	const exclusion = "- apiGroups: [postern.dev]\n  kinds: ['*']\n  clusters: ['*']\n"
	change := func(f func(string) string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), testcluster.Patience) // also after the test
		defer cancel()
		configMaps := s.Kube.CoreV1().ConfigMaps(argocdNamespace)
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			settings, err := configMaps.Get(ctx, "argocd-cm", metav1.GetOptions{})
			if err != nil {
				return err
			}
			settings.Data["resource.exclusions"] = f(settings.Data["resource.exclusions"])
			_, err = configMaps.Update(ctx, settings, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	change(func(have string) string { return strings.TrimRight(have, "\n") + "\n" + exclusion })
	return func() {
		t.Helper()
		change(func(have string) string { return strings.TrimSuffix(have, exclusion) })
	}
}

// deployment returns the manifest of a Deployment that runs an image.
func deployment(name, image string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s}
spec:
  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: %s}}
    spec: {containers: [{name: main, image: %q}]}
`, name, name, name, image)
}

// waitImage waits until the cluster has the Deployment with the image.
func (w *world) waitImage(name, image string) {
	w.T.Helper()
	w.Eventually(reactionTimeout, func() error {
		got, err := w.Kube.AppsV1().Deployments(w.Namespace).Get(w.T.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if have := images(got.Spec.Template.Spec); !slices.Equal(have, []string{image}) {
			return fmt.Errorf("the Deployment %s runs %q, want %q", name, have, image)
		}
		return nil
	})
}

func images(pod corev1.PodSpec) []string {
	var all []string
	for i := range pod.Containers {
		all = append(all, pod.Containers[i].Image)
	}
	return all
}

// waitRunning waits until Argo CD reports that an Application runs the image.
func (w *world) waitRunning(application, image string) {
	w.T.Helper()
	w.Eventually(reactionTimeout, func() error {
		running, _, _ := unstructured.NestedStringSlice(w.Get(applications, application).Object, "status", "summary",
			"images")
		if !slices.Contains(running, image) {
			return fmt.Errorf("%s runs %q, want %q", application, running, image)
		}
		return nil
	})
}
