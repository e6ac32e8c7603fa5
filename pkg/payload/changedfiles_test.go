// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern.dev/postern/apis/postern"
)

const commitBefore = "1111111111111111111111111111111111111111"

// pushBody is a push of a branch with the fields of a sender, of which a test changes some; nil removes a field.
func pushBody(fields, change map[string]any) map[string]any {
	body := map[string]any{
		"ref": "refs/heads/main", "before": commitBefore, "after": commitA,
		"commits": []any{
			map[string]any{"id": "1", "added": []any{}, "modified": []any{"b/c", "a"}, "removed": []any{"d"}},
			map[string]any{"id": "2", "added": []any{}, "modified": []any{"a", "b\u00e9/\"c"}, "removed": []any{}},
		},
	}
	maps.Copy(body, fields)
	maps.Copy(body, change)
	maps.DeleteFunc(body, func(_ string, value any) bool { return value == nil })
	return body
}

func gitHubPushBody(change map[string]any) map[string]any {
	return pushBody(map[string]any{"created": false, "forced": false}, change)
}

func gitLabPushBody(change map[string]any) map[string]any {
	return pushBody(map[string]any{"object_kind": "push", "total_commits_count": 2}, change)
}

func giteaPushBody(change map[string]any) map[string]any {
	return pushBody(map[string]any{"total_commits": 2, "sender": map[string]any{"username": "ann"}}, change)
}

func commitOf(added, modified, removed any) map[string]any {
	return map[string]any{"added": added, "modified": modified, "removed": removed}
}

func fileNames(n int, name string) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%03d", name, i)
	}
	return list
}

func decodePush(t *testing.T, body map[string]any) postern.DeliveryEvent {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := Decode(Input{Body: raw})
	if err != nil || len(decoded.Events) != 1 {
		t.Fatalf("got %+v, %v", decoded, err)
	}
	return decoded.Events[0]
}

func TestChangedFiles_OfEachSender(t *testing.T) {
	want := []string{"a", "b/c", "b\u00e9/\"c", "d"}
	for source, body := range map[string]map[string]any{
		"github": gitHubPushBody(nil), "gitlab": gitLabPushBody(nil), "gitea": giteaPushBody(nil),
	} {
		e := decodePush(t, body)
		if e.Source != source {
			t.Errorf("decoded as %s, want %s", e.Source, source)
		}
		if diff := cmp.Diff(want, e.ChangedFiles); diff != "" || e.ChangedFilesTruncated {
			t.Errorf("%s: truncated = %t, files (-want +got):\n%s", source, e.ChangedFilesTruncated, diff)
		}
	}
}

