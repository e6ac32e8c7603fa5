// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/generated/clientset/versioned/fake"
)

func TestRedeliver_DryRunHasSameExitCodeInEachFormat(t *testing.T) {
	ignored := &v1alpha1.WebhookDelivery{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "WebhookDelivery"},
		Status:   v1alpha1.WebhookDeliveryStatus{Phase: v1alpha1.DeliveryIgnored},
	}
	for _, format := range []string{"", cli.OutputJSON, cli.OutputYAML, cli.OutputName} {
		streams, _, out, _ := genericiooptions.NewTestIOStreams()
		o := &redeliverOptions{Factory: &cli.Factory{IOStreams: streams}, output: cli.Output{Format: format}}
		err := o.printDryRun(ignored)
		if exit := (*cli.ExitError)(nil); !errors.As(err, &exit) || exit.Code != cli.ExitFault || out.Len() == 0 {
			t.Errorf("with the format %q it prints %q and returns %v, want the exit code %d", format, out, err,
				cli.ExitFault)
		}
	}
}

func TestAwaitEnd_TellsInterruptFromTimeout(t *testing.T) {
	cluster := &cli.Cluster{Namespace: "demo", Postern: fake.NewSimpleClientset()}
	pending := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "github-4zv9d"}}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if _, err := awaitEnd(ctx, cluster, pending, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("after an interrupt the error is %v", err)
	}
}
