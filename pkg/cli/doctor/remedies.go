// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	iuv1alpha1 "postern.dev/postern/apis/argocdimageupdater/v1alpha1"
	argov1alpha1 "postern.dev/postern/apis/argoproj/v1alpha1"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/imageupdate"
	"postern.dev/postern/pkg/naming"
	"postern.dev/postern/pkg/target"
)

// The messages of the kube-apiserver about a request that its admission refuses. The names become arguments of
// commands, and senders may have a part in a message, so they must look like names.
var (
	deniedByPolicy = regexp.MustCompile(
		`ValidatingAdmissionPolicy '([a-z0-9][a-z0-9.-]*)' with binding '[^']+' denied request`)
	deniedByWebhook = regexp.MustCompile(`admission webhook "([a-z0-9][a-z0-9.-]*)" denied the request`)
	failedWebhook   = regexp.MustCompile(`failed calling webhook "([a-z0-9][a-z0-9.-]*)"`)
	notAuthorized   = regexp.MustCompile(`User "[^"]*" cannot (?:get|patch|list|watch) resource`)
)

// ownPolicyPrefix begins the names of the policies in Postern's installation. They limit what Postern may change, so
// they deny a write if a mutating webhook changes something else in it.
const ownPolicyPrefix = "postern-"

// remedy returns the command that helps against a failure at the target.
func (e *examiner) remedy(ctx context.Context, o outcome) string {
	if command := e.admissionRemedy(ctx, o.message); command != "" {
		return command
	}
	switch {
	case notAuthorized.MatchString(o.message):
		return e.mendRole(ctx, e.systemNamespace(), serviceAccount)
	case o.reason == "TargetGone" && e.Target != nil:
		return e.kubectlHere("get", e.groupKind())
	case o.reason == imageupdate.ReasonInvalidConfiguration:
		_, command := e.explainUnwanted(ctx, o)
		return command
	}
	return e.why(o.delivery)
}

// why returns the command that tells more about a delivery; empty for a dry run, which has no record.
func (e *examiner) why(d *v1alpha1.WebhookDelivery) string {
	if d.UID == "" {
		return ""
	}
	return e.PluginCommand("why", d.Name)
}

// admissionRemedy returns the command that shows and changes the policy or the webhook that a message names. It is
// empty if the message names none.
func (e *examiner) admissionRemedy(ctx context.Context, message string) string {
	if found := deniedByPolicy.FindStringSubmatch(message); found != nil {
		if strings.HasPrefix(found[1], ownPolicyPrefix) {
			return e.kubectl("get", "mutatingwebhookconfigurations")
		}
		return e.kubectl("edit", "validatingadmissionpolicy", found[1])
	}
	for _, pattern := range []*regexp.Regexp{deniedByWebhook, failedWebhook} {
		if found := pattern.FindStringSubmatch(message); found != nil {
			kind, name := e.configurationOf(ctx, found[1])
			return e.kubectl("edit", kind, name)
		}
	}
	return ""
}

// configurationOf returns the configuration that has an admission webhook, or a word for it.
func (e *examiner) configurationOf(ctx context.Context, webhook string) (kind, name string) {
	api := e.Kubernetes.AdmissionregistrationV1()
	options := metav1.ListOptions{Limit: maxListed}
	if list, err := api.ValidatingWebhookConfigurations().List(ctx, options); err == nil {
		for _, configuration := range list.Items {
			for _, hook := range configuration.Webhooks {
				if hook.Name == webhook && e.matchesNamespace(hook.NamespaceSelector) {
					return "validatingwebhookconfiguration", configuration.Name
				}
			}
		}
	}
	if list, err := api.MutatingWebhookConfigurations().List(ctx, options); err == nil {
		for _, configuration := range list.Items {
			for _, hook := range configuration.Webhooks {
				if hook.Name == webhook && e.matchesNamespace(hook.NamespaceSelector) {
					return "mutatingwebhookconfiguration", configuration.Name
				}
			}
		}
	}
	return "validatingwebhookconfiguration", "NAME"
}

// explainUnwanted returns why the target did not take a delivery, and the command with which its owner lets it.
func (e *examiner) explainUnwanted(ctx context.Context, o outcome) (message, command string) {
	switch o.reason {
	case target.ReasonSuperseded:
		return o.message + ". To have it all the same, redeliver it", e.redeliver(o.delivery)
	case target.ReasonNotDeployedOn:
		return o.message + ". Redelivered, it is written all the same", e.redeliver(o.delivery)
	case target.ReasonNotAffected:
		return o.message + ". Redelivered, it is refreshed all the same", e.redeliver(o.delivery)
	case target.ReasonCommitNotAccepted:
		if e.Target != nil && e.Target.Kind == v1alpha1.TargetGatewaySync {
			return o.message, e.annotate(target.AnnotationAcceptCommits, "true")
		}
	case "OwnSecret":
		return o.message, e.ownPath()
	}
	if e.object == nil || len(o.delivery.Spec.Events) == 0 {
		return o.message, e.why(o.delivery)
	}
	event := &o.delivery.Spec.Events[0]
	if event.Image != nil {
		return e.explainImage(ctx, o, event)
	}
	return e.explainRef(o, event)
}

// ownPath returns the command that examines deliveries to the target's own path.
func (e *examiner) ownPath() string {
	if e.Target == nil {
		return ""
	}
	return e.PluginCommand("doctor", e.targetName())
}

