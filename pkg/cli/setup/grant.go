// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"
	"sigs.k8s.io/yaml"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

const grantExample = `  # Print what lets a ServiceAccount deliver to one GatewaySync, and nothing else
  kubectl postern grant gatewaysync/plant --serviceaccount=demo:ci -n demo

  # Create it, and a token of the ServiceAccount
  kubectl postern grant gatewaysync/plant --serviceaccount=demo:ci -n demo --apply --token-out=token

  # Let GitHub, which has no token, deliver; Postern then requires the webhook secret
  kubectl postern grant gatewaysync/plant --anonymous -n demo --apply

  # Let Harbor deliver to all Applications that use the pushed image
  kubectl postern grant --source=harbor --serviceaccount=demo:harbor -n demo --apply`

// grantOptions are the flags of the command grant.
type grantOptions struct {
	source, serviceAccount, tokenOut string
	anonymous, apply, forceConflicts bool
	tokenDuration                    time.Duration
	accountNamespace, accountName    string
}

// NewGrantCommand returns the command grant.
func NewGrantCommand(f *cli.Factory) *cobra.Command {
	o := &grantOptions{}
	command := &cobra.Command{
		Use:   "grant [KIND/NAME] [--source=TYPE] (--serviceaccount=NAMESPACE:NAME | --anonymous)",
		Short: "Let a sender deliver to a target, or as a type of sender",
		Long: "Let a sender deliver to a target, or, with --source alone, to all targets that match what it sends. " +
			"It may then use this path and do nothing else. The objects are printed, for kubectl apply, unless " +
			"--apply is given.",
		Example:           grantExample,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cli.CompleteArgs(f.CompleteTargets),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), f, args)
		},
	}
	flags := command.Flags()
	addSourceFlag(command, &o.source)
	flags.StringVar(&o.serviceAccount, "serviceaccount", "", "ServiceAccount that may deliver, as NAMESPACE:NAME. It "+
		"is created if it does not exist.")
	flags.BoolVar(&o.anonymous, "anonymous", false, "If true, callers without a token may deliver. Postern then "+
		"requires a webhook secret of them.")
	flags.BoolVar(&o.apply, "apply", false, "If true, apply the objects to the cluster instead of printing them.")
	flags.BoolVar(&o.forceConflicts, "force-conflicts", false, "If true, overwrite fields that others have applied.")
	flags.StringVar(&o.tokenOut, "token-out", "", "File to write a new token of the ServiceAccount to. Needs --apply.")
	flags.DurationVar(&o.tokenDuration, "token-duration", year, "Lifetime of the token. The cluster may shorten it.")
	_ = command.MarkFlagFilename("token-out")
	command.MarkFlagsMutuallyExclusive("serviceaccount", "anonymous")
	return command
}

const year = 365 * 24 * time.Hour

