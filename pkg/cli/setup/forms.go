// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import "postern.dev/postern/pkg/credential"

// form is what a user enters at a type of sender. Its words are those of the sender's page in docs/senders, which a
// test compares.
type form struct {
	// Title is the name of the sender, and Page the file of its page, without the suffix.
	Title, Page string
	// Where is the place of the form at the sender.
	Where string
	// Method is the method that the page sets up. The fields of other methods are left out, unless they are asked for.
	Method credential.Method
	Fields []formField
	// Unnamed is set if the sender signs, and no header of it names its type.
	Unnamed bool
	// CA says whether the sender can trust a private CA.
	CA caTrust
	// CAPlace is where the sender reads the CA from, if it can trust one.
	CAPlace string
}

// formField is one field of a form.
type formField struct {
	Label string
	// Value has placeholders: $URL, $SECRET and $TOKEN.
	Value string
	// Method is the only method that has this field. Empty: all have it.
	Method credential.Method
}

// caTrust is whether a sender can trust a private CA, as in docs/senders/README.md.
type caTrust string

const (
	caYes caTrust = "yes" // the sender can trust it
	caNo  caTrust = "no"  // the certificate must be publicly trusted
	caOff caTrust = "off" // as no, but verification can be disabled per webhook
)

// Values that many forms have.
const (
	urlValue    = "$URL"
	secretValue = "$SECRET"
	queryValue  = "$URL?secret=$SECRET"
	bearerValue = "Bearer $TOKEN"
	headerName  = "Authorization"
	secretName  = "X-Webhook-Secret"
	idTokenName = "X-Webhook-OIDC-Token"

	idTokenValue = "$ID_TOKEN"
)

const (
	byToken  = credential.MethodServiceAccount
	byOIDC   = credential.MethodOIDC
	byHMAC   = credential.MethodHMAC
	bySecret = credential.MethodToken
	byQuery  = credential.MethodQueryToken
)

