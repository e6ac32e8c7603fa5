// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package setup has the commands that set a sender up: what to enter at the sender, the permission to deliver, and the
// secret that both sides share.
package setup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/credential"
)

const urlExample = `  # What to enter at GitHub, whose webhooks are for one GatewaySync
  kubectl postern url gatewaysync/plant --source=github -n demo

  # What to enter at Harbor, whose pushes are for all Applications with the image, and the CA that it has to trust
  kubectl postern url --source=harbor -n demo --ca-out=ca.crt

  # Senders reach the kube-apiserver at another address than you
  kubectl postern url gatewaysync/plant --source=github --server-url=https://deliver.example.com`

// urlOptions are the flags of the command url.
type urlOptions struct {
	source, serverURL, caOut, method string
	output                           cli.Output
}

// NewURLCommand returns the command url.
func NewURLCommand(f *cli.Factory) *cobra.Command {
	o := &urlOptions{}
	command := &cobra.Command{
		Use:   "url [KIND/NAME] [--source=TYPE]",
		Short: "Show what to enter at a sender",
		Long: "Show what to enter at a sender: the URL, the header or the secret, and how it can trust the " +
			"certificate of the kube-apiserver. Give a target, or a type of sender for all targets that match what " +
			"it sends, or both. Secrets are never shown.",
		Example:           urlExample,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cli.CompleteArgs(f.CompleteTargets),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), f, args)
		},
	}
	flags := command.Flags()
	addSourceFlag(command, &o.source)
	flags.StringVar(&o.serverURL, "server-url", "",
		"Address at which senders reach the kube-apiserver. The default is that in your kubeconfig.")
	flags.StringVar(&o.caOut, "ca-out", "", "File to write the CA of the kube-apiserver to.")
	flags.StringVar(&o.method, "method", "", "How the sender authenticates: ServiceAccount, OIDC, HMAC, Token "+
		"or QueryToken. The default is what its page describes.")
	_ = command.RegisterFlagCompletionFunc("method", CompleteMethods)
	_ = command.MarkFlagFilename("ca-out")
	o.output.AddFlag(command, cli.OutputJSON, cli.OutputYAML)
	return command
}

func (o *urlOptions) run(ctx context.Context, f *cli.Factory, args []string) error {
	if err := o.output.Validate(); err != nil {
		return err
	}
	endpoint, err := cli.ParseEndpoint(args, o.source)
	if err != nil {
		return err
	}
	cluster, err := f.Cluster()
	if err != nil {
		return err
	}
	instructions, err := o.instructions(ctx, cluster, endpoint)
	if err != nil {
		return err
	}
	if printed, err := o.output.Print(f.Out, instructions); printed || err != nil {
		return err
	}
	return instructions.print(f.Out)
}

func (o *urlOptions) instructions(
	ctx context.Context, cluster *cli.Cluster, endpoint cli.Endpoint,
) (*Instructions, error) {
	server, err := o.server(cluster.Config)
	if err != nil {
		return nil, err
	}
	form, err := o.form(endpoint.Source)
	if err != nil {
		return nil, err
	}
	i := &Instructions{
		Sender: form.Title, Source: endpoint.Source, Where: form.Where, Method: string(form.Method),
		URL: strings.TrimRight(server.String(), "/") + endpoint.Path(cluster.Namespace), Page: pageOf(form),
	}
	for _, field := range form.Fields {
		if field.Method == "" || field.Method == form.Method {
			i.Fields = append(i.Fields, Field{field.Label, strings.ReplaceAll(field.Value, urlValue, i.URL)})
		}
	}
	if i.Certificate, err = o.certificate(cluster.Config, form); err != nil {
		return nil, err
	}
	i.Notes = notesOf(server, form)
	if endpoint.Source == "" {
		i.Notes = append(i.Notes, "with --source=TYPE, all that this type of sender needs is shown")
	}
	switch form.Method {
	case "", byToken:
	case byOIDC:
		i.SecretKey = "oidc"
		i.Notes = append(i.Notes, "the key oidc has the issuers and the conditions on the claims: docs/oidc.md")
	default:
		if i.SecretKey, err = secretKeyOf(endpoint, form.Method); err != nil {
			return nil, err
		}
	}
	i.Commands = o.commands(ctx, cluster, endpoint, form)
	return i, nil
}

// server returns the address of the kube-apiserver for senders.
func (o *urlOptions) server(config *rest.Config) (*url.URL, error) {
	if o.serverURL == "" {
		return cli.ServerURL(config)
	}
	server, err := url.Parse(o.serverURL)
	if err != nil || server.Scheme != "https" || server.Host == "" || server.User != nil || server.RawQuery != "" ||
		server.Fragment != "" {
		return nil, errors.New("--server-url must be an address such as https://deliver.example.com")
	}
	return server, nil
}

// anySender is the form of a sender whose type is not given.
var anySender = form{
	Title: "any sender", Page: "README", CA: caYes, CAPlace: "the place that its page names",
	Fields: []formField{{Label: "URL", Value: urlValue}},
}

