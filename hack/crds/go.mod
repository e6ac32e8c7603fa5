// Modules from which tests take the CRDs of others, whose objects the overlays in manifests hold. Nothing is built of them.
module postern.dev/postern/hack/crds

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
