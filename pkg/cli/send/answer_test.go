// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package send

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/credential"
	postdelivery "postern.dev/postern/pkg/delivery"
)

var demo = &cli.Cluster{Namespace: "demo", Flags: []string{"--context=test"}}

func TestDescribe(t *testing.T) {
	applied := func(message string, targets ...v1alpha1.TargetResult) v1alpha1.WebhookDeliveryStatus {
		return v1alpha1.WebhookDeliveryStatus{Phase: v1alpha1.DeliveryApplied, Message: message, Targets: targets}
	}
	plant := func(message string) v1alpha1.TargetResult {
		return v1alpha1.TargetResult{
			Kind: v1alpha1.TargetGatewaySync, Name: "plant", Ref: "v1", Result: v1alpha1.TargetWritten,
			Message: message,
		}
	}
	for _, tt := range []struct {
		name   string
		status v1alpha1.WebhookDeliveryStatus
		want   string
	}{
		{"says the same only once", applied("set to v1", plant("set to v1")),
			"webhookdelivery/one: Applied\n  set to v1\n  gatewaysync/plant: Written, v1\n  authenticated by HMAC\n"},
		{"says what a target has besides", applied("2 targets", plant("set to v1")),
			"webhookdelivery/one: Applied\n  2 targets\n  gatewaysync/plant: Written, v1: set to v1\n" +
				"  authenticated by HMAC\n"},
		{"names the command that tells more than an anonymous sender sees", applied(""),
			"webhookdelivery/one: Applied\n  authenticated by HMAC\nTo see what it changed:\n" +
				"  kubectl postern why one -n demo --context=test\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &answer{method: credential.MethodHMAC}
			d := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Name: "one"}, Status: tt.status}
			if diff := cmp.Diff(tt.want, a.describe(d, demo, &options{})); diff != "" {
				t.Errorf("unexpected text (-want +got):\n%s", diff)
			}
		})
	}
}

// The server's own advice lacks the flags that select the cluster, so it is not repeated.
func TestReportRefusal_NamesOneCommand(t *testing.T) {
	target := &postern.TargetReference{Kind: postern.TargetGatewaySync, Name: "plant"}
	asked := &postern.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo"}, Spec: postern.WebhookDeliverySpec{Target: target},
	}
	for _, refusal := range []*apierrors.StatusError{
		apierrors.NewUnauthorized("the token is unknown"),
		apierrors.NewNotFound(v1alpha1.Resource("gatewaysyncs"), "plant"),
	} {
		message := refusal.ErrStatus.Message
		_, advised := postdelivery.Advise(asked, nil, refusal)
		var answered apierrors.APIStatus
		if !errors.As(advised, &answered) {
			t.Fatalf("got the error %v", advised)
		}
		status := answered.Status()
		status.Kind = "Status"
		body, err := json.Marshal(status)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(body), "kubectl postern doctor") {
			t.Fatalf("the server gives no advice: %s", body)
		}
		var errOut bytes.Buffer
		f := &cli.Factory{IOStreams: genericiooptions.IOStreams{ErrOut: &errOut}}
		a := &answer{code: int(status.Code), body: body}
		if err := a.report(f, demo, cli.Endpoint{Source: "github"}, &options{}); err == nil {
			t.Error("a refusal is no error")
		}
		want := fmt.Sprintf("error: the delivery was refused: %d %s: %s\nTo find out why:\n"+
			"  kubectl postern doctor --source=github -n demo --context=test\n", a.code,
			http.StatusText(a.code), message)
		if diff := cmp.Diff(want, errOut.String()); diff != "" {
			t.Errorf("unexpected text (-want +got):\n%s", diff)
		}
	}
}

func TestClientWithToken_RefusesWhatIsNoToken(t *testing.T) {
	for content, problem := range map[string]string{"\n": "is empty", "two words": "one word", "one\ntwo": "one word"} {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := clientWithToken(&rest.Config{Host: "https://127.0.0.1:1"}, file, nil)
		if err == nil || !strings.Contains(err.Error(), problem) || strings.Contains(err.Error(), "two") {
			t.Errorf("%q: got the error %v, want %q", content, err, problem)
		}
	}
}
