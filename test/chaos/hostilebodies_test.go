// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	// largestBody is the default of --max-payload-bytes.
	largestBody = 1 << 20
	// largestAnnotation is in bytes, each of which JSON escapes to six. A larger one exceeds etcd's request limit. All
	// annotations of an object may have 256 KiB in total.
	largestAnnotation = 261_925
)

// shape is a body that is small on the wire and large when decoded.
type shape struct {
	source string // type of the endpoint
	body   string
	header map[string]string
}

// shapes have the maximum size: lists of empty elements, and very many names.
func shapes() []shape {
	const deep = 900 // decoders read 1000 levels
	batch := map[string]string{"Content-Type": "application/cloudevents-batch+json"}
	return []shape{
		{"distribution", filled(`{"events":[{"action":"x","target":{}},`, "{}", "]}"), nil},
		{"harbor", filled(`{"type":"PUSH_ARTIFACT","event_data":{"repository":{"repo_full_name":"a/b"},"resources":[`,
			"{}", "]}}"), nil},
		{"bitbucket", filled(`{"push":{"changes":[`, "{}", "]}}"), nil},
		{"bitbucket", filled(`{"push":{"changes":[`, `{"new":null}`, "]}}"), nil},
		{"bitbucket-server", filled(`{"eventKey":"repo:refs_changed","changes":[`, "{}", "]}"), nil},
		{"kargo", filled(`{"freight":{"commits":[`, "{}", "]}}"), nil},
		{"gitlab", filled(`{"object_kind":"x","event_name":"repository_update","project":{},"changes":[`,
			"{}", "]}"), nil},
		{"generic", `{"ref":"main",` + manyNames(largestBody-20) + `}`, nil},
		{"cloudevents", filled("[", "{}", "]"), batch},
		{"quay.io", filled(`{"name":"b","repository":"a/b","namespace":"a","docker_url":"quay.io/a/b",`+
			`"homepage":"https://quay.io/repository/a/b","updated_tags":[`, `"a"`, "]}"), nil},
		{"generic", filled(`{"ref":"main","x":[`, strings.Repeat("[", deep)+strings.Repeat("]", deep), "]}"), nil},
	}
}

// filled repeats an item up to the size of the largest body.
func filled(prefix, item, suffix string) string {
	n := (largestBody - len(prefix) - len(suffix)) / (len(item) + 1)
	return prefix + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + suffix
}

// manyNames returns object members with distinct names.
func manyNames(size int) string {
	var text strings.Builder
	for i := 0; text.Len() < size-16; i++ {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(`"n` + strconv.FormatInt(int64(i), 36) + `":0`)
	}
	return text.String()
}

// largeObject returns a delivery for the endpoint of objects, with an annotation of the given size.
func largeObject(name string, bytes int) string {
	return fmt.Sprintf(`{"apiVersion":"postern.dev/v1alpha1","kind":"WebhookDelivery",`+
		`"metadata":{"name":%q,"annotations":{"x":%q}},"spec":{"target":{"kind":"GatewaySync",`+
		`"name":"plant-0"},"ref":"v1"}}`,
		name, strings.Repeat("&", bytes))
}

const wideRepository = "https://git.example.com/hostile/wide.git"

// pushOfRefs returns Bitbucket's push of n tags, with longer extra characters in each name, which JSON escapes.
func pushOfRefs(repository string, n, longer int) string {
	changes := make([]string, 256)
	for i := range changes {
		changes[i] = fmt.Sprintf(`{"ref":{"id":"refs/tags/v1.%d.%d%s"},"toHash":"%040d","type":"UPDATE"}`,
			n, i, strings.Repeat("&", longer), 1)
	}
	return fmt.Sprintf(`{"eventKey":"repo:refs_changed",`+
		`"repository":{"links":{"clone":[{"name":"http","href":%q}]}},"changes":[%s]}`,
		repository, strings.Join(changes, ","))
}

// manyTags returns the elements of a JSON list of tags.
func manyTags(format string, n int) string {
	tags := make([]string, 256)
	for i := range tags {
		tags[i] = fmt.Sprintf(format, n, i)
	}
	return `"` + strings.Join(tags, `","`) + `"`
}
