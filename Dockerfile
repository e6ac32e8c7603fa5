# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# "make image" gives the arguments. The builder compiles for any platform on its own, so that none is emulated.
ARG GO_VERSION=1.26.8
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# The builder sets them. With values of ours it would not.
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
ARG REVISION=unknown
ARG DATE=unknown
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH make release RELEASE=/postern VERSION=$VERSION REVISION=$REVISION DATE=$DATE

# Nothing but the program: no shell, no libraries, nothing of its own that would have to be updated.
FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
ARG DATE=unknown
LABEL org.opencontainers.image.title="Postern" \
      org.opencontainers.image.description="Webhooks through the kube-apiserver" \
      org.opencontainers.image.url="https://postern.dev" \
      org.opencontainers.image.source="https://github.com/postern-dev/postern" \
      org.opencontainers.image.documentation="https://github.com/postern-dev/postern/tree/main/docs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${DATE}"
# The kube-apiserver and etcd have authorities of their own. The public ones are for an admission webhook or a receiver of
# audit events that is called by URL.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /postern /postern
# As in the manifests. Not a name: there is no /etc/passwd, and Kubernetes can't tell of a name that it is not root's.
USER 65532:65532
EXPOSE 8443
ENTRYPOINT ["/postern"]
