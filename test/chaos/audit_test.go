// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// written returns all refs that were written to each target according to the kube-apiserver's audit log. At least the
// last 512 MB of the log are kept, more than one test writes.
func (w *world) written() (map[target]map[string]bool, error) {
	logs, err := filepath.Glob(strings.TrimSuffix(w.AuditLog(), ".log") + "*.log")
	if err != nil {
		return nil, err
	}
	refs := map[target]map[string]bool{}
	for _, g := range w.targets {
		refs[g] = map[string]bool{}
	}
	for _, log := range logs {
		if err := w.readAuditLog(log, refs); err != nil {
			return nil, fmt.Errorf("could not read the audit log %s: %w", log, err)
		}
	}
	return refs, nil
}

func (w *world) readAuditLog(log string, refs map[target]map[string]bool) error {
	file, err := os.Open(log)
	if err != nil {
		return err
	}
	defer file.Close()
	for lines := bufio.NewReaderSize(file, 1<<20); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // an incomplete line is still being written
		}
		if err != nil {
			return err
		}
		if bytes.Contains(line, []byte(w.Namespace)) && bytes.Contains(line, []byte(`"verb":"patch"`)) {
			if err := w.readPatch(line, refs); err != nil {
				return err
			}
		}
	}
}

// readPatch records the ref of a target after a patch. If the kube-apiserver failed before it answered, the requested
// ref is recorded, because it may have been written.
func (w *world) readPatch(line []byte, refs map[target]map[string]bool) error {
	var event auditv1.Event
	if err := json.Unmarshal(line, &event); err != nil {
		return err
	}
	ref := event.ObjectRef
	if ref == nil || ref.Namespace != w.Namespace || ref.Subresource != "" || event.ResponseStatus == nil {
		return nil
	}
	for _, g := range w.targets {
		if g.name != ref.Name || g.resource.Resource != ref.Resource {
			continue
		}
		switch {
		case event.ResponseStatus.Code == http.StatusOK && event.ResponseObject != nil:
			return enterAnnotation(event.ResponseObject.Raw, g, refs)
		case event.ResponseStatus.Code >= http.StatusInternalServerError && event.RequestObject != nil:
			enterPatched(event.RequestObject.Raw, g, refs)
		}
	}
	return nil
}

func enterAnnotation(object []byte, g target, refs map[target]map[string]bool) error {
	var found struct {
		Metadata struct{ Annotations map[string]string }
	}
	if err := json.Unmarshal(object, &found); err != nil {
		return err
	}
	refs[g][found.Metadata.Annotations[g.requestedRef()]] = true
	return nil
}

// enterPatched records all values that a JSON patch sets. One of them is the ref; the others are never looked up.
// Patches of other types are not Postern's.
func enterPatched(patch []byte, g target, refs map[target]map[string]bool) {
	var operations []struct {
		Op    string
		Value any
	}
	if json.Unmarshal(patch, &operations) != nil {
		return
	}
	for _, o := range operations {
		for _, value := range valuesIn(o.Value) {
			if o.Op != "test" {
				refs[g][value] = true
			}
		}
	}
}

// valuesIn returns a string, or the strings in a map.
func valuesIn(value any) []string {
	switch value := value.(type) {
	case string:
		return []string{value}
	case map[string]any:
		var all []string
		for _, v := range value {
			all = append(all, valuesIn(v)...)
		}
		return all
	}
	return nil
}
