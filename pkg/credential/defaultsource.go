// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"fmt"
	"maps"
	"os"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

// defaultFilesInterval is how often the files of default secrets are read. A kubelet takes longer to update them.
const defaultFilesInterval = 10 * time.Second

// DefaultSource has the default secrets by key.
type DefaultSource struct {
	// Values are constant secrets.
	Values map[string][]byte
	// Files are the paths of files with secrets. They take precedence over Values.
	Files map[string]string
}

// Read returns the data for SetDefaults. It returns an error, without the content of any file, if a file can't be read.
func (s DefaultSource) Read() (map[string][]byte, error) {
	data := map[string][]byte{}
	maps.Copy(data, s.Values)
	for key, path := range s.Files {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("could not read the default secret %s: %w", key, err)
		}
		data[key] = content
	}
	return data, nil
}

// DefaultsReloader updates the default secrets when their source changes. It is a manager.Runnable.
type DefaultsReloader struct {
	source  DefaultSource
	secrets *Secrets
	data    map[string][]byte // the current secrets
	failed  bool              // whether the last read failed
}

// NewDefaultsReloader sets the default secrets, and returns a reloader that keeps them current once it is started.
func NewDefaultsReloader(source DefaultSource, secrets *Secrets) (*DefaultsReloader, error) {
	data, err := source.Read()
	if err != nil {
		return nil, err
	}
	secrets.SetDefaults(data)
	return &DefaultsReloader{source: source, secrets: secrets, data: data}, nil
}

// Start reads the files periodically until ctx is done.
func (d *DefaultsReloader) Start(ctx context.Context) error {
	if len(d.source.Files) > 0 {
		wait.UntilWithContext(ctx, func(context.Context) { d.refresh() }, defaultFilesInterval)
	}
	return nil
}

// NeedLeaderElection returns false: every replica reloads its secrets.
func (d *DefaultsReloader) NeedLeaderElection() bool { return false }

// refresh applies changes. While a file can't be read, it keeps the previous secrets.
func (d *DefaultsReloader) refresh() {
	data, err := d.source.Read()
	if err != nil {
		if !d.failed {
			klog.ErrorS(err, "Keeping the previous default secrets")
		}
		d.failed = true
		return
	}
	d.failed = false
	if reflect.DeepEqual(data, d.data) {
		return
	}
	d.data = data
	d.secrets.SetDefaults(data)
	klog.InfoS("Reloaded the default secrets")
}
