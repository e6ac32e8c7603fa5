// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Parent is the storage of a resource that exists only to have a subresource: the framework installs none without. It
// serves no verb, so that nobody can mistake it for the object whose name it bears.
type Parent struct {
	newObject    func() runtime.Object
	singularName string
}

var (
	_ rest.Storage              = &Parent{}
	_ rest.Scoper               = &Parent{}
	_ rest.SingularNameProvider = &Parent{}
)

// NewParent returns the parent resource of that singular name, whose kind newObject gives.
func NewParent(singularName string, newObject func() runtime.Object) *Parent {
	return &Parent{newObject: newObject, singularName: singularName}
}

// New returns an empty object.
func (p *Parent) New() runtime.Object { return p.newObject() }

// Destroy has nothing to release.
func (p *Parent) Destroy() {}

// NamespaceScoped tells that the objects live in namespaces.
func (p *Parent) NamespaceScoped() bool { return true }

// GetSingularName returns the singular resource name.
func (p *Parent) GetSingularName() string { return p.singularName }
