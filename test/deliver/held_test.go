// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"errors"
	"testing"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/test/deliver/script"
	"postern.dev/postern/test/testcluster"
)

// A job fails while its target is held, or waits until it is released.
func TestDeliver_Held(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	annotate := func(annotation string) {
		t.Helper()
		shared.MustKubectl(t, "", "annotate", "gatewaysync", "plant", "--namespace="+w.Namespace, annotation)
	}
	annotate(v1alpha1.AnnotationHold + "=freeze")
	w.Eventually(testcluster.Patience, func() error { // Postern has seen it
		if got, outputs := w.deliver("v1.4.0"); got.Code != script.Held || outputs["phase"] != "Held" {
			return errors.New(got.String())
		}
		return nil
	})
	ended := w.start("v1.5.0", "POSTERN_ON_HELD", "wait")
	held := w.untilRecorded("v1.5.0", v1alpha1.DeliveryHeld)
	annotate(v1alpha1.AnnotationHold + "-")
	got, outputs := ended()
	want(t, got, outputs, script.Applied, "Applied")
	if outputs["name"] != held.Name || w.requested() != "v1.5.0" {
		t.Errorf("the outputs are %q; the GatewaySync has %q", outputs, w.requested())
	}
}