// explainRef explains why a target does not follow a pushed git ref.
func (e *examiner) explainRef(o outcome, event *v1alpha1.DeliveryEvent) (message, command string) {
	followed := e.followedRepositories()
	isFollowed := slices.ContainsFunc(followed, func(repository string) bool {
		return naming.SameRepository(repository, event.Repository) || naming.SameRepository(repository, event.SSHURL)
	})
	switch {
	case o.delivery.Spec.Target != nil:
		return o.message, e.why(o.delivery)
	case event.Repository != "" && len(followed) > 0 && !isFollowed:
		return fmt.Sprintf("%s is of the repository %s, and %s is of %s", event.Ref, event.Repository, e.targetName(),
			list(followed)), e.kubectlHere("get", e.groupKind(), e.Target.Name, "--output=yaml")
	case event.RefType == v1alpha1.RefTypeTag:
		return fmt.Sprintf("%s. To follow tags such as %s, %s has to opt in with a constraint of versions", o.message,
			event.Ref, e.targetName()), e.annotate(target.AnnotationFollowTags, "CONSTRAINT")
	}
	return o.message + ". By source, a target takes only pushes of the ref that it tracks", e.why(o.delivery)
}

// followedRepositories returns the repositories of the target's sources.
func (e *examiner) followedRepositories() (all []string) {
	add := func(source map[string]any, fields ...string) {
		if url, found, err := nestedString(source, fields...); found && err == nil {
			all = append(all, url)
		}
	}
	set := &argov1alpha1.ApplicationSet{}
	if e.Target.Kind == v1alpha1.TargetApplicationSet &&
		runtime.DefaultUnstructuredConverter.FromUnstructured(e.object.Object, set) == nil {
		return target.RepositoriesOf(set)
	}
	add(e.object.Object, "spec", "git", "repo")
	add(e.object.Object, "spec", "source", "repoURL")
	add(e.object.Object, "spec", "sourceHydrator", "drySource", "repoURL")
	sources, _, _ := nestedSlice(e.object.Object, "spec", "sources")
	for _, source := range sources {
		if source, isMap := source.(map[string]any); isMap {
			add(source, "repoURL")
		}
	}
	return all
}

// explainImage explains why an Application does not take a pushed image.
func (e *examiner) explainImage(
	ctx context.Context, o outcome, event *v1alpha1.DeliveryEvent,
) (message, command string) {
	app := &argov1alpha1.Application{}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(e.object.Object, app)
	if err != nil || e.Target.Kind != v1alpha1.TargetApplication {
		return o.message, e.why(o.delivery)
	}
	updaters, _ := e.imageUpdaters(ctx)
	config, _ := imageupdate.ConfigFor(app, updaters)
	name := cli.ImageName(event.Image)
	pushed, err := imageupdate.ParseImage(name)
	if err != nil {
		return o.message, e.why(o.delivery)
	}
	i := slices.IndexFunc(config.Images, func(c imageupdate.ImageConfig) bool { return c.Matches(pushed) })
	origin, isObject := strings.CutPrefix(config.Origin, "ImageUpdater ")
	updater, _, _ := strings.Cut(origin, ",")
	edit := e.kubectlHere("edit", "imageupdaters."+iuv1alpha1.GroupName, updater)
	switch {
	case i < 0 && isObject:
		return fmt.Sprintf("%s is not among the images of %s, which %s has", name, e.targetName(), config.Origin), edit
	case i < 0:
		return fmt.Sprintf("%s is not among the images of %s, in its annotation %s", name, e.targetName(),
			imageListAnnotation), e.annotate(imageListAnnotation, withImage(app.Annotations[imageListAnnotation], name))
	case isObject:
		return o.message, edit
	}
	return o.message, e.imageRemedy(o, app, config.Images[i])
}

// withImage adds an image to a list.
func withImage(images, name string) string {
	if images = strings.TrimRight(images, ", "); images == "" {
		return name
	}
	return images + "," + name
}

// imageRemedy returns the command that lets an Application take a tag that its annotations exclude.
func (e *examiner) imageRemedy(o outcome, app *argov1alpha1.Application, image imageupdate.ImageConfig) string {
	key := func(name string) string {
		if image.Alias == "" {
			return iuv1alpha1.AnnotationPrefix + name
		}
		return iuv1alpha1.AnnotationPrefix + strings.ReplaceAll(image.Alias, "/", "_") + "." + name
	}
	switch o.reason {
	case imageupdate.ReasonConstraintNotMet, imageupdate.ReasonTagNotFollowed:
		old := image.Name
		if image.Constraint != "" {
			old += ":" + image.Constraint
		}
		return e.annotate(imageListAnnotation,
			strings.Replace(app.Annotations[imageListAnnotation], old, image.Name+":CONSTRAINT", 1))
	case imageupdate.ReasonTagNotAllowed:
		return e.annotate(key("allow-tags"), "regexp:EXPRESSION")
	case imageupdate.ReasonTagIgnored:
		return e.annotate(key("ignore-tags"), "PATTERNS")
	case imageupdate.ReasonNotInUse:
		return e.annotate(key("force-update"), "true")
	case imageupdate.ReasonNotSemver:
		return e.annotate(key("update-strategy"), string(imageupdate.NewestBuild))
	}
	return e.why(o.delivery)
}