func (o *grantOptions) run(ctx context.Context, f *cli.Factory, args []string) error {
	endpoint, err := cli.ParseEndpoint(args, o.source)
	if err != nil {
		return err
	}
	if err := o.check(endpoint); err != nil {
		return err
	}
	cluster, err := f.Cluster()
	if err != nil {
		return err
	}
	g := o.grant(cluster.Namespace, endpoint)
	if !o.apply {
		return g.print(f.Out)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := g.apply(ctx, cluster, f.Out, o.forceConflicts); err != nil {
		return err
	}
	warnIfMissing(ctx, f, cluster, endpoint)
	if o.tokenOut != "" {
		return o.createToken(ctx, cluster, f.Out)
	}
	return nil
}

// warnIfMissing tells that a target does not exist. It may be created later, or be misspelled.
func warnIfMissing(ctx context.Context, f *cli.Factory, cluster *cli.Cluster, endpoint cli.Endpoint) {
	if endpoint.Target == nil {
		return
	}
	targets := cluster.Dynamic.Resource(cli.KindOf(endpoint.Target.Kind).Resource).Namespace(cluster.Namespace)
	if _, err := targets.Get(ctx, endpoint.Target.Name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		_, _ = fmt.Fprintf(f.ErrOut, "Warning: there is no %s in the namespace %s yet: until then, deliveries to it "+
			"are answered 404.\n", endpoint.Args()[0], cluster.Namespace)
	}
}

// check checks what the flags say together.
func (o *grantOptions) check(endpoint cli.Endpoint) error {
	var errs []error
	if !o.anonymous && o.serviceAccount == "" {
		errs = append(errs, errors.New("say who may deliver: --serviceaccount=NAMESPACE:NAME, or --anonymous for a "+
			"sender without a token"))
	}
	if o.tokenOut != "" && (!o.apply || o.anonymous) {
		errs = append(errs, errors.New("--token-out needs --serviceaccount and --apply"))
	}
	if o.serviceAccount != "" {
		var found bool
		o.accountNamespace, o.accountName, found = strings.Cut(o.serviceAccount, ":")
		if !found || len(validation.ValidateNamespaceName(o.accountNamespace, false)) > 0 ||
			len(validation.ValidateServiceAccountName(o.accountName, false)) > 0 {
			errs = append(errs, errors.New("--serviceaccount must be NAMESPACE:NAME"))
		}
	}
	if source := endpoint.Source; source != "" {
		methods := MethodsOf(source)
		withToken := slices.Contains(methods, byToken)
		switch {
		case o.serviceAccount != "" && !withToken:
			errs = append(errs, fmt.Errorf("%s can't send the token of a ServiceAccount: use --anonymous, and a "+
				"webhook secret", forms[source].Title))
		case o.anonymous && withToken && len(methods) == 1:
			errs = append(errs, fmt.Errorf("%s can use no webhook secret: use --serviceaccount", forms[source].Title))
		}
	}
	return errors.Join(errs...)
}

// grant is a permission to deliver, as objects of the cluster.
type grant struct {
	// account is nil for anonymous callers.
	account *corev1ac.ServiceAccountApplyConfiguration
	role    *rbacv1ac.RoleApplyConfiguration
	binding *rbacv1ac.RoleBindingApplyConfiguration
}

// grant returns the permission for an endpoint in a namespace. Its names follow from the endpoint and the sender, so
// that it is the same object when it is granted again.
func (o *grantOptions) grant(namespace string, endpoint cli.Endpoint) grant {
	resource, name := endpoint.Resource()
	// Neither part can have a colon.
	roleName := "postern:" + resource + ":" + name
	labels := map[string]string{"app.kubernetes.io/managed-by": fieldManager}
	role := rbacv1ac.Role(roleName, namespace).WithLabels(labels).WithRules(rbacv1ac.PolicyRule().
		WithAPIGroups(v1alpha1.GroupName).WithResources(resource + "/webhookdeliveries").WithResourceNames(name).
		WithVerbs("create"))
	g := grant{role: role}
	who, subject := "anonymous", rbacv1ac.Subject().WithAPIGroup(rbacv1.GroupName).WithKind(rbacv1.GroupKind).
		WithName(user.AllUnauthenticated)
	if !o.anonymous {
		who = o.accountNamespace + ":" + o.accountName
		subject = rbacv1ac.Subject().WithKind(rbacv1.ServiceAccountKind).WithNamespace(o.accountNamespace).
			WithName(o.accountName)
		g.account = corev1ac.ServiceAccount(o.accountName, o.accountNamespace)
	}
	g.binding = rbacv1ac.RoleBinding(roleName+":"+who, namespace).WithLabels(labels).WithSubjects(subject).
		WithRoleRef(rbacv1ac.RoleRef().WithAPIGroup(rbacv1.GroupName).WithKind("Role").WithName(roleName))
	return g
}

// print prints the objects as YAML.
func (g grant) print(w io.Writer) error {
	objects := []any{g.role, g.binding}
	if g.account != nil {
		objects = append([]any{g.account}, objects...)
	}
	for _, object := range objects {
		text, err := yaml.Marshal(object)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "---\n%s", text); err != nil {
			return err
		}
	}
	return nil
}

// apply applies the objects, and prints each as kubectl does.
func (g grant) apply(ctx context.Context, cluster *cli.Cluster, w io.Writer, force bool) error {
	options := metav1.ApplyOptions{FieldManager: fieldManager, Force: force}
	if g.account != nil {
		if err := g.createAccount(ctx, cluster, w); err != nil {
			return err
		}
	}
	roles := cluster.Kubernetes.RbacV1().Roles(*g.role.Namespace)
	if _, err := roles.Apply(ctx, g.role, options); err != nil {
		return fmt.Errorf("could not apply the Role: %w", err)
	}
	if _, err := fmt.Fprintf(w, "role.rbac.authorization.k8s.io/%s serverside-applied\n", *g.role.Name); err != nil {
		return err
	}
	bindings := cluster.Kubernetes.RbacV1().RoleBindings(*g.binding.Namespace)
	if _, err := bindings.Apply(ctx, g.binding, options); err != nil {
		return fmt.Errorf("could not apply the RoleBinding: %w", err)
	}
	_, err := fmt.Fprintf(w, "rolebinding.rbac.authorization.k8s.io/%s serverside-applied\n", *g.binding.Name)
	return err
}

// createAccount applies the ServiceAccount unless it exists: who may grant permissions to it need not own it.
func (g grant) createAccount(ctx context.Context, cluster *cli.Cluster, w io.Writer) error {
	accounts := cluster.Kubernetes.CoreV1().ServiceAccounts(*g.account.Namespace)
	_, err := accounts.Get(ctx, *g.account.Name, metav1.GetOptions{})
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return fmt.Errorf("could not read the ServiceAccount: %w", err)
	}
	if _, err := accounts.Apply(ctx, g.account, metav1.ApplyOptions{FieldManager: fieldManager}); err != nil {
		return fmt.Errorf("could not apply the ServiceAccount: %w", err)
	}
	_, err = fmt.Fprintf(w, "serviceaccount/%s serverside-applied\n", *g.account.Name)
	return err
}

// createToken writes a new token of the ServiceAccount to a file.
func (o *grantOptions) createToken(ctx context.Context, cluster *cli.Cluster, w io.Writer) error {
	accounts := cluster.Kubernetes.CoreV1().ServiceAccounts(o.accountNamespace)
	request, err := accounts.CreateToken(ctx, o.accountName, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(o.tokenDuration.Seconds()))},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("could not create a token: %w", err)
	}
	file, err := prepareFile(o.tokenOut, request.Status.Token+"\n")
	if err != nil {
		return err
	}
	if err := file.keep(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "token of serviceaccount/%s written to %s, valid until %s\n", o.accountName, o.tokenOut,
		request.Status.ExpirationTimestamp.UTC().Format(time.RFC3339))
	return err
}
