// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
)

// aliases names an image under very many aliases, as annotations do.
func aliases(n int, image string) string {
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, "a%d=%s,", i, image)
	}
	return list.String()
}

func TestConfigForTakesOnlySoManyImages(t *testing.T) {
	updater := selecting("many", iuv1alpha1.ApplicationRef{NamePattern: "*"})
	ref := &updater.Spec.ApplicationRefs[0]
	ref.Images = nil
	for i := range 2 * maxImages {
		ref.Images = append(ref.Images, iuv1alpha1.ImageConfig{Alias: fmt.Sprintf("a%d", i), ImageName: "nginx"})
	}
	byAnnotations, _ := ConfigFor(annotated(map[string]string{"image-list": aliases(2*maxImages, "nginx")}), nil)
	byObject, _ := ConfigFor(annotated(nil), read(updater))
	for origin, config := range map[string]Config{"annotations": byAnnotations, "an object": byObject} {
		if len(config.Images) != maxImages || config.Images[maxImages-1].Alias != fmt.Sprintf("a%d", maxImages-1) {
			t.Errorf("by %s: got %d images, want the first %d", origin, len(config.Images), maxImages)
		}
		if diff := cmp.Diff([]string{"only the first 1000 images count"}, config.Notes); diff != "" {
			t.Errorf("by %s: the notes differ (-want +got):\n%s", origin, diff)
		}
	}

	just, _ := ConfigFor(annotated(map[string]string{"image-list": aliases(maxImages, "nginx")}), nil)
	if len(just.Images) != maxImages || just.Notes != nil {
		t.Errorf("of as many as count: got %d images, and notes %q", len(just.Images), just.Notes)
	}
	wrong, _ := ConfigFor(annotated(map[string]string{"image-list": aliases(2*maxNotes, "NGINX")}), nil)
	if len(wrong.Notes) != maxNotes {
		t.Errorf("got %d notes, want %d", len(wrong.Notes), maxNotes)
	}
}

func TestPlanForTakesOneImageOnlySoOften(t *testing.T) {
	app := annotated(map[string]string{"image-list": aliases(maxImages, "nginx")})
	app.Spec.Source = &argov1alpha1.ApplicationSource{}
	app.Status.SourceType = argov1alpha1.SourceTypeKustomize
	for i := range 100 {
		app.Status.Summary.Images = append(app.Status.Summary.Images, fmt.Sprintf("nginx:9.0.%02d", i))
	}
	config, _ := ConfigFor(app, nil)
	plan := PlanFor(app, config, Image{Name: "docker.io/library/nginx", Tag: "1.0.0"})
	if len(plan.Decisions) != maxPlaces {
		t.Fatalf("got %d decisions, want %d", len(plan.Decisions), maxPlaces)
	}
	want := Decision{Slot: "a49", Reason: ReasonOlderVersion,
		Message: "1.0.0 is behind nginx:9.0.00, nginx:9.0.01, nginx:9.0.02, nginx:9.0.03, nginx:9.0.04 and 95 more, which is in use"}
	if diff := cmp.Diff(want, plan.Decisions[maxPlaces-1]); diff != "" {
		t.Errorf("the last decision differs (-want +got):\n%s", diff)
	}
}
