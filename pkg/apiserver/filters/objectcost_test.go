// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	goruntime "runtime"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/apis/postern/install"
	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/apis/postern/validation"
	posternopenapi "postern.dev/postern/pkg/generated/openapi"
)

// framework does what the framework does to a body before admission, as far as it costs memory: it decodes the body
// strictly and tracks field owners.
type framework struct {
	decoder runtime.Decoder
	fields  *managedfields.FieldManager
}

func newFramework(t *testing.T) framework {
	t.Helper()
	scheme := runtime.NewScheme()
	install.Install(scheme)
	codecs := serializer.NewCodecFactory(scheme)
	kind := v1alpha1.SchemeGroupVersion.WithKind("WebhookDelivery")
	internal := schema.GroupVersion{Group: postern.GroupName, Version: runtime.APIVersionInternal}
	config := genericapiserver.DefaultOpenAPIV3Config(posternopenapi.GetOpenAPIDefinitions,
		openapi.NewDefinitionNamer(scheme))
	var names []string
	for name := range posternopenapi.GetOpenAPIDefinitions(func(string) spec.Ref { return spec.Ref{} }) {
		if strings.HasSuffix(name, ".WebhookDelivery") {
			names = append(names, name)
		}
	}
	schemas, err := builder3.BuildOpenAPIDefinitionsForResources(config, names...)
	if err != nil {
		t.Fatal(err)
	}
	types, err := managedfields.NewTypeConverter(schemas, false)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := managedfields.NewDefaultFieldManager(types, runtime.UnsafeObjectConvertor(scheme), scheme, scheme,
		kind, internal, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	return framework{codecs.DecoderToVersion(info.StrictSerializer, internal), fields}
}

// ServeHTTP decodes the object and writes no response.
func (f framework) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	obj, _, _ := f.decoder.Decode(body, nil, &postern.WebhookDelivery{})
	if obj != nil {
		f.fields.UpdateNoErrors(&postern.WebhookDelivery{}, obj, "test")
	}
}

func TestPayloadCost_IsUpperBound(t *testing.T) {
	const size = 512 << 10
	repeated := func(prefix, item, suffix string, bytes int) string {
		return prefix +
			strings.TrimSuffix(strings.Repeat(item+",", max(1, (bytes-len(prefix)-len(suffix))/(len(item)+1))), ",") +
			suffix
	}
	named := func(prefix, value, suffix string, bytes int) string {
		var b strings.Builder
		b.WriteString(prefix)
		for i := 0; b.Len() < bytes-100; i++ {
			fmt.Fprintf(&b, `"%x":%s,`, i, value)
		}
		return strings.TrimSuffix(b.String(), ",") + suffix
	}
	const head = `{"apiVersion":"postern.dev/v1alpha1","kind":"WebhookDelivery","metadata":{"name":"a"`
	f := newFramework(t)
	handler := WithObjectLimit(f, size)
	bodies := map[string]string{
		"payload of names":   named(head+`},"spec":{"payload":{`, `0`, `}}}`, size/8),
		"payload of numbers": repeated(head+`},"spec":{"payload":[`, `0`, `]}}`, size/8),
		"payload of text":    head + `},"spec":{"payload":"` + strings.Repeat("a", size-200) + `"}}`,
		"raw payload":        head + `},"spec":{"rawPayload":"` + strings.Repeat("YWFh", size/4-50) + `"}}`,
		"annotation of text": head + `,"annotations":{"a":"` + strings.Repeat(`\n`, size/2-100) + `"}}}`,
		"header of text":     head + `},"spec":{"headers":{"a":"` + strings.Repeat(`\n`, size/2-100) + `"}}}`,
		"no JSON":            head + strings.Repeat("[", size-200),
		// The framework accepts text that is not UTF-8.
		"owners, not UTF-8":  repeated(head+`,"annotations":{"a":"`+"\xff"+`"},"ownerReferences":[`, `{}`, `]}}`, size),
		"payload, not UTF-8": repeated(head+`,"annotations":{"a":"`+"\xff"+`"}},"spec":{"payload":[`, `0`, `]}}`, size),
	}
	for _, bytes := range []int{2900, size} { // the maximum that is read, and the maximum that fits
		for name, list := range map[string][3]string{
			"managed fields": {`,"managedFields":[`, `{}`, `]}}`}, "owners": {`,"ownerReferences":[`, `{}`, `]}}`},
			"finalizers": {`,"finalizers":[`, `""`, `]}}`}, "events": {`},"spec":{"events":[`, `{}`, `]}}`},
			"results":    {`},"status":{"targets":[`, `{}`, `]}}`},
			"conditions": {`},"status":{"conditions":[`, `{}`, `]}}`},
		} {
			bodies[fmt.Sprintf("%d bytes of %s", bytes, name)] = repeated(head+list[0], list[1], list[2], bytes)
		}
		bodies[fmt.Sprintf("%d bytes of annotations", bytes)] = named(head+`,"annotations":{`, `""`, `}}}`, bytes)
		bodies[fmt.Sprintf("%d bytes of unknown fields", bytes)] = named(head+`},"spec":{`, `0`, `}}`, bytes)
	}
	for name, body := range bodies {
		if int64(len(body)) > size {
			t.Fatalf("%s: %d bytes", name, len(body))
		}
		req := toCreate("create", "application/json", body)
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		handler.ServeHTTP(httptest.NewRecorder(), req)
		goruntime.ReadMemStats(&after)
		got, most := int64(after.TotalAlloc-before.TotalAlloc), objectCost(int64(len(body)))
		if got > most {
			t.Errorf("%s: %d bytes allocate %d bytes, more than %d", name, len(body), got, most)
		}
	}
}

// A server-side apply is the most expensive update: the framework tracks the owners of all fields of the record.
func TestUpdateCost_IsUpperBound(t *testing.T) {
	record := &postern.WebhookDelivery{}
	record.Name, record.Namespace, record.UID = "a", "demo", "1"
	record.Annotations = map[string]string{"a": strings.Repeat("a", 60<<10)}
	for i := range postern.MaxEvents {
		record.Spec.Events = append(record.Spec.Events, postern.DeliveryEvent{
			Source: "generic", Event: "push", Ref: fmt.Sprint(i), Repository: strings.Repeat("a", 450)})
	}
	for size, i := 0, 0; size < validation.MaxFinalBytes-1<<10; i++ {
		record.Status.Targets = append(record.Status.Targets, postern.TargetResult{
			Kind: postern.TargetApplication, Name: fmt.Sprint(i), Ref: "v1", Result: postern.TargetWritten,
			Reason: "Requested", Message: strings.Repeat("a", 100)})
		if i%100 == 0 {
			size, _ = validation.EncodedBytes(record)
		}
	}
	fields := newFramework(t).fields
	patch := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "postern.dev/v1alpha1", "kind": "WebhookDelivery",
		"metadata": map[string]any{"name": "a", "namespace": "demo", "labels": map[string]any{"a": "b"}},
	}}
	for _, name := range []string{"first", "second"} {
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		applied, err := fields.Apply(record, patch, name, false)
		if err != nil {
			t.Fatal(err)
		}
		goruntime.ReadMemStats(&after)
		if got := int64(after.TotalAlloc - before.TotalAlloc); got > recordCost {
			t.Errorf("%s apply allocates %d bytes, more than %d", name, got, recordCost)
		}
		record = applied.(*postern.WebhookDelivery)
	}
}
