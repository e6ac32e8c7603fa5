// Libraries for webhooks, whose test data has examples of what git hosts and registries send.
module postern.dev/postern/hack/vendors

go 1.26.0

tool (
	github.com/drone/go-scm/scm
	github.com/go-playground/webhooks/v6/github
	gitlab.com/gitlab-org/api/client-go
)

require (
	github.com/drone/go-scm v1.39.1 // indirect
	github.com/go-playground/webhooks/v6 v6.4.0 // indirect
	github.com/google/go-querystring v1.2.0 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	gitlab.com/gitlab-org/api/client-go v1.46.0 // indirect
	golang.org/x/oauth2 v0.34.0 // indirect
	golang.org/x/time v0.14.0 // indirect
)