// form returns the form of a sender, for the method that was asked for.
func (o *urlOptions) form(source string) (form, error) {
	if source == "" {
		if o.method != "" {
			return form{}, errors.New("--method needs --source")
		}
		return anySender, nil
	}
	form := forms[source]
	if o.method == "" {
		return form, nil
	}
	if err := CheckMethod(source, o.method); err != nil {
		return form, err
	}
	form.Method = credential.Method(o.method)
	return form, nil
}

// secretKeyOf returns the key that "secret set" sets for an endpoint.
func secretKeyOf(endpoint cli.Endpoint, method credential.Method) (string, error) {
	args := []string{endpoint.Source}
	if NeedsTargetKey(endpoint, method) {
		args = append(args, endpoint.Args()[0])
	}
	_, key, err := keyOf(args, false)
	return key, err
}

// certificate says how the sender can trust the kube-apiserver, and writes its CA if that was asked for.
func (o *urlOptions) certificate(config *rest.Config, form form) (string, error) {
	if o.serverURL != "" && o.caOut == "" {
		return "must be one that the sender trusts: of a public CA, nothing is to be done; otherwise give its CA to " +
			"the sender. It is not that of your kubeconfig", nil
	}
	config = rest.CopyConfig(config)
	if err := rest.LoadTLSFiles(config); err != nil {
		return "", fmt.Errorf("could not read the CA of the kubeconfig: %w", err)
	}
	switch {
	case config.Insecure:
		return "your kubeconfig does not verify it, so its CA is unknown", nil
	case len(config.CAData) == 0:
		return "a public CA suffices: your kubeconfig names no other, so there is no file to give to the sender", nil
	}
	if o.caOut == "" {
		return trustOf(form, "the CA of the cluster (--ca-out=FILE writes it)"), nil
	}
	if err := os.WriteFile(o.caOut, config.CAData, 0o644); err != nil { //nolint:gosec // a CA certificate is public
		return "", fmt.Errorf("could not write the CA: %w", err)
	}
	return trustOf(form, "the CA in "+o.caOut), nil
}

// trustOf says what to do with a private CA at a sender.
func trustOf(form form, ca string) string {
	switch form.CA {
	case caYes:
		return "give " + ca + " to the sender: " + form.CAPlace
	case caOff:
		return form.Title + " trusts public CAs only, and not " + ca + ": use an address with a public certificate " +
			"(--server-url), or disable the verification there"
	case caNo:
		return form.Title + " trusts public CAs only, and not " + ca + ": use an address with a public certificate " +
			"(--server-url)"
	default:
		return "give " + ca + " to the sender"
	}
}

// notesOf warns of addresses that the sender can't reach, and of secrets in URLs.
func notesOf(server *url.URL, form form) []string {
	var notes []string
	host := server.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsPrivate()) {
		notes = append(notes, host+" is not reachable from everywhere: name another address with --server-url; "+
			"programs in the cluster use https://kubernetes.default.svc")
	}
	if form.Method == byQuery {
		notes = append(notes, "proxies and the cluster's audit log see a secret in a URL: use it for nothing else")
	}
	return notes
}

// commands returns the commands that make what the sender needs.
func (o *urlOptions) commands(
	ctx context.Context, cluster *cli.Cluster, endpoint cli.Endpoint, form form,
) []string {
	grant := append([]string{"grant"}, endpoint.Args()...)
	switch {
	case endpoint.Source == "":
		return nil
	case form.Method == byToken:
		account := "--serviceaccount=" + cluster.Namespace + ":" + defaultAccount(endpoint.Source)
		return []string{cluster.PluginCommand(append(grant, account, "--apply", "--token-out=token")...)}
	}
	commands := []string{cluster.PluginCommand(append(grant, "--anonymous", "--apply")...)}
	if form.Method != byOIDC && !hasSecret(ctx, cluster, endpoint.Source) {
		set := []string{"secret", "set", endpoint.Source}
		if NeedsTargetKey(endpoint, form.Method) {
			set = append(set, endpoint.Args()[0])
		}
		set = append(set, "--out=secret")
		if form.Method == byHMAC && endpoint.Source == "gitlab" {
			set = append(set, "--signing-token")
		}
		commands = append(commands, cluster.PluginCommand(set...))
	}
	return commands
}

// defaultAccount returns the name of a ServiceAccount for a type of sender.
func defaultAccount(source string) string {
	if source == "generic" {
		return "ci"
	}
	return strings.ReplaceAll(source, ".", "-")
}

// hasSecret reports whether the namespace is known to have a secret for a type of sender.
func hasSecret(ctx context.Context, cluster *cli.Cluster, source string) bool {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	found, err := cluster.Postern.PosternV1alpha1().WebhookSources(cluster.Namespace).Get(ctx, source,
		metav1.GetOptions{})
	return err == nil && found.Status.HasSecret
}
