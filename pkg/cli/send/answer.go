// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package send

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/credential"
)

// answer is what a sender gets back.
type answer struct {
	code     int
	warnings []string
	// retryAfter is when the sender should send again, 0 if the server does not say.
	retryAfter time.Duration
	body       []byte
	// method is how the sender authenticated.
	method credential.Method
}

// report prints the answer, and returns an error with the exit code.
func (a *answer) report(f *cli.Factory, cluster *cli.Cluster, endpoint cli.Endpoint, o *options) error {
	for _, warning := range a.warnings {
		if _, err := fmt.Fprintf(f.ErrOut, "Warning: %s\n", cli.Printable(warningText(warning))); err != nil {
			return err
		}
	}
	var delivery v1alpha1.WebhookDelivery
	if json.Unmarshal(a.body, &delivery) != nil || delivery.Kind != "WebhookDelivery" {
		return a.reportRefusal(f, cluster, endpoint, o)
	}
	printed, err := o.output.Print(f.Out, &delivery)
	if err == nil && !printed {
		_, err = fmt.Fprint(f.Out, a.describe(&delivery, cluster, o))
	}
	if code := exitCode(delivery.Status.Phase); err == nil && code != cli.ExitOK {
		err = &cli.ExitError{Code: code}
	}
	return err
}

// exitCode returns the exit code for the phase of a delivery.
func exitCode(phase v1alpha1.DeliveryPhase) int {
	switch phase {
	case v1alpha1.DeliveryApplied:
		return cli.ExitOK
	case v1alpha1.DeliveryIgnored:
		return cli.ExitIgnored
	case v1alpha1.DeliverySuperseded:
		return cli.ExitSuperseded
	case v1alpha1.DeliveryFailed:
		return cli.ExitNotWritten
	case v1alpha1.DeliveryHeld:
		return cli.ExitHeld
	default:
		return cli.ExitPending
	}
}

// warningText returns the text of a Warning header: 299 - "text".
func warningText(header string) string {
	_, text, found := strings.Cut(header, `"`)
	if !found {
		return header
	}
	return strings.ReplaceAll(strings.TrimSuffix(text, `"`), `\"`, `"`)
}

// reportRefusal prints an answer that is no delivery.
func (a *answer) reportRefusal(f *cli.Factory, cluster *cli.Cluster, endpoint cli.Endpoint, o *options) error {
	var status metav1.Status
	message := "the answer is not from Postern"
	if json.Unmarshal(a.body, &status) == nil && status.Kind == "Status" {
		// The command that the answer names lacks the flags that select this cluster.
		message, _, _ = strings.Cut(cli.Printable(status.Message), "; kubectl postern doctor ")
		status.APIVersion = "v1"
		if _, err := o.output.Print(f.Out, &status); err != nil {
			return err
		}
	}
	doctor := cluster.PluginCommand(append([]string{"doctor"}, endpoint.Args()...)...)
	_, err := fmt.Fprintf(f.ErrOut, "error: the delivery was refused: %d %s: %s\nTo find out why:\n  %s\n", a.code,
		http.StatusText(a.code), message, doctor)
	if err != nil {
		return err
	}
	switch {
	case a.code == http.StatusInternalServerError:
		return &cli.ExitError{Code: cli.ExitNotWritten}
	case a.isUnavailable():
		return &cli.ExitError{Code: cli.ExitPending}
	default:
		return &cli.ExitError{Code: cli.ExitFault}
	}
}

// describe tells the outcome in words.
func (a *answer) describe(d *v1alpha1.WebhookDelivery, cluster *cli.Cluster, o *options) string {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(cli.Printable(fmt.Sprintf(format, args...)) + "\n") }
	dryRun := ""
	if o.dryRun == dryRunServer {
		dryRun = " (server dry run)"
	}
	line("webhookdelivery/%s: %s%s", d.Name, d.Status.Phase, dryRun)
	if d.Status.Message != "" {
		line("  %s", d.Status.Message)
	}
	for _, target := range d.Status.Targets {
		text := fmt.Sprintf("%s: %s, %s", cli.TargetName(target.Kind, target.Name), target.Result, target.Ref)
		if target.Message != "" && target.Message != d.Status.Message {
			text += ": " + target.Message
		}
		line("  %s", text)
	}
	for _, part := range d.Status.Ignored {
		line("  ignored: %s", part.Message)
	}
	line("  authenticated by %s", a.methodOf(d))
	switch why := cluster.PluginCommand("why", d.Name); {
	case dryRun != "":
	case d.Status.Phase != v1alpha1.DeliveryApplied:
		b.WriteString("To find out why:\n  " + why + "\n")
	case d.Status.Message == "": // an anonymous sender is not told more
		b.WriteString("To see what it changed:\n  " + why + "\n")
	}
	return b.String()
}

// methodOf returns how the sender was authenticated: as Postern says, unless it does not tell an anonymous caller.
func (a *answer) methodOf(d *v1alpha1.WebhookDelivery) string {
	if sender := d.Status.Sender; sender != nil {
		return fmt.Sprintf("%s, as %s", sender.Method, sender.Name)
	}
	return string(a.method)
}
