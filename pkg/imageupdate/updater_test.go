// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package imageupdate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
)

func TestUpdater_LargeObjectIsRefused(t *testing.T) {
	type ref = iuv1alpha1.ApplicationRef
	many := func(n int, format string) []ref {
		refs := make([]ref, n)
		for i := range refs {
			refs[i].NamePattern = fmt.Sprintf(format, i)
		}
		return refs
	}
	values := make([]string, maxTerms)
	for i := range values {
		values[i] = fmt.Sprint("v", i)
	}
	for name, tc := range map[string]struct {
		refs []ref
		want string
	}{
		"references":     {many(maxReferences, "shop-%d"), "too many applicationRefs;"},
		"wildcards":      {many(maxSelectors+1, "shop-%d*"), "wildcards"},
		"a long pattern": {[]ref{{NamePattern: strings.Repeat("[s]", 100) + "*"}}, "301 bytes"},
		"labels and values": {[]ref{{NamePattern: "x*", LabelSelectors: &metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: metav1.LabelSelectorOpIn,
				Values: values}},
		}}}, "labels and values"},
	} {
		t.Run(name, func(t *testing.T) {
			selects := selecting("a", ref{NamePattern: "shop"})
			selects.Spec.ApplicationRefs[0].Images = []iuv1alpha1.ImageConfig{{Alias: "web", ImageName: "nginx"}}
			large := selecting("b", tc.refs...)
			for _, namespace := range []string{"mine", "other"} {
				selects.Namespace, large.Namespace = "mine", namespace
				decisions := planned(hosts("mine", nil), selects, large).Decisions
				if len(decisions) != 1 {
					t.Fatalf("got the decisions %+v", decisions)
				}
				d := decisions[0]
				if namespace == "other" {
					if !d.Update {
						t.Errorf("objects of another namespace are counted: %+v", d)
					}
				} else if d.Update || d.Reason != ReasonInvalidConfiguration || !strings.Contains(d.Message, tc.want) {
					t.Errorf("got %+v", d)
				}
			}
			if u := NewUpdater(large); len(u.byName) > maxReferences || len(u.others) > maxSelectors+1 {
				t.Errorf("%d and %d references are kept", len(u.byName), len(u.others))
			}
		})
	}
}

func TestUpdater_ConfigOfOneImageIsPartOfWhole(t *testing.T) {
	named := 0
	repeat(t, 2000, func(c generator) string {
		var list []string
		for i := range 1 + c.IntN(5) {
			list = append(list,
				one(c, "", fmt.Sprintf("a%d=", i))+c.name()+one(c, "", ":1.x", ":>=1 <2", ":v1@sha256:old"))
		}
		app := annotated(map[string]string{"image-list": strings.Join(list, one(c, ",", ", ")),
			"a1.update-strategy": "digest"})
		pushed := c.image()
		whole, _ := ConfigFor(app, nil)
		part, found := ConfigForImage(app, nil, pushed)
		whole = whole.ForImage(pushed)
		if len(whole.Images) > 0 {
			named++
			whole.Notes, part.Notes = nil, nil
		} else {
			whole.Others = nil
		}
		for _, others := range [][]ImageConfig{whole.Others, part.Others} {
			for i := range others {
				others[i].Strategy = "" // not read
			}
			slices.SortFunc(others, func(a, b ImageConfig) int {
				return strings.Compare(a.Alias+a.Name+a.Constraint, b.Alias+b.Name+b.Constraint)
			})
		}
		if !found {
			return "the configuration is not found"
		}
		return cmp.Diff(whole, part, cmpopts.EquateEmpty())
	})
	if named < 500 {
		t.Errorf("only %d cases configure the image", named)
	}
}
