// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/story"
	"postern.dev/postern/pkg/imageupdate"
	"postern.dev/postern/pkg/naming"
)

// NewExplainImageCommand returns the command `explain-image`.
func NewExplainImageCommand(f *cli.Factory) *cobra.Command {
	var output cli.Output
	command := &cobra.Command{
		Use:   "explain-image APPLICATION IMAGE:TAG[@DIGEST]",
		Short: "Explain what the push of an image would change in an Application, and why",
		Long: `Explain what the push of an image would change in an Application, and why: for each alias of the image in
the Application's configuration for Argo CD Image Updater, which setting accepts or excludes the tag; and what the
server answers to a dry run of the delivery, which also knows the order of events and your policies. Nothing is changed.

It needs the permission to create webhookdeliveries, for the dry run, and to read the Application and the ImageUpdater
objects of its namespace. What you may not do is said and left out.

The exit code is 0 if the Application would get the image, or has it, and 2 if not.`,
		Example: `  # Why does this tag not arrive?
  kubectl postern explain-image shop ghcr.io/example/shop:1.5.0

  # With the strategy digest
  kubectl postern explain-image shop ghcr.io/example/shop:latest@sha256:…`,
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: cli.CompleteArgs(func(command *cobra.Command, args []string, toComplete string,
		) ([]string, cobra.ShellCompDirective) {
			const kind = "application/"
			found, directive := f.CompleteTargets(command, args, kind+strings.TrimPrefix(toComplete, kind))
			for i := range found {
				found[i] = strings.TrimPrefix(found[i], kind)
			}
			return found, directive
		}),
		RunE: func(command *cobra.Command, args []string) error {
			return explainImage(command.Context(), f, &output, args[0], args[1])
		},
	}
	output.AddFlag(command, cli.OutputJSON, cli.OutputYAML)
	return command
}

// imageExplanation is what the push of an image would change in an Application, and why.
type imageExplanation struct {
	Application string `json:"application"`
	Image       string `json:"image"`
	// Accepted is whether the Application would get the image, or has it.
	Accepted bool `json:"accepted"`
	// Verdict says in a sentence what would happen.
	Verdict string `json:"verdict"`
	// Configuration is what the owner configured; nil if it could not be read.
	Configuration *imageConfiguration `json:"configuration,omitempty"`
	// Expected is the delivery as a dry run of the server returns it; nil if it could not be asked.
	Expected *v1alpha1.WebhookDelivery `json:"expected,omitempty"`
	// Unknown says what could not be read or asked, and why.
	Unknown []string `json:"unknown,omitempty"`
}

func explainImage(ctx context.Context, f *cli.Factory, output *cli.Output, application, reference string) error {
	if err := output.Validate(); err != nil {
		return err
	}
	if target, err := cli.ParseTarget(application); err == nil && target.Kind == v1alpha1.TargetApplication {
		application = target.Name
	}
	if strings.Contains(application, "/") {
		return fmt.Errorf("%s is not the name of an Application", cli.Quote(application))
	}
	image, err := naming.ParseImage(reference)
	if err != nil {
		return err
	}
	if image.Tag == "" {
		return fmt.Errorf("%s has no tag, without which no push is considered", cli.Quote(reference))
	}
	cluster, err := f.Cluster()
	if err != nil {
		return err
	}
	e := &imageExplanation{Application: application, Image: image.String()}
	if err := e.readConfiguration(ctx, cluster, image); err != nil {
		return err
	}
	if err := e.askServer(ctx, cluster, image); err != nil {
		return err
	}
	if e.Configuration == nil && e.Expected == nil {
		return fmt.Errorf("nothing is known of the Application: %s", strings.Join(e.Unknown, "; "))
	}
	e.judge()
	if printed, err := output.Print(f.Out, e); err != nil {
		return err
	} else if !printed {
		if _, err := io.WriteString(f.Out, e.words()); err != nil {
			return err
		}
	}
	if !e.Accepted {
		return &cli.ExitError{Code: cli.ExitFault}
	}
	return nil
}

