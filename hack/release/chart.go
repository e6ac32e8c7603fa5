// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// packageChart writes the chart, whose default is the image by its digest.
func (r *release) packageChart(ctx context.Context, image *image, scratch string) error {
	copied := filepath.Join(scratch, "postern") // helm requires the name of the chart
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(r.checkout, "charts/postern"))); err != nil {
		return err
	}
	valuesFile := filepath.Join(copied, "values.yaml")
	values, err := os.ReadFile(valuesFile)
	if err != nil {
		return err
	}
	released, err := releasedValues(string(values), image)
	if err != nil {
		return fmt.Errorf("values.yaml: %w", err)
	}
	if err := os.WriteFile(valuesFile, []byte(released), 0o644); err != nil {
		return err
	}
	_, err = r.helm(ctx, "package", copied, "--destination="+r.dir,
		"--version="+r.chartVersion(), "--app-version="+r.chartVersion())
	if err != nil {
		return err
	}
	// The time of the file becomes an annotation when it is pushed.
	return os.Chtimes(r.chart(), r.date, r.date)
}

// checkChartVersion fails unless the chart of the checkout, and so the documentation, is of the released version. A
// pre-release, as its suffix shows, may have any version.
func (r *release) checkChartVersion() error {
	text, err := os.ReadFile(filepath.Join(r.checkout, "charts/postern/Chart.yaml"))
	if err != nil {
		return err
	}
	var chart struct {
		Version    string `json:"version"`
		AppVersion string `json:"appVersion"`
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		return err
	}
	if strings.Contains(r.version, "-") || chart.Version == r.chartVersion() && chart.AppVersion == r.chartVersion() {
		return nil
	}
	return fmt.Errorf("charts/postern/Chart.yaml has version %s and appVersion %s, and the release is %s",
		chart.Version, chart.AppVersion, r.version)
}

// releasedValues returns the values of the chart with the image by its digest.
func releasedValues(values string, image *image) (string, error) {
	values, err := replaceOnly(values, "\n  repository: "+publicImage+"\n",
		"\n  repository: "+image.tag.Context().Name()+"\n")
	if err != nil {
		return "", err
	}
	return replaceOnly(values, "\n  tag: \"\"\n", "\n  tag: "+image.pinned()+"\n")
}

var pushedDigest = regexp.MustCompile(`(?m)^Digest: (sha256:[0-9a-f]{64})$`)

// pushChart pushes the chart and returns its reference by its digest, as helm reports it.
func (r *release) pushChart(ctx context.Context) (string, error) {
	charts := r.registry + "/charts"
	args := []string{"push", r.chart(), "oci://" + charts}
	if plainHTTP(r.registry) {
		args = append(args, "--plain-http")
	}
	output, err := r.helm(ctx, args...)
	if err != nil {
		return "", err
	}
	digest := pushedDigest.FindStringSubmatch(output)
	if digest == nil {
		return "", fmt.Errorf("helm reports no digest: %q", output)
	}
	return charts + "/postern@" + digest[1], nil
}

// chart returns the path of the chart, as helm names it.
func (r *release) chart() string { return filepath.Join(r.dir, "postern-"+r.chartVersion()+".tgz") }

// chartVersion is without "v", as Helm's semantic versions are.
func (r *release) chartVersion() string { return strings.TrimPrefix(r.version, "v") }

// helm runs helm so that an archive has the time of the release, in UTC.
func (r *release) helm(ctx context.Context, args ...string) (string, error) {
	environment := []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(r.date.Unix(), 10), "TZ=UTC"}
	return r.run(ctx, environment, filepath.Join(r.checkout, "bin/tools/helm"), args...)
}
