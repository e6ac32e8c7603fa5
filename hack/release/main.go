// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

// Command release makes a release: programs, a multi-arch image, the chart, the manifests, SBOMs and checksums. Then it
// pushes the image and the chart to a registry, and signs them. Two runs for one commit make the same files and
// digests; only signatures differ. docs/releases.md describes a release for its users.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "FAILED: %v\n", err)
		os.Exit(1)
	}
}

// release is one version of Postern.
type release struct {
	// version is also the tag of the image, and the version of the chart with a "v" in front.
	version string
	// revision is the commit, and date its time, which all parts of the release have.
	revision string
	date     time.Time
	// registry is a host and a path, below which image and chart are.
	registry string
	// platforms are those of program and image, pluginPlatforms those of the plugin of kubectl.
	platforms, pluginPlatforms []v1.Platform
	// checkout is the root of the repository. The files of the release are written into dir.
	checkout, dir string
}

func run(ctx context.Context) error {
	r, err := parseFlags()
	if err != nil {
		return err
	}
	if err := r.checkChartVersion(); err != nil {
		return err
	}
	s, err := newSigner(r)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "postern-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()

	image, err := r.build(ctx, scratch)
	if err != nil {
		return fmt.Errorf("could not build the release: %w", err)
	}
	chart, err := r.push(ctx, image)
	if err != nil {
		return fmt.Errorf("could not push the release: %w", err)
	}
	if err := r.sign(ctx, s, image, chart, scratch); err != nil {
		return fmt.Errorf("could not sign the release: %w", err)
	}
	fmt.Printf("image %s\nchart %s\nfiles %s\n", image, chart, r.dir)
	return nil
}

// versions matches semantic versions without "+", which is not allowed in a tag.
var versions = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

func parseFlags() (*release, error) {
	var r release
	var date, platforms, pluginPlatforms string
	flag.StringVar(&r.checkout, "checkout", "", "root of the repository")
	flag.StringVar(&r.version, "version", "", "version, such as v1.2.3")
	flag.StringVar(&r.revision, "revision", "", "commit")
	flag.StringVar(&date, "date", "", "time of the commit, in RFC 3339")
	flag.StringVar(&r.registry, "registry", "", "where to push, such as ghcr.io/postern-dev or 127.0.0.1:5000/postern")
	flag.StringVar(&platforms, "platforms", "", "platforms, separated by spaces")
	flag.StringVar(&pluginPlatforms, "plugin-platforms", "", "platforms of the plugin of kubectl")
	flag.Parse()

	var errs []error
	if !versions.MatchString(r.version) {
		errs = append(errs, fmt.Errorf("VERSION %q is no semantic version that begins with v", r.version))
	}
	if strings.Trim(r.registry, "/") != r.registry || r.registry == "" {
		errs = append(errs, fmt.Errorf("REGISTRY %q is not a host and a path", r.registry))
	}
	var err error
	if r.date, err = time.Parse(time.RFC3339, date); err != nil {
		errs = append(errs, fmt.Errorf("DATE is no time: %w", err))
	}
	r.platforms, err = parsePlatforms(platforms)
	errs = append(errs, err)
	r.pluginPlatforms, err = parsePlatforms(pluginPlatforms)
	errs = append(errs, err)
	if len(r.platforms) == 0 {
		errs = append(errs, errors.New("PLATFORMS is empty"))
	}
	r.dir = filepath.Join(r.checkout, "bin/release", r.version)
	return &r, errors.Join(errs...)
}

func parsePlatforms(list string) (platforms []v1.Platform, err error) {
	for field := range strings.FieldsSeq(list) {
		platform, err := v1.ParsePlatform(field)
		if err != nil {
			return nil, fmt.Errorf("PLATFORMS: %w", err)
		}
		platforms = append(platforms, *platform)
	}
	return platforms, nil
}

// build writes the files of the release. It needs no registry.
func (r *release) build(ctx context.Context, scratch string) (*image, error) {
	if err := os.RemoveAll(r.dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, err
	}
	if err := r.buildPrograms(ctx); err != nil {
		return nil, err
	}
	if err := r.buildPlugin(ctx, scratch); err != nil {
		return nil, err
	}
	image, err := r.newImage()
	if err != nil {
		return nil, err
	}
	if err := r.packageChart(ctx, image, scratch); err != nil {
		return nil, err
	}
	if err := r.writeManifests(image); err != nil {
		return nil, err
	}
	for _, platform := range r.platforms {
		if err := r.writeSBOM(image, platform); err != nil {
			return nil, err
		}
	}
	return image, r.writeSums()
}

// push pushes image and chart, and returns the reference of the chart with its digest.
func (r *release) push(ctx context.Context, image *image) (chart string, err error) {
	if err := image.push(ctx); err != nil {
		return "", err
	}
	return r.pushChart(ctx)
}

// sign signs and attests all that has been built and pushed.
func (r *release) sign(ctx context.Context, s *signer, image *image, chart, scratch string) error {
	provenance, err := r.writeProvenance(scratch)
	if err != nil {
		return err
	}
	for _, artifact := range []string{image.String(), chart} {
		if err := s.sign(ctx, artifact); err != nil {
			return err
		}
		if err := s.attest(ctx, artifact, "slsaprovenance1", provenance); err != nil {
			return err
		}
	}
	for _, platform := range r.platforms {
		if err := s.attest(ctx, image.forPlatform(platform), "spdxjson", r.sbom(platform)); err != nil {
			return err
		}
	}
	return s.signFile(ctx, filepath.Join(r.dir, sumsFile))
}