// askServer asks the server for a dry run of the delivery.
func (e *imageExplanation) askServer(ctx context.Context, cluster *cli.Cluster, image postern.ImageReference) error {
	delivery := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "explain-image-"},
		Spec: v1alpha1.WebhookDeliverySpec{
			Target: &v1alpha1.TargetReference{Kind: v1alpha1.TargetApplication, Name: e.Application},
		},
	}
	if image.Digest == "" {
		delivery.Spec.Ref, delivery.Spec.Image = image.Tag, image.Name()
	} else if err := setNotification(&delivery.Spec, image); err != nil {
		return err
	}
	expected, err := cluster.Postern.PosternV1alpha1().WebhookDeliveries(cluster.Namespace).Create(ctx, delivery,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	switch {
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err): // the user may not, or a policy refuses it
		e.Unknown = append(e.Unknown, "the server refuses the delivery: "+err.Error())
	case apierrors.IsNotFound(err) && e.Configuration == nil:
		return fmt.Errorf("could not ask the server: %w", err)
	case err != nil:
		e.Unknown = append(e.Unknown, "the server could not be asked: "+err.Error())
	default:
		expected.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("WebhookDelivery"))
		e.Expected = expected
	}
	return ctx.Err()
}

// setNotification sets the payload with which registries report the push of an image with its digest.
func setNotification(spec *v1alpha1.WebhookDeliverySpec, image postern.ImageReference) error {
	raw, err := json.Marshal(map[string]any{"events": []any{map[string]any{
		"action": "push",
		"target": map[string]any{
			"mediaType":  "application/vnd.oci.image.manifest.v1+json",
			"repository": image.Repository, "tag": image.Tag, "digest": image.Digest,
		},
		"request": map[string]any{"host": image.Host},
	}}})
	if err != nil {
		return err
	}
	spec.Source, spec.Payload = "distribution", &v1alpha1.JSON{Raw: raw}
	return nil
}

// judge sets the verdict. The server has the last word, but for one case: it notes in the annotations what is delivered
// to an Application by name, even if no configuration names the image.
func (e *imageExplanation) judge() {
	unnamed := e.Configuration != nil && len(e.Configuration.Aliases) == 0
	switch {
	case unnamed:
		e.Verdict = "It would not be updated: no configuration for image updates names the image."
	case e.Expected == nil:
		e.Accepted = e.Configuration.accepts()
		e.Verdict = "By its configuration it would not be updated."
		if e.Accepted {
			e.Verdict = "By its configuration it would be updated."
		}
	default:
		e.Accepted = e.Expected.Status.Phase == v1alpha1.DeliveryApplied
		e.Verdict = verdictOf(e.Expected)
	}
}

// verdictOf returns a sentence for what a dry run expects.
func verdictOf(expected *v1alpha1.WebhookDelivery) string {
	verdict := "It has the image."
	for _, t := range expected.Status.Targets {
		for _, c := range t.Changes {
			if strings.HasPrefix(c.Field, "spec.") {
				verdict = "It would be updated."
			}
		}
	}
	switch reason := expected.Status.Reason; {
	case expected.Status.Phase != v1alpha1.DeliveryApplied:
		verdict = "It would not be updated."
	case reason == imageupdate.ReasonGitWriteBack:
		verdict = "Its annotations would note the request."
	}
	return verdict + " " + story.Meaning(expected.Status.Reason)
}

// words returns the explanation for people.
func (e *imageExplanation) words() string {
	p := &page{now: time.Now()}
	p.line("application/%s, %s", e.Application, e.Image)
	p.line("")
	p.line("%s", e.Verdict)
	if c := e.Configuration; c != nil {
		p.line("")
		p.configuration(c)
	}
	if e.Expected != nil {
		p.line("")
		p.line("The server, in a dry run of the delivery:")
		p.indent = "  "
		p.plan(e.Expected)
		p.indent = ""
	}
	for _, unknown := range e.Unknown {
		p.line("")
		p.line("Not known: %s", unknown)
	}
	return p.text.String()
}

// configuration prints what the owner configured.
func (p *page) configuration(c *imageConfiguration) {
	if len(c.Aliases) == 0 {
		p.line("Configured images: %s", orNone(strings.Join(c.Others, ", ")))
	} else {
		p.line("Configured by %s:", c.Origin)
	}
	for _, a := range c.Aliases {
		verdict := "not updated"
		if a.Update {
			verdict = "updated"
		}
		p.line("  %s: %s (%s)", a.Alias, verdict, a.Reason)
		p.line("    %s", a.Meaning)
		p.line("    In particular: %s", a.Message)
		for _, setting := range a.Settings {
			p.line("    %s", setting)
		}
	}
	for _, note := range c.Notes {
		p.line("  Note: %s", note)
	}
}
