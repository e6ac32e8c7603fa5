// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package records

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
)

// row is a delivery as a line of a table.
type row struct {
	types.NamespacedName
	uid     types.UID
	created time.Time
	version uint64
	// cells are the texts of the columns, except the age.
	cells map[string]string
}

// The columns, by their names in tables of the server.
const (
	columnRef    = "Ref"
	columnAge    = "Age"
	columnReason = "Reason"
)

// columns are the columns in the order in which they are shown. Those with a priority are shown by -o wide.
var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name"},
	{Name: "Source", Type: "string"},
	{Name: "Target", Type: "string"},
	{Name: columnRef, Type: "string"},
	{Name: "Phase", Type: "string"},
	{Name: columnReason, Type: "string"},
	{Name: columnAge, Type: "string"},
	{Name: "Sender", Type: "string", Priority: 1},
	{Name: "Method", Type: "string", Priority: 1},
}

// rowObject is what is read of the object of a row. Targets are there only if the whole object was asked for.
type rowObject struct {
	Metadata struct {
		Namespace         string      `json:"namespace"`
		Name              string      `json:"name"`
		UID               types.UID   `json:"uid"`
		ResourceVersion   string      `json:"resourceVersion"`
		CreationTimestamp metav1.Time `json:"creationTimestamp"`
	} `json:"metadata"`
	Spec struct {
		Target *v1alpha1.TargetReference `json:"target"`
	} `json:"spec"`
	Status struct {
		Targets []v1alpha1.TargetReference `json:"targets"`
	} `json:"status"`
}

// concerns reports whether a delivery names a target or has a result for it.
func (o *rowObject) concerns(target v1alpha1.TargetReference) bool {
	return o.Spec.Target != nil && *o.Spec.Target == target || slices.Contains(o.Status.Targets, target)
}

// rowsOf returns the rows of a table, of which only those with an object that keep accepts. definitions are those of
// the first table of a watch, which the others omit.
func rowsOf(
	table *metav1.Table, definitions []metav1.TableColumnDefinition, keep func(*rowObject) bool,
) ([]row, error) {
	rows := make([]row, 0, len(table.Rows))
	for _, tableRow := range table.Rows {
		var object rowObject
		if err := json.Unmarshal(tableRow.Object.Raw, &object); err != nil {
			return nil, fmt.Errorf("could not read a row of the table of deliveries: %w", err)
		}
		if !keep(&object) {
			continue
		}
		meta := object.Metadata
		r := row{
			NamespacedName: types.NamespacedName{Namespace: meta.Namespace, Name: meta.Name},
			uid:            meta.UID, created: meta.CreationTimestamp.Time, cells: map[string]string{},
		}
		r.version, _ = strconv.ParseUint(meta.ResourceVersion, 10, 64) // orders rows of one second, if it can
		for i, cell := range tableRow.Cells {
			if i < len(definitions) && cell != nil {
				r.cells[definitions[i].Name] = cli.Printable(fmt.Sprint(cell))
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// compareAge orders rows from the newest to the oldest. Times of creation are in whole seconds.
func compareAge(a, b row) int {
	return cmp.Or(b.created.Compare(a.created), cmp.Compare(b.version, a.version),
		cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// keepNewest sorts rows from the newest to the oldest, and drops those beyond a limit; 0 is no limit.
func keepNewest(rows []row, limit int) []row {
	slices.SortFunc(rows, compareAge)
	if limit > 0 && len(rows) > limit {
		clear(rows[limit:])
		rows = rows[:limit]
	}
	return rows
}

// tableOf returns a table of rows for a printer, with ages at a time.
func tableOf(rows []row, now time.Time) *metav1.Table {
	table := &metav1.Table{ColumnDefinitions: slices.Clone(columns)} // printers add columns
	for _, r := range rows {
		cells := make([]any, len(columns))
		for i, column := range columns {
			cells[i] = r.cells[column.Name]
			if column.Name == columnAge {
				cells[i] = duration.HumanDuration(now.Sub(r.created))
			}
		}
		table.Rows = append(table.Rows, metav1.TableRow{
			Cells: cells,
			Object: runtime.RawExtension{Object: &metav1.PartialObjectMetadata{
				ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: r.Name},
			}},
		})
	}
	return table
}
