// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/apiserver"
	"postern.dev/postern/pkg/apiserver/filters"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/delivery"
	"postern.dev/postern/pkg/registry/deliver"
	"postern.dev/postern/pkg/target"
)

const (
	secret = "s3cret"
	push   = `{"ref":"refs/heads/main","after":"0123456789012345678901234567890123456789",` +
		`"repository":{"clone_url":"https://git.example.com/plant.git","default_branch":"main"},` +
		`"pusher":{"name":"ana"}}`
	plant = `{"apiVersion":"stoker.io/v1alpha1","kind":"GatewaySync",` +
		`"metadata":{"name":"plant","namespace":"demo","uid":"1","resourceVersion":"1","annotations":{"a":"b"}}}`
)

// TestPath_OneSignedPush takes a signed push of GitHub, of an anonymous sender, from the handler of the endpoint to the
// patch of its target and back. With PATH_BASELINE it only builds the parts; the measurement is the difference.
func TestPath_OneSignedPush(t *testing.T) {
	client := &kubeAPI{}
	writer, err := target.NewWriter(&rest.Config{Host: "http://kube-apiserver", Transport: client}, nil)
	if err != nil {
		t.Fatal(err)
	}
	secrets := &credential.Secrets{}
	secrets.Set("demo", map[string][]byte{"hmac": []byte(secret)})
	deliverer := delivery.New(delivery.Config{
		Verifier: credential.NewVerifier(credential.Config{RequireSecret: true}, secrets), Secrets: secrets,
		Targets: targets{writer}, Records: records{}, Events: &events.FakeRecorder{},
		MaxPayloadBytes: 1 << 20,
		Now:             time.Now,
	})
	endpoint := deliver.NewREST(deliver.Config{
		Address: deliver.TargetAddress(postern.TargetGatewaySync), Deliverer: deliverer,
		Encoder: apiserver.StorageCodec(), MaxPayloadBytes: 1 << 20,
	})
	ctx := genericapirequest.WithNamespace(t.Context(), "demo")
	ctx = genericapirequest.WithUser(ctx, &user.DefaultInfo{Name: user.Anonymous,
		Groups: []string{user.AllUnauthenticated}})
	handler, err := endpoint.Connect(ctx, "plant", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	handler = filters.WithoutQuerySecret(filters.WithDryRun(handler), "")
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/plant/webhookdeliveries", strings.NewReader(push))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(push))
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	req.Header.Set("X-Github-Event", "push")
	req.Header.Set("X-Github-Delivery", "1")
	if os.Getenv("PATH_BASELINE") != "" {
		return
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, req)
	if answer.Code != http.StatusAccepted || !strings.Contains(answer.Body.String(), `"phase":"Applied"`) {
		t.Fatalf("answered %d: %s", answer.Code, answer.Body)
	}
	for _, frame := range client.frames {
		fmt.Println("frame:", frame)
	}
	for _, request := range client.requests {
		fmt.Println("request:", request)
	}
}

// targets matches no target: the delivery names its own.
type targets struct{ *target.Writer }

func (targets) Matches(string, target.Request) ([]target.Match, error) { return nil, nil }

// records stores nothing.
type records struct{}

func (records) Create(
	_ context.Context, d *postern.WebhookDelivery, _ bool,
) (*postern.WebhookDelivery, error) {
	return d.DeepCopy(), nil
}

func (records) Get(_ context.Context, _, name string) (*postern.WebhookDelivery, error) {
	return nil, apierrors.NewNotFound(postern.Resource("webhookdeliveries"), name)
}

func (records) UpdateStatus(context.Context, *postern.WebhookDelivery) (*postern.WebhookDelivery, error) {
	return nil, errors.New("the delivery is stored once, with its outcome")
}

// kubeAPI answers every request with the GatewaySync. It records the requests, and the stacks at the patch.
type kubeAPI struct{ requests, frames []string }

func (k *kubeAPI) RoundTrip(req *http.Request) (*http.Response, error) {
	k.requests = append(k.requests, req.Method+" "+req.URL.Path)
	if req.Method == http.MethodPatch {
		stacks := make([]byte, 1<<20)
		k.frames = framesOf(string(stacks[:runtime.Stack(stacks, true)]))
	}
	answer := httptest.NewRecorder()
	answer.Header().Set("Content-Type", "application/json")
	_, _ = answer.WriteString(plant)
	return answer.Result(), nil
}

var ownFrame = regexp.MustCompile(`(?m)^postern\.dev/postern/pkg/(\S+)\(`)

// framesOf returns the functions of this module on all stacks, the outermost of each goroutine first, except the HTTP
// filters. A closure counts as its function.
func framesOf(stacks string) []string {
	var frames []string
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		var own []string
		for _, match := range ownFrame.FindAllStringSubmatch(stack, -1) {
			name, _, _ := strings.Cut(match[1], ".func")
			if !strings.Contains(name, ".With") && (len(own) == 0 || own[len(own)-1] != name) {
				own = append(own, name)
			}
		}
		slices.Reverse(own)
		for _, name := range own {
			if !slices.Contains(frames, name) {
				frames = append(frames, name)
			}
		}
	}
	return frames
}