// forms are the forms by type of sender.
var forms = map[string]form{
	"acr": {
		Title: "Azure Container Registry", Page: "acr", Where: "Services → Webhooks → Add", Method: byToken,
		CA: caNo,
		Fields: []formField{
			{Label: "Service URI", Value: urlValue},
			{Label: "Custom headers", Value: headerName + ": " + bearerValue, Method: byToken},
			{Label: "Custom headers", Value: secretName + ": " + secretValue, Method: bySecret},
			{Label: "Trigger actions", Value: "push"},
		},
	},
	"aliyun-acr": {
		Title: "Alibaba Cloud Container Registry", Page: "aliyun-acr", Where: "Triggers → Create", Method: byQuery,
		CA: caNo, Fields: []formField{{Label: "Trigger URL", Value: queryValue}},
	},
	"argocd": {
		Title: "Argo CD notifications", Page: "argocd", Where: "artifacts/senders/argocd-notifications.yaml",
		Method: byToken, CA: caYes, CAPlace: "argocd-tls-certs-cm, under the host name of the URL",
		Fields: []formField{
			{Label: "url", Value: urlValue},
			{Label: headerName, Value: bearerValue, Method: byToken},
			{Label: secretName, Value: secretValue, Method: bySecret},
		},
	},
	"azure-devops": {
		Title: "Azure DevOps", Page: "azure-devops",
		Where:  "Project settings → Service hooks → Create subscription → Web Hooks",
		Method: byToken, CA: caOff,
		Fields: []formField{
			{Label: "Trigger on this type of event", Value: "Code pushed"},
			{Label: "URL", Value: urlValue},
			{Label: "HTTP headers", Value: headerName + ":" + bearerValue, Method: byToken},
			{Label: "HTTP headers", Value: secretName + ":" + secretValue, Method: bySecret},
			{Label: "Basic authentication", Value: "empty"},
			{Label: "Resource details to send", Value: "All"},
		},
	},
	"bitbucket": {
		Title: "Bitbucket Cloud", Page: "bitbucket", Where: "Repository settings → Webhooks → Add webhook",
		Method: byHMAC, CA: caOff,
		Fields: []formField{
			{Label: "URL", Value: urlValue},
			{Label: "Secret", Value: secretValue},
			{Label: "Triggers", Value: "Repository push"},
		},
	},
	"bitbucket-server": {
		Title: "Bitbucket Data Center", Page: "bitbucket-server", Where: "Settings → Webhooks → Create webhook",
		Method: byHMAC, CA: caYes, CAPlace: "its Java runtime: import it with keytool, and restart Bitbucket",
		Fields: []formField{
			{Label: "URL", Value: urlValue},
			{Label: "Secret", Value: secretValue},
			{Label: "Authentication", Value: "none"},
			{Label: "Events", Value: "Repository: Push"},
		},
	},
	"cloudevents": {
		Title: "CloudEvents", Page: "cloudevents", Where: "the sink", Method: byToken,
		Fields: []formField{
			{Label: "URL", Value: urlValue, Method: byToken},
			{Label: headerName, Value: bearerValue, Method: byToken},
			{Label: "URL", Value: urlValue, Method: byOIDC},
			{Label: idTokenName, Value: idTokenValue, Method: byOIDC},
			{Label: "URL", Value: urlValue, Method: bySecret},
			{Label: secretName, Value: secretValue, Method: bySecret},
			{Label: "URL", Value: queryValue, Method: byQuery},
		},
	},
	"distribution": {
		Title: "CNCF Distribution", Page: "distribution", Where: "artifacts/senders/distribution-config.yaml",
		Method: byToken, CA: caYes, CAPlace: "its system, or the file in the environment variable SSL_CERT_FILE",
		Fields: []formField{
			{Label: "url", Value: urlValue},
			{Label: headerName, Value: bearerValue, Method: byToken},
			{Label: secretName, Value: secretValue, Method: bySecret},
		},
	},
	"docker.io": {
		Title: "Docker Hub", Page: "docker-hub", Where: "Webhooks", Method: byQuery, CA: caNo,
		Fields: []formField{{Label: "Webhook URL", Value: queryValue}},
	},
	"ecr": {
		Title: "Amazon ECR", Page: "ecr", Where: "API destinations → Connections", Method: bySecret, CA: caNo,
		Fields: []formField{
			{Label: "Authorization type", Value: "API key"},
			{Label: "API key name, value", Value: secretName + ", " + secretValue},
			{Label: "Endpoint, method", Value: urlValue + ", POST"},
		},
	},
	"gar": {
		Title: "Google Artifact Registry", Page: "gar", Where: "gcloud pubsub subscriptions create", Method: byQuery,
		CA: caNo, Fields: []formField{{Label: "--push-endpoint", Value: queryValue}},
	},
	"generic": {
		Title: "Senders of JSON", Page: "generic", Where: "the sender", Method: byToken, CA: caYes,
		CAPlace: "curl --cacert", Unnamed: true,
		Fields: []formField{
			{Label: "URL", Value: urlValue},
			{Label: headerName, Value: bearerValue, Method: byToken},
			{Label: idTokenName, Value: idTokenValue, Method: byOIDC},
			{Label: secretName, Value: secretValue, Method: bySecret},
			{Label: "X-Hub-Signature-256", Value: "sha256= and the HMAC-SHA256 of the body by $SECRET", Method: byHMAC},
		},
	},
	"ghcr.io": {
		Title: "GitHub Container Registry", Page: "ghcr", Where: "Settings → Webhooks → Add webhook",
		Method: byHMAC, CA: caOff,
		Fields: []formField{
			{Label: "Payload URL", Value: urlValue},
			{Label: "Content type", Value: "application/json"},
			{Label: "Secret", Value: secretValue},
			{Label: "Which events", Value: "Packages in a repository, Registry packages in an organization"},
		},
	},
	"gitea": {
		Title: "Gitea, Forgejo and Gogs", Page: "gitea", Where: "Settings → Webhooks → Add webhook → Gitea",
		Method: byToken, CA: caYes, CAPlace: "the server's system",
		Fields: []formField{
			{Label: "Target URL", Value: urlValue},
			{Label: "HTTP method", Value: "POST"},
			{Label: "POST content type", Value: "application/json"},
			{Label: "Secret", Value: "empty", Method: byToken},
			{Label: "Secret", Value: secretValue, Method: byHMAC},
			{Label: "Trigger on", Value: "Custom events: Release, Push; for Gogs also Create"},
			{Label: "Authorization header", Value: bearerValue, Method: byToken},
		},
	},
	"gitea-packages": {
		Title: "Gitea and Forgejo packages", Page: "gitea-packages",
		Where:  "Settings → Webhooks → Add webhook → Gitea",
		Method: byToken, CA: caYes, CAPlace: "the server's system",
		Fields: []formField{
			{Label: "Target URL", Value: urlValue},
			{Label: "HTTP method", Value: "POST"},
			{Label: "POST content type", Value: "application/json"},
			{Label: "Secret", Value: "empty", Method: byToken},
			{Label: "Secret", Value: secretValue, Method: byHMAC},
			{Label: "Trigger on", Value: "Custom events: Package"},
			{Label: "Authorization header", Value: bearerValue, Method: byToken},
		},
	},
	"github": {
		Title: "GitHub", Page: "github", Where: "Settings → Webhooks → Add webhook", Method: byHMAC, CA: caOff,
		Fields: []formField{
			{Label: "Payload URL", Value: urlValue},
			{Label: "Content type", Value: "application/json"},
			{Label: "Secret", Value: secretValue},
			{Label: "SSL verification", Value: "on"},
			{Label: "Which events", Value: "Releases, and Pushes to follow branches or tags"},
		},
	},
	"gitlab": {
		Title: "GitLab", Page: "gitlab", Where: "Settings → Webhooks → Add new webhook", Method: bySecret,
		CA:      caYes,
		CAPlace: "the system of a self-hosted GitLab; GitLab.com trusts no private CA",
		Fields: []formField{
			{Label: "URL", Value: urlValue},
			{Label: "Signing token", Value: secretValue, Method: byHMAC},
			{Label: "Secret token", Value: secretValue, Method: bySecret},
			{Label: "Trigger", Value: "Releases events, Tag push events, Push events, as needed"},
			{Label: "Custom headers", Value: headerName + ": " + bearerValue, Method: byToken},
		},
	},
	"harbor": {
		Title: "Harbor", Page: "harbor", Where: "Webhooks → New Webhook", Method: byToken, CA: caYes,
		CAPlace: "Harbor's job service: caBundleSecretName of the chart, or common/config/shared/trust-certificates",
		Fields: []formField{
			{Label: "Notify Type", Value: "http"},
			{Label: "Payload Format", Value: "CloudEvents"},
			{Label: "Event Type", Value: "Artifact pushed"},
			{Label: "Endpoint URL", Value: urlValue},
			{Label: "Auth Header", Value: bearerValue},
		},
	},
	"jfrog": {
		Title: "JFrog Artifactory", Page: "jfrog",
		Where:  "Administration → General Management → Webhooks → New Webhook",
		Method: byHMAC, CA: caYes, CAPlace: "the directory trusted of the platform's services",
		Unnamed: true,
		Fields: []formField{
			{Label: "URL", Value: urlValue},
			{Label: "Events", Value: "Docker tag was pushed"},
			{Label: "Secret token", Value: secretValue, Method: byHMAC},
			{Label: "Use secret for payload signing", Value: "on", Method: byHMAC},
			{Label: "Secret token", Value: secretValue, Method: bySecret},
			{Label: "Use secret for payload signing", Value: "off", Method: bySecret},
			{Label: "Custom headers", Value: headerName + ": " + bearerValue, Method: byToken},
		},
	},
	"kargo": {
		Title: "Kargo", Page: "kargo", Where: "artifacts/senders/kargo-stage.yaml", Method: byToken, CA: caYes,
		CAPlace: "the ConfigMap or Secret that its chart sets as controller.cabundle",
		Fields: []formField{
			{Label: "url", Value: urlValue},
			{Label: headerName, Value: bearerValue, Method: byToken},
			{Label: secretName, Value: secretValue, Method: bySecret},
		},
	},
	"nexus": {
		Title: "Sonatype Nexus Repository", Page: "nexus",
		Where:  "Administration → System → Capabilities → Create capability → Webhook: Repository",
		Method: byHMAC, CA: caYes, CAPlace: "its Java runtime: import it with keytool",
		Fields: []formField{
			{Label: "Event Types", Value: "component"},
			{Label: "URL", Value: urlValue},
			{Label: "Secret Key", Value: secretValue},
		},
	},
	"quay.io": {
		Title: "Quay", Page: "quay", Where: "Settings → Events and Notifications → Create Notification",
		Method: byQuery, CA: caYes, CAPlace: "extra_ca_certs of a self-hosted Quay; quay.io trusts no private CA",
		Fields: []formField{{Label: "Webhook URL", Value: queryValue}},
	},
	"zot": {
		Title: "zot", Page: "zot", Where: "artifacts/senders/zot-config.json", Method: byToken, CA: caYes,
		CAPlace: "the file cacertfile of its configuration",
		Fields: []formField{
			{Label: "address", Value: urlValue + "?registry_url=HOST"},
			{Label: "token", Value: "$TOKEN", Method: byToken},
			{Label: "headers: " + secretName, Value: secretValue, Method: bySecret},
		},
	},
}
