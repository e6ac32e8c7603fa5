// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const repository = "../.."

func TestBinary_IsStatic(t *testing.T) {
	if os.Getenv("POSTERN_BINARY") != "" {
		t.Skip("another program is tested, such as one with the race detector, which needs C")
	}
	program, err := elf.Open(filepath.Join(repository, "bin", "postern"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("the program has a segment %s: it is not static", segment.Type)
		}
	}
}

func TestImage_BuiltLikeMakefile(t *testing.T) {
	dockerfile, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split(string(dockerfile), "\nFROM ")
	last := stages[len(stages)-1]
	for _, test := range []struct{ in, holds string }{
		{string(dockerfile), "\nARG TARGETOS\nARG TARGETARCH\n"}, // our own default would override the builder's value
		{string(dockerfile), "\nRUN GOOS=$TARGETOS GOARCH=$TARGETARCH make release RELEASE=/postern VERSION=$VERSION " +
			"REVISION=$REVISION DATE=$DATE\n"},
		{last, "COPY --from=build /postern /postern\n"},
		{last, "USER 65532:65532\n"},
		{last, `ENTRYPOINT ["/postern"]`},
	} {
		if !strings.Contains(test.in, test.holds) {
			t.Errorf("the Dockerfile does not have %q", test.holds)
		}
	}
	if !strings.HasPrefix(last, "scratch\n") {
		t.Errorf("the base of the image is %q", strings.SplitN(last, "\n", 2)[0])
	}
	module, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	needed := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)[1]
	if !strings.Contains(string(dockerfile), "\nARG GO_VERSION="+string(needed)+".") {
		t.Errorf("the image is not built with Go %s, which go.mod requires", needed)
	}
}

func TestBinary_Version(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), shared.postern.Program(), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`^postern (\S+) \(commit (\S+) of \S+, (go\S+), \w+/\w+\)\n$`).FindSubmatch(out)
	if match == nil {
		t.Fatalf("--version prints %q", out)
	}
	version, revision, goVersion := string(match[1]), string(match[2]), string(match[3])

	series := `postern_build_info{go_version="` + goVersion + `",revision="` + revision + `",version="` + version + `"}`
	if got := shared.metrics(t, "postern_build_info"); len(got) != 1 || got[series] != 1 {
		t.Errorf("got the metric %v, want %s", got, series)
	}
	log, err := os.ReadFile(shared.postern.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), `"Starting" version="`+version+" ") {
		t.Error("the log does not start with the version")
	}

	w := newWorld(t)
	w.gatewaySync("web")
	w.deliver(delivery("d", toWeb+", ref: v1"))
	w.eventually(func() error {
		for _, event := range w.auditEvents(t, `"postern/`+version+` (`) {
			if event.Verb == "patch" && event.ObjectRef.Namespace == w.Namespace &&
				event.ObjectRef.Resource == "gatewaysyncs" {
				return nil
			}
		}
		return errNotAudited
	})
}
