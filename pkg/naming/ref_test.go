// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package naming

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"postern.dev/postern/apis/postern"
)

// refTests defines whether ValidateRef accepts a ref without a type, and whether git accepts it where git is more
// lenient.
var refTests = []struct {
	ref     string
	valid   bool
	gitSays bool // used only if valid is false
}{
	{"main", true, true},
	{"v2.0.0", true, true},
	{"2.0.0", true, true},
	{"feature/new-lens", true, true},
	{"a/b/c/d", true, true},
	{"release-7_x+y,z=1", true, true},
	{"v1.0.0-rc.1+build.5", true, true},
	{"@a", true, true},
	{"a@", true, true},
	{"a@b", true, true},
	{"user@host/x", true, true},
	{"head", true, true},
	{"feature/HEAD", true, true},
	{"a-", true, true},
	{"a/-b", true, true},
	{"lock", true, true},
	{"a.lockx", true, true},
	{"a.lock.b", true, true},
	{"a.b/c", true, true},
	{"a./b", true, true},
	{"день", true, true},
	{"été/🌞", true, true},
	{"feat/\U0001F469\u200d\U0001F33E", true, true}, // an emoji of several, with a joiner
	{"co\u00adop", true, true},
	{"\u200fעברית\u200e", true, true},
	{"a\u00a0b", true, true},
	{"a\u3000b", true, true},
	{"\ue000", true, true},
	{"{}", true, true},
	{"a{b", true, true},
	{"a}b", true, true},
	{`a"b'c`, true, true},
	{"a;b|c&d$e`f!(g)<h>", true, true},
	{"a%2e%2e", true, true},
	{"a]b", true, true},
	{"refs", true, true},
	{"xrefs/heads/main", true, true},
	{"heads/main", true, true},
	{"3f1c9a2b7d5e4f60819a2b3c4d5e6f708192a3b4", true, true},
	{strings.Repeat("v", 255), true, true},

	{"", false, false},
	{"@", false, false},
	{".", false, false},
	{"..", false, false},
	{"../x", false, false},
	{"a..b", false, false},
	{"a/../b", false, false},
	{".a", false, false},
	{"a/.b", false, false},
	{"a.", false, false},
	{"a/b.", false, false},
	{"a.lock", false, false},
	{"a.lock/b", false, false},
	{".lock", false, false},
	{"/a", false, false},
	{"a/", false, false},
	{"a//b", false, false},
	{"/", false, false},
	{"a b", false, false},
	{" a", false, false},
	{"a ", false, false},
	{"a\tb", false, false},
	{"a\nb", false, false},
	{"a\rb", false, false},
	{"a\x01b", false, false},
	{"a\x1fb", false, false},
	{"a\x7fb", false, false},
	{"a~1", false, false},
	{"a^", false, false},
	{"a:b", false, false},
	{"a?b", false, false},
	{"a*b", false, false},
	{"*", false, false},
	{"a[b", false, false},
	{`a\b`, false, false},
	{"a@{b", false, false},
	{"@{-1}", false, false},
	{"refs/heads/", false, false},
	{"refs/heads/a..b", false, false},

	{"HEAD", false, true},
	{"-", false, true},
	{"-x", false, true},
	{"--upload-pack=x", false, true},
	{"refs/heads/main", false, true},
	{"refs/tags/v1", false, true},
	{"refs/pull/1/head", false, true},
	{"refs/x", false, true},
	{"a\xffb", false, true},
	{"a\u009b31mb", false, true},
	{strings.Repeat("v", 256), false, true},
}

func TestValidateRef_FollowsGitRules(t *testing.T) {
	for _, tt := range refTests {
		err := ValidateRef(tt.ref, "")
		if valid := err == nil; valid != tt.valid {
			t.Errorf("ValidateRef(%q) = %v, want valid: %t", tt.ref, err, tt.valid)
		}
	}
}

// With a type the full name counts.
func TestValidateRef_FullNameOfBranchOrTag(t *testing.T) {
	for _, refType := range []postern.RefType{postern.RefTypeBranch, postern.RefTypeTag} {
		for _, ref := range []string{"HEAD", "@", "refs/heads/main", "refs/tags/v1", "refs/x", "main"} {
			if err := ValidateRef(ref, refType); err != nil {
				t.Errorf("ValidateRef(%q, %s) = %v", ref, refType, err)
			}
			full := FullRef(ref, refType)
			if short, of := ShortRef(full); !gitAccepts(t, full) || short != ref || of != refType {
				t.Errorf("%s is %s %q, or not valid for git", full, of, short)
			}
		}
		for _, ref := range []string{"", "-x", "a..b", "refs/heads/", "a b", "a\u009bb", "a.lock"} {
			if ValidateRef(ref, refType) == nil {
				t.Errorf("ValidateRef(%q, %s) accepts it", ref, refType)
			}
		}
	}
	if got := FullRef("v1", ""); got != "v1" {
		t.Errorf("without a type: got %q", got)
	}
}

func TestIsCommitID(t *testing.T) {
	for ref, want := range map[string]bool{
		strings.Repeat("1f", 20): true, strings.Repeat("1F", 20): true, strings.Repeat("0", 64): true,
		strings.Repeat("1", 39): false, strings.Repeat("1g", 20): false, "v1": false, "": false,
	} {
		if got := IsCommitID(ref); got != want {
			t.Errorf("IsCommitID(%q) = %t", ref, got)
		}
	}
}

func TestValidateRef_RefusesNUL(t *testing.T) {
	if ValidateRef("a\x00b", "") == nil { // an argument of git cannot contain NUL
		t.Error("a NUL was accepted")
	}
}

