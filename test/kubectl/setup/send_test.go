// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli/setup"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
	"postern.dev/postern/test/testcluster"
)

// example is a payload of a type of sender, as it is in pkg/payload/testdata.
type example struct {
	file string
	// image is what a registry has pushed; empty for a git host, which delivers to the GatewaySync plant.
	image string
	args  []string
}

var examples = map[string]example{
	"acr":              {file: "acr/push-full.json", image: "example.azurecr.io/team/shop"},
	"aliyun-acr":       {file: "aliyun-acr/full.json", image: "registry.cn-hangzhou.aliyuncs.com/team/shop"},
	"argocd":           {file: "argocd/annotation-minimal.json"},
	"azure-devops":     {file: "azure-devops/push-tag.json"},
	"bitbucket":        {file: "bitbucket/push-tag.json"},
	"bitbucket-server": {file: "bitbucket-server/push-tag.json"},
	"cloudevents": {
		file: "cloudevents/ecr-full.json", image: "111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop",
	},
	"distribution":   {file: "distribution/push-full.json", image: "registry.example.com:5000/team/shop"},
	"docker.io":      {file: "docker.io/full.json", image: "example/shop"},
	"ecr":            {file: "ecr/push-full.json", image: "111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/shop"},
	"gar":            {file: "gar/insert-full.json", image: "europe-west3-docker.pkg.dev/example/team/shop"},
	"generic":        {file: "generic/minimal.json"},
	"ghcr.io":        {file: "ghcr.io/package-full.json", image: "ghcr.io/example/shop"},
	"gitea":          {file: "gitea/release-published.json"},
	"gitea-packages": {file: "gitea-packages/created-full.json", image: "gitea.example.com/team/shop"},
	"github":         {file: "github/release-published.json"},
	"gitlab":         {file: "gitlab/release-create.json"},
	"harbor":         {file: "harbor/push-full.json", image: "harbor.example.com/team/shop"},
	"jfrog":          {file: "jfrog/pushed-full.json", image: "example.jfrog.io/docker-local/team/shop"},
	"kargo":          {file: "kargo/tag-minimal.json"},
	"nexus":          {file: "nexus/created-full.json", image: "nexus.example.com:8082/team/shop"},
	"quay.io":        {file: "quay.io/minimal.json", image: "quay.io/example/shop"},
	"zot": {
		file: "zot/updated-full.json", image: "zot.example.com:5000/team/shop",
		args: []string{"--registry-url=zot.example.com:5000"},
	},
}

// follower returns the manifest of an Application that follows an image.
func follower(name, image string) string {
	annotated := "metadata: {name: " + name + ", annotations: {argocd-image-updater.argoproj.io/image-list: \"shop=" +
		image + "\"}}"
	return strings.Replace(testcluster.Application(name), "metadata: {name: "+name+"}", annotated, 1) +
		"\nstatus: {sourceType: Kustomize, summary: {images: [\"" + image + ":1.0.0\"]}}"
}

// For each type of sender, each method by which it can authenticate is accepted, and the payload is applied.
func TestSend_AsEachTypeOfSender(t *testing.T) {
	for _, sender := range payload.Senders() {
		for _, method := range setup.MethodsOf(sender.Name) {
			t.Run(sender.Name+"/"+string(method), func(t *testing.T) {
				t.Parallel()
				testSend(t, sender.Name, method)
			})
		}
	}
}

func testSend(t *testing.T, source string, method credential.Method) {
	example, found := examples[source]
	if !found {
		t.Fatal("there is no example")
	}
	w := newWorld(t)
	var target []string
	if example.image == "" {
		target = []string{"gatewaysync/plant"}
	} else {
		w.Create(testcluster.Applications, follower("follower", example.image))
	}
	switch method {
	case credential.MethodServiceAccount: // the administrator may all
	case credential.MethodOIDC:
		example.args = append(slices.Clone(example.args), "--secret-file="+w.provideToken(source, target))
	default:
		w.provide(source, method, target)
	}
	args := slices.Concat([]string{filepath.Join(root, "pkg/payload/testdata", example.file)}, target,
		[]string{"--source=" + source, "--method=" + string(method)}, example.args)
	got := w.untilSent(0, "", args...)
	record := w.record(got.out)
	if want := recorded(method); record.Status.Sender == nil || record.Status.Sender.Method != want {
		t.Errorf("the record has the sender %+v, want the method %s", record.Status.Sender, want)
	}
	if record.Status.Phase != v1alpha1.DeliveryApplied || len(record.Spec.Events) == 0 ||
		record.Spec.Events[0].Source != source {
		t.Errorf("the record has the phase %s and the events %+v", record.Status.Phase, record.Spec.Events)
	}
}

// recorded returns how Postern calls a method: the user of the tests is no ServiceAccount.
func recorded(method credential.Method) string {
	if method == credential.MethodServiceAccount {
		return string(credential.MethodUser)
	}
	return string(method)
}

// provideToken grants a sender with an OIDC token what it needs, and returns the file of the token.
func (w *world) provideToken(source string, target []string) string {
	w.T.Helper()
	w.must("", slices.Concat([]string{"grant", "--source=" + source, "--anonymous", "--apply"}, target)...)
	issuer := testcluster.NewIssuer(w.T, "https://issuer.example.com")
	w.SetWebhookSecrets(map[string]string{"oidc": issuer.Configuration("postern")})
	file := w.path("id-token")
	if err := os.WriteFile(file, []byte(issuer.Token("postern", "kim", nil)), 0o600); err != nil {
		w.T.Fatal(err)
	}
	return file
}

// provide grants a sender without an identity what it needs.
func (w *world) provide(source string, method credential.Method, target []string) {
	w.T.Helper()
	w.must("", slices.Concat([]string{"grant", "--source=" + source, "--anonymous", "--apply"}, target)...)
	set := []string{"secret", "set", source, "--out=" + w.path("secret")}
	if source == "generic" && method == credential.MethodHMAC { // neither the path nor a header names it
		set = append(set, target...)
	}
	w.must("", set...)
	if source == "nexus" { // it does not report its address
		shared.MustKubectl(w.T, "", "patch", "secret", credential.SecretName, "--namespace="+w.Namespace,
			`--patch={"stringData": {"webhook.nexus-registry-url": "nexus.example.com:8082"}}`)
	}
}

// Each type of sender that Postern knows has instructions and an example.
func TestSend_ExamplesAreOfAllSenders(t *testing.T) {
	for source := range examples {
		if !slices.Contains(payload.Sources(), source) {
			t.Errorf("there is no type of sender %s", source)
		}
	}
	if got, want := len(examples), len(payload.Sources()); got != want {
		t.Errorf("there are examples of %d types of sender, want %d", got, want)
	}
}
