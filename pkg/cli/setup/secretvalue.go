// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/pkg/cli"
)

const (
	// secretBytes is the entropy of generated secrets.
	secretBytes = 32
	// minSecretLength keeps out what can be guessed. GitHub and others accept anything.
	minSecretLength = 16
	// maxSecretLength is more than any sender accepts.
	maxSecretLength = 4096
	// signingTokenPrefix marks a secret that is a signing token.
	signingTokenPrefix = "whsec_"
)

// valueFlags are the flags of commands that take or generate a new secret. It is never an argument: the list of
// processes and the history of the shell would show it.
type valueFlags struct {
	fromFile, out      string
	show, signingToken bool
}

func (v *valueFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&v.fromFile, "from-file", "", "File with the new secret, or - for standard input. The default is "+
		"a generated one.")
	flags.StringVar(&v.out, "out", "", "File to write the new secret to, readable only by you.")
	flags.BoolVar(&v.show, "show", false, "If true, print the new secret, this once.")
	flags.BoolVar(&v.signingToken, "signing-token", false,
		"If true, it is a signing token (whsec_…), as GitLab 19 and Standard Webhooks use it.")
	_ = command.MarkFlagFilename("from-file")
	_ = command.MarkFlagFilename("out")
}

// value returns the new secret.
func (v *valueFlags) value(in io.Reader) (string, error) {
	if v.fromFile == "" {
		if !v.show && v.out == "" {
			return "", errors.New("the generated secret would be unknown: use --out=FILE to write it to a file, or " +
				"--show to print it")
		}
		return generate(v.signingToken), nil
	}
	value, err := readValue(v.fromFile, in)
	if err != nil {
		return "", err
	}
	return value, checkValue(value, v.signingToken)
}

// generate returns a new secret, of characters that every form and URL accepts.
func generate(signingToken bool) string {
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // never fails
	if signingToken {
		return signingTokenPrefix + base64.StdEncoding.EncodeToString(random)
	}
	return hex.EncodeToString(random)
}

// readValue reads a secret from a file, or from in for "-". White space around it is no part of it.
func readValue(path string, in io.Reader) (string, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("could not read the secret: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSecretLength+1))
	if err != nil {
		return "", fmt.Errorf("could not read the secret: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// checkValue checks a secret that was not made here. Its errors do not quote it.
func checkValue(value string, signingToken bool) error {
	switch {
	case value == "":
		return errors.New("the secret is empty")
	case strings.ContainsAny(value, "\r\n"):
		return errors.New("the secret has several lines: each would be a secret of its own")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
		return errors.New("the secret has characters that are not printable ASCII, which some senders change")
	case len(value) > maxSecretLength:
		return fmt.Errorf("the secret is longer than %d bytes", maxSecretLength)
	case len(value) < minSecretLength:
		return fmt.Errorf("the secret is shorter than %d characters, and could be guessed", minSecretLength)
	case isSigningToken(value) != signingToken && signingToken:
		return errors.New("the secret is no signing token: it must be whsec_ and base64")
	case isSigningToken(value) != signingToken:
		return errors.New("the secret is a signing token: add --signing-token")
	}
	return nil
}

func isSigningToken(value string) bool { return SigningKey(value) != nil }

// SigningKey returns the key with which a signing token signs, or nil if the secret is none.
func SigningKey(secret string) []byte {
	encoded, found := strings.CutPrefix(secret, signingTokenPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(key) == 0 {
		return nil
	}
	return key
}

// hand changes the secrets under a key to those that decide returns, and hands the new one over as the flags say.
func (v *valueFlags) hand(
	ctx context.Context, cluster *cli.Cluster, key, value string, decide func(lines []string) ([]string, error),
) error {
	var file *privateFile
	if v.out != "" {
		var err error
		if file, err = prepareFile(v.out, value+"\n"); err != nil {
			return err
		}
	}
	if err := change(ctx, cluster, key, decide); err != nil {
		return errors.Join(err, file.discard())
	}
	return file.keep()
}

// report says what was done and, if asked for, prints the new secret.
func (v *valueFlags) report(f *cli.Factory, value, done string) error {
	text := done
	if v.out != "" {
		text += "; it is in " + v.out
	}
	text += "\n"
	if v.show {
		text += "\n  " + value + "\n"
	}
	_, err := io.WriteString(f.Out, text)
	return err
}

// linesOf returns the secrets in a value, as Postern reads them.
func linesOf(value string) []string {
	var lines []string
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func joinLines(lines []string) string { return strings.Join(lines, "\n") }

// redacted returns an error without secrets: admission webhooks may quote what they refuse. A value of several secrets
// is a secret of its own, since its base64 is not that of its parts.
func redacted(err error, secrets []string) error {
	if err == nil {
		return nil
	}
	var all []string
	for _, secret := range secrets {
		if secret != "" {
			all = append(all, spellings(secret)...)
		}
	}
	// One may be a part of another.
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	text := err.Error()
	for _, spelling := range all {
		text = strings.ReplaceAll(text, spelling, "***")
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// spellings returns a secret as messages may quote it: as it is, in a manifest, in a Go string and in JSON.
func spellings(secret string) []string {
	all := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))}
	quoted := []string{strconv.Quote(secret)}
	if inJSON, err := json.Marshal(secret); err == nil {
		quoted = append(quoted, string(inJSON))
	}
	for _, q := range quoted {
		all = append(all, q[1:len(q)-1])
	}
	return all
}
