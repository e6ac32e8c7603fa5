// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package artifacts

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"postern.dev/postern/pkg/payload"
)

const commit = "1d5c79a1c0b4ef4a5b63f0d6d4b8a0e8b6f4c2d1"

// asked is the request that a body makes.
type asked struct{ Source, Ref string }

func TestArgoCDTemplate_AnnotationOrRevision(t *testing.T) {
	tests := map[string]struct {
		annotations map[string]any
		want        asked
	}{
		"annotation": {annotations: map[string]any{"git.ref": "v2.1.0"}, want: asked{"argocd", "v2.1.0"}},
		"revision":   {annotations: map[string]any{}, want: asked{"argocd", commit}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			app := map[string]any{
				"metadata": map[string]any{"name": "web", "annotations": test.annotations},
				"spec":     map[string]any{"source": map[string]any{"repoURL": "https://github.com/example/web.git"}},
				"status":   map[string]any{"sync": map[string]any{"revision": commit}},
			}
			if diff := cmp.Diff(test.want, decode(t, argoCDBody(t, app))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestArgoCDTemplate_CommitOfEachSource(t *testing.T) {
	const other = "2e6d80b2d1c5bf5b6c74a1e7e5c9b1f9c7a5d3e2"
	body := argoCDBody(t, map[string]any{
		"metadata": map[string]any{"name": "web", "annotations": map[string]any{}},
		"spec": map[string]any{"sources": []any{
			map[string]any{"repoURL": "https://github.com/example/web.git"},
			map[string]any{"repoURL": "https://github.com/example/values.git"},
		}},
		"status": map[string]any{"sync": map[string]any{"revisions": []any{commit, other}}},
	})
	decoded, err := payload.Decode(payload.Input{Body: body})
	if err != nil {
		t.Fatal(err)
	}
	requested := map[string]string{}
	for _, e := range decoded.Events {
		requested[e.Repository] = e.Ref
	}
	want := map[string]string{
		"https://github.com/example/web.git": commit, "https://github.com/example/values.git": other,
	}
	if diff := cmp.Diff(want, requested); diff != "" {
		t.Errorf("commits by repository (-want +got):\n%s", diff)
	}
}

// argoCDBody renders the body of the notification template as Argo CD does, with the only function that it uses:
// https://argo-cd.readthedocs.io/en/stable/operator-manual/notifications/templates/
func argoCDBody(t *testing.T, app map[string]any) []byte {
	t.Helper()
	var config corev1.ConfigMap
	if err := yaml.UnmarshalStrict(read(t, sendersDir+"/argocd-notifications.yaml"), &config); err != nil {
		t.Fatal(err)
	}
	var notification struct {
		Webhook map[string]struct{ Method, Path, Body string }
	}
	if err := yaml.UnmarshalStrict([]byte(config.Data["template.postern"]), &notification); err != nil {
		t.Fatal(err)
	}
	toJSON := func(v any) (string, error) {
		text, err := json.Marshal(v)
		return string(text), err
	}
	body, err := template.New("").Funcs(template.FuncMap{"toJson": toJSON}).Parse(notification.Webhook["postern"].Body)
	if err != nil {
		t.Fatal(err)
	}
	var rendered bytes.Buffer
	if err := body.Execute(&rendered, map[string]any{"app": app}); err != nil {
		t.Fatal(err)
	}
	return rendered.Bytes()
}

// kargoExpression matches the part of the body that Kargo evaluates; the JSON in it is a valid expression.
var kargoExpression = regexp.MustCompile(`(?s)\$\{\{ quote\((.*)\) \}\}`)

func TestKargoStep_TagOfCommit(t *testing.T) {
	match := kargoExpression.FindSubmatch(read(t, sendersDir+"/kargo-stage.yaml"))
	if match == nil {
		t.Fatal("there is no quote() in the body")
	}
	const found = "commitFrom(vars.repository)"
	body := strings.NewReplacer(
		found+".RepoURL", `"https://github.com/example/plant.git"`,
		found+".Tag", `"v2.2.0"`,
		found+".Branch", `""`,
		found+".ID", `"`+commit+`"`,
	).Replace(string(match[1]))
	if diff := cmp.Diff(asked{"kargo", "v2.2.0"}, decode(t, []byte(body))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEventBridgeTemplate_ImageOfEvent(t *testing.T) {
	body := strings.NewReplacer(
		"<account>", "123456789012",
		"<digest>", "sha256:"+strings.Repeat("0", 64),
		"<id>", "7bf73129-1428-4cd3-a780-95db273d1602",
		"<region>", "eu-west-1",
		"<repository>", "team/shop",
		"<tag>", "1.4.1",
		"<time>", "2026-01-31T09:30:00Z",
	).Replace(string(read(t, eventBridgeDir+"/cloudevent.template.json")))
	if strings.ContainsAny(body, "<>") {
		t.Errorf("a variable is left: %s", body)
	}
	decoded, err := payload.Decode(payload.Input{Source: "cloudevents", Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	want := "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/shop:1.4.1@sha256:" + strings.Repeat("0", 64)
	if len(decoded.Events) != 1 || decoded.Events[0].Image.String() != want {
		t.Errorf("got %+v, want one event for %s", decoded.Events, want)
	}
}

// decode detects the sender by the body, as Postern does on by-target paths.
func decode(t *testing.T, body []byte) asked {
	t.Helper()
	decoded, err := payload.Decode(payload.Input{Body: body})
	if err != nil {
		t.Fatalf("could not decode %s: %v", body, err)
	}
	if len(decoded.Events) != 1 {
		t.Fatalf("got %d events, want one", len(decoded.Events))
	}
	return asked{decoded.Source, decoded.Events[0].Ref}
}
