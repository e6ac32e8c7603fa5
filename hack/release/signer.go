// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
)

// signer signs with cosign: with a key, and without a transparency log; or in a workflow of GitHub with the identity of
// the workflow, which the transparency log records.
type signer struct {
	release  *release
	flags    []string
	registry []string // flags of what talks to the registry
}

func newSigner(r *release) (*signer, error) {
	s := &signer{release: r, flags: []string{"--yes"}}
	switch key := os.Getenv("COSIGN_KEY"); {
	case key != "":
		s.flags = append(s.flags, "--key="+key, "--tlog-upload=false", "--use-signing-config=false")
	case os.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL") == "":
		return nil, errors.New("COSIGN_KEY is required outside of a workflow that may use its identity")
	}
	if plainHTTP(r.registry) {
		s.registry = []string{"--allow-http-registry"}
	}
	return s, nil
}

// plainHTTP is true of a registry on this machine or in a private network, to which clients speak plain HTTP.
func plainHTTP(registry string) bool {
	repository, err := name.NewRepository(registry + "/postern")
	return err == nil && repository.Scheme() == "http"
}

// sign signs an artifact in the registry, and if it is an index, all images in it.
func (s *signer) sign(ctx context.Context, artifact string) error {
	return s.cosign(ctx, "sign", s.registry, "--recursive", artifact)
}

// attest attaches a signed statement to an artifact in the registry.
func (s *signer) attest(ctx context.Context, artifact, kind, predicate string) error {
	return s.cosign(ctx, "attest", s.registry, "--type="+kind, "--predicate="+predicate, artifact)
}

// signFile writes the signature of a file next to it.
func (s *signer) signFile(ctx context.Context, file string) error {
	return s.cosign(ctx, "sign-blob", nil, "--bundle="+file+".sigstore.json", file)
}

func (s *signer) cosign(ctx context.Context, command string, flags []string, args ...string) error {
	all := slices.Concat([]string{command}, s.flags, flags, args)
	_, err := s.release.run(ctx, nil, filepath.Join(s.release.checkout, "bin/senders/cosign"), all...)
	return err
}
