// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	// largestBody is --max-payload-bytes as it is shipped.
	largestBody = 1 << 20
	// largestAnnotation is in bytes that JSON escapes by six each; with more, what etcd takes is exceeded. All annotations
	// of an object together may have 256 KiB.
	largestAnnotation = 261_925
)

// shape is a body that is small for its sender and large for a decoder.
type shape struct {
	source string // of the endpoint
	body   string
	header map[string]string
}

// shapes are of the largest size: lists of what is empty, and very many names.
func shapes() []shape {
	const deep = 900 // of the 1000 levels that are read
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

// filled repeats an item as often as the largest body has room for.
func filled(prefix, item, suffix string) string {
	n := (largestBody - len(prefix) - len(suffix)) / (len(item) + 1)
	return prefix + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + suffix
}

// manyNames are members of an object, each with another name.
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

// largeObject is a delivery, for the endpoint of objects, with an annotation of so many bytes.
func largeObject(name string, bytes int) string {
	return fmt.Sprintf(`{"apiVersion":"postern.dev/v1alpha1","kind":"WebhookDelivery",`+
		`"metadata":{"name":%q,"annotations":{"x":%q}},"spec":{"target":{"kind":"GatewaySync","name":"plant-0"},"ref":"v1"}}`,
		name, strings.Repeat("&", bytes))
}

const wideRepository = "https://git.example.com/hostile/wide.git"

// pushOfRefs is Bitbucket's push of very many tags, whose names have so many characters more, which JSON escapes.
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

// manyTags are the elements of a list of tags in JSON.
func manyTags(format string, n int) string {
	tags := make([]string, 256)
	for i := range tags {
		tags[i] = fmt.Sprintf(format, n, i)
	}
	return `"` + strings.Join(tags, `","`) + `"`
}