// Git must agree with the table, so that neither the table nor ValidateRef diverges from git.
func TestValidateRef_NotMoreLenientThanGit(t *testing.T) {
	for _, tt := range refTests {
		want := tt.valid || tt.gitSays
		// The ref is not the first argument, because a leading dash would make it an option.
		if got := gitAccepts(t, "--allow-onelevel", "refs/heads/"+tt.ref); tt.ref != "@" && tt.ref != "" &&
			got != want {
			t.Errorf("git check-ref-format refs/heads/%q: %t, want %t", tt.ref, got, want)
		}
		if strings.HasPrefix(tt.ref, "-") {
			if gitAccepts(t, "--branch", tt.ref) {
				t.Errorf("git check-ref-format --branch %q: accepted", tt.ref)
			}
			continue
		}
		if got := gitAccepts(t, "--allow-onelevel", tt.ref); got != want {
			t.Errorf("git check-ref-format --allow-onelevel %q: %t, want %t", tt.ref, got, want)
		}
	}
}

func gitAccepts(t *testing.T, args ...string) bool {
	t.Helper()
	err := exec.CommandContext(t.Context(), "git", append([]string{"check-ref-format"}, args...)...).Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("could not run git, which the tests require: %v", err)
	}
	return err == nil
}

func TestValidateRef_ErrorNamesRuleAndRef(t *testing.T) {
	tests := map[string]string{
		"":           `the ref "" is not valid: it is empty`,
		"a..b":       `the ref "a..b" is not valid: it must not contain ".."`,
		"-x":         `the ref "-x" is not valid: it must not begin with a dash`,
		"x.lock":     `the ref "x.lock" is not valid: it must not have a component that ends with .lock`,
		"a\x1b[2Jb":  `the ref "a\x1b[2Jb" is not valid: it must not contain spaces or control characters`,
		"a\u202eb c": `the ref "a\u202eb c" is not valid: it must not contain spaces or control characters`,
		strings.Repeat("v", 300): `the ref "` + strings.Repeat("v", 64) +
			`"… is not valid: it is longer than 255 bytes`,
	}
	for ref, want := range tests {
		if err := ValidateRef(ref, ""); err == nil || err.Error() != want {
			t.Errorf("ValidateRef(%q) = %v, want %s", ref, err, want)
		}
	}
}

func TestShortRef_RemovesOnePrefix(t *testing.T) {
	tests := []struct {
		ref, short string
		refType    postern.RefType
	}{
		{"main", "main", ""},
		{"refs/heads/main", "main", postern.RefTypeBranch},
		{"refs/tags/v1", "v1", postern.RefTypeTag},
		{"refs/heads/feature/x", "feature/x", postern.RefTypeBranch},
		{"refs/heads/refs/tags/v1", "refs/tags/v1", postern.RefTypeBranch},
		{"refs/heads/", "", postern.RefTypeBranch},
		{"refs/heads", "refs/heads", ""},
		{"refs/pull/1/head", "refs/pull/1/head", ""},
		{"refs/Heads/main", "refs/Heads/main", ""},
		{"", "", ""},
	}
	for _, tt := range tests {
		if short, refType := ShortRef(tt.ref); short != tt.short || refType != tt.refType {
			t.Errorf("ShortRef(%q) = %q, %q, want %q, %q", tt.ref, short, refType, tt.short, tt.refType)
		}
	}
}

func FuzzValidateRef(f *testing.F) {
	for _, tt := range refTests {
		f.Add(tt.ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		err := ValidateRef(ref, "")
		if err != nil {
			checkError(t, err)
			return
		}
		if len(ref) > maxRefBytes || !utf8.ValidString(ref) || strings.ContainsAny(ref, " ~^:?*[\\\x00\n\r\t\x7f") {
			t.Fatalf("accepted %q", ref)
		}
		if short, refType := ShortRef(headsPrefix + ref); short != ref || refType != postern.RefTypeBranch {
			t.Fatalf("ShortRef(refs/heads/%q) = %q, %q", ref, short, refType)
		}
		if ValidateRef(headsPrefix+ref, "") == nil {
			t.Fatalf("accepted two spellings of %q", ref)
		}
		if err := ValidateRef(ref, postern.RefTypeTag); err != nil {
			t.Fatalf("valid without a type, but not as a tag: %v", err)
		}
		// A valid ref is also valid in a directory, as in a remote-tracking ref.
		if len(ref) < maxRefBytes-2 && ValidateRef("o/"+ref, "") != nil {
			t.Fatalf("o/%q is not valid", ref)
		}
		for component := range strings.SplitSeq(ref, "/") {
			if component == "" || component[0] == '.' || strings.HasSuffix(component, ".lock") {
				t.Fatalf("accepted the component %q of %q", component, ref)
			}
		}
	})
}

// checkError checks that an error can be displayed.
func checkError(t *testing.T, err error) {
	t.Helper()
	message := err.Error()
	if message == "" || len(message) > 1000 || !utf8.ValidString(message) || strings.ContainsAny(message, "\n\r\x1b") {
		t.Fatalf("the message is not safe to display: %q", message)
	}
}

// FuzzValidateRefAgainstGit runs git for each ref, so it is slow.
func FuzzValidateRefAgainstGit(f *testing.F) {
	for _, tt := range refTests {
		f.Add(tt.ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		if ValidateRef(ref, "") != nil {
			return
		}
		if err := exec.CommandContext(t.Context(), "git", "check-ref-format", "--allow-onelevel",
			ref).Run(); err != nil {
			t.Fatalf("accepted %q, which git refuses", ref)
		}
	})
}