// A file that is not listed must never look like one that has not changed.
func TestChangedFiles_UnknownUnlessComplete(t *testing.T) {
	type change = map[string]any
	none, one := []any{}, []any{"x"}
	commits := func(list ...any) change { return change{"commits": list} }
	total := func(n int, c change) change {
		c["total_commits_count"], c["total_commits"] = n, n
		return c
	}
	for name, test := range map[string]struct {
		body      map[string]any
		truncated bool
	}{
		"GitHub, forced":            {gitHubPushBody(change{"forced": true}), false},
		"GitHub, created":           {gitHubPushBody(change{"created": true}), false},
		"GitHub, perhaps forced":    {gitHubPushBody(change{"forced": nil}), false},
		"GitHub, forced is a text":  {gitHubPushBody(change{"forced": "false"}), false},
		"GitHub, perhaps created":   {gitHubPushBody(change{"created": nil}), false},
		"GitHub, created by before": {gitHubPushBody(change{"before": zeros}), false},
		"GitHub, without before":    {gitHubPushBody(change{"before": nil}), false},
		"GitHub, before a number":   {gitHubPushBody(change{"before": 1}), false},
		"GitHub, without commits":   {gitHubPushBody(change{"commits": nil}), false},
		"GitHub, no commits":        {gitHubPushBody(commits()), false},
		"GitHub, commits an object": {gitHubPushBody(change{"commits": change{"0": commitOf(one, one, one)}}), false},
		"GitHub, commits of text":   {gitHubPushBody(commits("x")), false},
		"GitHub, no files":          {gitHubPushBody(commits(commitOf(none, none, none))), false},
		"GitHub, a commit without lists": {
			gitHubPushBody(commits(commitOf(one, none, none), change{"id": commitA})), false,
		},
		"GitHub, a null for a list":   {gitHubPushBody(commits(commitOf(one, nil, none))), false},
		"GitHub, a text for a list":   {gitHubPushBody(commits(commitOf(one, "y", none))), false},
		"GitHub, a number for a file": {gitHubPushBody(commits(commitOf(one, []any{1}, none))), false},
		"GitHub, a path above":        {gitHubPushBody(commits(commitOf([]any{"../x"}, none, none))), false},
		"GitHub, an absolute path":    {gitHubPushBody(commits(commitOf([]any{"/x"}, none, none))), false},
		"GitHub, no file name":        {gitHubPushBody(commits(commitOf([]any{""}, none, none))), false},
		"GitHub, not UTF-8 in git":    {gitHubPushBody(commits(commitOf([]any{"caf\ufffd"}, none, none))), false},
		"GitHub, a line break":        {gitHubPushBody(commits(commitOf([]any{"a\nb"}, none, none))), false},
		"GitHub, a tag":               {gitHubPushBody(change{"ref": "refs/tags/v1"}), false},
		"GitHub, as many commits as it lists": {gitHubPushBody(change{
			"commits": slices.Repeat([]any{commitOf(one, none, none)}, gitHubMaxCommits)}), true},
		"GitHub, too many files": {gitHubPushBody(commits(commitOf(fileNames(501, "f"), none, none))), true},
		"GitHub, too many in all": {
			gitHubPushBody(commits(commitOf(fileNames(300, "f"), fileNames(300, "g"), none))), true,
		},
		"GitHub, too long names": {
			gitHubPushBody(commits(commitOf(fileNames(41, strings.Repeat("f", 200)), none, none))), true,
		},
		"GitLab, a cut list":         {gitLabPushBody(total(21, change{})), true},
		"GitLab, without a total":    {gitLabPushBody(change{"total_commits_count": nil}), false},
		"GitLab, a total of text":    {gitLabPushBody(change{"total_commits_count": "2"}), false},
		"GitLab, a lower total":      {gitLabPushBody(total(1, change{})), false},
		"GitLab, a new branch":       {gitLabPushBody(change{"before": zeros}), false},
		"GitLab, perhaps a rename":   {gitLabPushBody(total(1, commits(commitOf(one, []any{"y"}, none)))), false},
		"GitLab, a commit unlisted":  {gitLabPushBody(total(1, commits(change{"id": commitA}))), false},
		"Gitea, a cut list":          {giteaPushBody(total(6, change{})), true},
		"Gogs, which has no total":   {giteaPushBody(change{"total_commits": nil}), false},
		"Gitea, a new branch":        {giteaPushBody(change{"before": zeros}), false},
		"Gitea, null for no commits": {giteaPushBody(total(0, change{"commits": json.RawMessage("null")})), false},
	} {
		t.Run(name, func(t *testing.T) {
			e := decodePush(t, test.body)
			if e.ChangedFiles != nil || e.ChangedFilesTruncated != test.truncated {
				t.Errorf("files %q, truncated = %t, want none and %t", e.ChangedFiles, e.ChangedFilesTruncated,
					test.truncated)
			}
		})
	}
}

func TestChangedFiles_AtTheLimits(t *testing.T) {
	none := []any{}
	for name, test := range map[string]struct {
		body map[string]any
		want int
	}{
		"the most files": {gitHubPushBody(map[string]any{"commits": []any{
			commitOf(fileNames(postern.MaxChangedFiles, "f"), none, fileNames(postern.MaxChangedFiles, "f"))}}), 500},
		"the longest names": {gitHubPushBody(map[string]any{"commits": []any{
			commitOf(fileNames(64, strings.Repeat("f", 125)), none, none)}}), 64},
		"one file in the most commits": {gitHubPushBody(map[string]any{"commits": slices.Repeat([]any{
			commitOf([]any{"x"}, none, none)}, gitHubMaxCommits-1)}), 1},
		"the most commits of GitLab": {gitLabPushBody(map[string]any{"total_commits_count": 20,
			"commits": slices.Repeat([]any{commitOf(none, []any{"x"}, none)}, 20)}), 1},
	} {
		t.Run(name, func(t *testing.T) {
			if e := decodePush(t, test.body); len(e.ChangedFiles) != test.want || e.ChangedFilesTruncated {
				t.Errorf("%d files, truncated = %t, want %d", len(e.ChangedFiles), e.ChangedFilesTruncated, test.want)
			}
		})
	}
}

// The files are those that the standard library reads.
func TestChangedFiles_Property(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func() []any {
		var files = []any{}
		for range random.IntN(4) {
			files = append(files, []string{"a", "a/b", "c d", "\"", "\u2028", "ü/\\", "}],["}[random.IntN(7)])
		}
		return files
	}
	for range 500 {
		want := map[string]bool{}
		var commits []any
		for range 1 + random.IntN(3) {
			lists := [][]any{pick(), pick(), pick()}
			commits = append(commits, map[string]any{
				"message": "\"added\": []", "added": lists[0], "author": map[string]any{"added": 1},
				"modified": lists[1], "removed": lists[2],
			})
			for _, file := range slices.Concat(lists...) {
				want[file.(string)] = true
			}
		}
		got := map[string]bool{}
		for _, file := range decodePush(t, gitHubPushBody(map[string]any{"commits": commits})).ChangedFiles {
			got[file] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%v (-want +got):\n%s", commits, diff)
		}
	}
}
