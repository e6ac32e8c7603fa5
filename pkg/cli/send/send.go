// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Package send has the command that delivers a payload as its sender would, for trying out.
package send

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"

	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/setup"
	"postern.dev/postern/pkg/credential"
	"postern.dev/postern/pkg/payload"
)

const (
	// maxBody is more than Postern accepts by default, and than any sender sends.
	maxBody = 32 << 20
	// requestTimeout bounds a delivery: Postern answers within some seconds.
	requestTimeout = time.Minute
)

const example = `  # Deliver a release as GitHub would, signed with the secret of the namespace
  kubectl postern send release.json gatewaysync/plant --source=github -n demo

  # Show what it would change
  kubectl postern send release.json gatewaysync/plant --source=github -n demo --dry-run=server

  # Deliver as a CI job, with the token of its ServiceAccount
  echo '{"ref": "v1.4.0"}' | kubectl postern send - gatewaysync/plant --source=generic -n demo --token-file=token

  # Deliver a push to all Applications that use the image, with the secret in a file
  kubectl postern send push.json --source=docker.io -n demo --secret-file=secret

  # Wait in a CI job until the target has the ref
  echo '{"ref": "v1.4.0"}' | kubectl postern send - app/shop --source=generic -n demo --token-file=token --wait`

// identity is the method of callers that the cluster knows.
const identity = credential.MethodServiceAccount

// The values of --dry-run.
const (
	dryRunNone   = "none"
	dryRunServer = "server"
)

// options are the flags of the command.
type options struct {
	source, method, secretFile, tokenFile, registryURL, dryRun string
	headers                                                    []string
	output                                                     cli.Output
	wait                                                       bool
	timeout                                                    time.Duration
	onHeld                                                     string
}

// NewCommand returns the command send.
func NewCommand(f *cli.Factory) *cobra.Command {
	o := &options{}
	files := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	command := &cobra.Command{
		Use:   "send FILE [KIND/NAME] --source=TYPE",
		Short: "Deliver a payload as its sender would",
		Long: "Deliver a payload as its sender would, for trying out: with its headers, and with the webhook secret " +
			"as a signature, in a header or in the URL. FILE has the body, - is standard input. The secret is that " +
			"of the namespace, if you may read it, or in a file. A sender that has a token of the cluster is tried " +
			"with your own identity.\n\nThe exit code is 0 if the delivery was applied, 2 if it was refused, 3 if it " +
			"was ignored, 4 if it was superseded, 5 if it failed, 6 if it is held, and 7 if it is pending, or " +
			"the server is not available. With --wait, a pending delivery is followed: by sending it again, if its " +
			"sender gives it an id, and otherwise by reading its record as yourself.",
		Example:           example,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: cli.CompleteArgs(files, f.CompleteTargets),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), f, args)
		},
	}
	o.addFlags(command)
	return command
}

func (o *options) addFlags(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&o.source, "source", "", "Type of the sender, such as github or harbor.")
	flags.StringVar(&o.method, "method", "", "How to authenticate: ServiceAccount (with your own identity), OIDC, "+
		"HMAC, Token or QueryToken. The default is what the page of the sender describes.")
	flags.StringVar(&o.secretFile, "secret-file", "", "File with the webhook secret, or with an OIDC token, or - for "+
		"standard input. The default is the Secret of the namespace.")
	flags.StringVar(&o.tokenFile, "token-file", "", "File with a token of a ServiceAccount to deliver with, or - for "+
		"standard input, instead of your own identity.")
	flags.StringVar(&o.registryURL, "registry-url", "",
		"Address from which clusters pull, as ?registry_url= in the URL.")
	flags.StringArrayVarP(&o.headers, "header", "H", nil, "Another header of the sender, as 'NAME: VALUE'. It "+
		"replaces a header that is found from the body.")
	flags.StringVar(&o.dryRun, "dry-run", dryRunNone, `Must be "none" or "server". If server, the delivery is tried `+
		"with your own identity, and nothing is written.")
	flags.BoolVar(&o.wait, "wait", false, "Wait until the delivery has ended. While the server is not available, send "+
		"again what has an id.")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "How long to wait.")
	flags.StringVar(&o.onHeld, "on-held", onHeldFail, `What to do while the target is held: "fail" or "wait".`)
	_ = command.MarkFlagRequired("source")
	_ = command.MarkFlagFilename("secret-file")
	_ = command.MarkFlagFilename("token-file")
	command.MarkFlagsMutuallyExclusive("token-file", "secret-file")
	for flag, values := range map[string]cobra.CompletionFunc{
		"source":  cli.CompleteSources,
		"method":  setup.CompleteMethods,
		"dry-run": cobra.FixedCompletions([]string{dryRunNone, dryRunServer}, cobra.ShellCompDirectiveNoFileComp),
		"on-held": cobra.FixedCompletions([]string{onHeldFail, onHeldWait}, cobra.ShellCompDirectiveNoFileComp),
	} {
		_ = command.RegisterFlagCompletionFunc(flag, values)
	}
	o.output.AddFlag(command, cli.OutputJSON, cli.OutputYAML, cli.OutputName)
}

func (o *options) run(ctx context.Context, f *cli.Factory, args []string) error {
	endpoint, err := cli.ParseEndpoint(args[1:], o.source)
	if err != nil {
		return err
	}
	if err := o.check(args[0]); err != nil {
		return err
	}
	body, err := readFile(args[0], f.In, maxBody)
	if err != nil {
		return fmt.Errorf("could not read the payload: %w", err)
	}
	cluster, err := f.Cluster()
	if err != nil {
		return err
	}
	d, err := o.delivery(ctx, f, cluster, endpoint, body)
	if err != nil {
		return err
	}
	var answer *answer
	if o.wait {
		answer, err = o.follow(ctx, f, cluster, d)
	} else {
		answer, err = d.sendOnce(ctx)
	}
	if err != nil {
		return err
	}
	return answer.report(f, cluster, endpoint, o)
}

// check checks what the flags say.
func (o *options) check(file string) error {
	switch {
	case o.dryRun != dryRunNone && o.dryRun != dryRunServer:
		return errors.New(`--dry-run must be "none" or "server"`)
	case o.onHeld != onHeldFail && o.onHeld != onHeldWait:
		return errors.New(`--on-held must be "fail" or "wait"`)
	case o.wait && o.dryRun == dryRunServer:
		return errors.New("a dry run ends at once: leave out --wait")
	case file == "-" && (o.secretFile == "-" || o.tokenFile == "-"):
		return errors.New("standard input can be the payload or the secret, not both")
	case o.dryRun == dryRunServer && o.method != "" && o.method != string(identity):
		return errors.New("a dry run needs an identity of the cluster: leave out --method")
	}
	if err := o.checkMethod(); err != nil {
		return err
	}
	return o.output.Validate()
}

// checkMethod checks how the flags say to authenticate.
func (o *options) checkMethod() error {
	if o.method == string(credential.MethodOIDC) && o.secretFile == "" {
		return errors.New("an OIDC token is in no Secret: give it with --secret-file=FILE")
	}
	if o.method != "" {
		if err := setup.CheckMethod(o.source, o.method); err != nil {
			return err
		}
	}
	if o.secretFile != "" && len(setup.MethodsOf(o.source)) == 1 && setup.MethodsOf(o.source)[0] == identity {
		return fmt.Errorf("%s can use no webhook secret: leave out --secret-file", setup.TitleOf(o.source))
	}
	return nil
}

// methods returns how the delivery may authenticate, best first. A dry run needs an identity.
func (o *options) methods(config *rest.Config) []credential.Method {
	switch isImpersonating := config.Impersonate.UserName != ""; {
	case o.dryRun == dryRunServer || o.tokenFile != "" || isImpersonating && o.method == "":
		return []credential.Method{identity}
	case o.method != "":
		return []credential.Method{credential.Method(o.method)}
	}
	methods := setup.MethodsOf(o.source)
	if o.secretFile == "" && methods[0] == identity {
		return methods[:1]
	}
	return slices.DeleteFunc(methods, func(m credential.Method) bool {
		return m == identity || m == credential.MethodOIDC // a secret does not tell which it is
	})
}

// delivery returns what the sender would send.
func (o *options) delivery(
	ctx context.Context, f *cli.Factory, cluster *cli.Cluster, endpoint cli.Endpoint, body []byte,
) (*delivery, error) {
	id, now := string(uuid.NewUUID()), time.Now()
	header := headersOf(o.source, body, id, now)
	if err := o.addHeaders(header); err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(cluster.Config)
	if err != nil {
		return nil, fmt.Errorf("could not read the address of the kube-apiserver: %w", err)
	}
	d := &delivery{
		url:    strings.TrimRight(base.String(), "/") + endpoint.Path(cluster.Namespace),
		header: header, query: url.Values{}, body: body,
	}
	if o.registryURL != "" {
		d.query.Set("registry_url", o.registryURL)
	}
	if o.dryRun == dryRunServer {
		d.query.Set("dryRun", "All")
	}
	methods := o.methods(cluster.Config)
	if d.method = methods[0]; d.method == identity {
		if o.tokenFile != "" {
			d.client, err = clientWithToken(cluster.Config, o.tokenFile, f.In)
		} else {
			d.client, err = clientOf(cluster.Config)
		}
		return d, err
	}
	if d.client, err = anonymousClient(cluster.Config); err != nil {
		return nil, err
	}
	var secret string
	if w := (wanted{endpoint, payload.SourceFromHeader(header) != "", methods}); o.secretFile != "" {
		secret, d.method, err = w.fromFile(o.secretFile, f.In)
	} else {
		secret, d.method, err = w.fromCluster(ctx, cluster)
	}
	if err != nil {
		return nil, err
	}
	d.prove = func(now time.Time) error {
		return proof{d.method, secret, id, now}.add(o.source, body, header, d.query)
	}
	return d, nil
}

// addHeaders adds the headers that the flags give.
func (o *options) addHeaders(header http.Header) error {
	for _, line := range o.headers {
		name, value, found := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !found || !isHeaderName(name) {
			return errors.New("--header must be 'NAME: VALUE'")
		}
		header.Set(name, strings.TrimSpace(value))
	}
	return nil
}

func isHeaderName(text string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}
	return text != "" && !strings.ContainsFunc(text, other)
}

// readFile reads a file, or in for "-", of at most limit bytes.
func readFile(path string, in io.Reader, limit int64) ([]byte, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	content, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("it is longer than %d bytes", limit)
	}
	return content, err
}
