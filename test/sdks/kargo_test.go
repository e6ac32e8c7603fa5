// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package sdks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/expr-lang/expr"
	"sigs.k8s.io/yaml"

	"postern.dev/postern/apis/postern"
	"postern.dev/postern/pkg/payload"
)

// httpStep is the step http of a Stage. Its expressions are those of expr, which Kargo uses too. Kargo itself can't be
// built here, since the module proxy does not serve it:
// https://docs.kargo.io/user-guide/reference-docs/promotion-steps/http
type httpStep struct {
	URL, Method, Body                                     string
	Timeout, PollInterval                                 string
	Headers                                               []struct{ Name, Value string }
	SuccessExpression, FailureExpression, ErrorExpression string
	Outputs                                               []struct{ Name, FromExpression string }
}

func readKargoStep(t *testing.T) httpStep {
	t.Helper()
	content, err := os.ReadFile("../../artifacts/senders/kargo-stage.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var stage struct {
		Spec struct {
			PromotionTemplate struct {
				Spec struct {
					Steps []struct {
						Uses   string
						Config json.RawMessage
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(content, &stage); err != nil {
		t.Fatal(err)
	}
	steps := stage.Spec.PromotionTemplate.Spec.Steps
	if len(steps) != 1 || steps[0].Uses != "http" {
		t.Fatalf("got the steps %+v", steps)
	}
	var step httpStep
	if err := yaml.UnmarshalStrict(steps[0].Config, &step); err != nil {
		t.Fatal(err)
	}
	return step
}

// evaluate evaluates an expression of the step in an environment.
func evaluate(t *testing.T, expression string, env map[string]any) any {
	t.Helper()
	program, err := expr.Compile(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	result, err := expr.Run(program, env)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return result
}

// The step ends with the outcome of the delivery, and asks again about the others.
func TestKargo_StepWaits(t *testing.T) {
	step := readKargoStep(t)
	record := func(phase postern.DeliveryPhase) string {
		return fmt.Sprintf(`{"kind": "WebhookDelivery", "metadata": {"name": "kargo-1"},
			"status": {"phase": %q, "message": "it is %s"}}`, phase, phase)
	}
	refusal := func(code int) string {
		return fmt.Sprintf(`{"kind": "Status", "status": "Failure", "message": "refused", "code": %d}`, code)
	}
	const succeeded, failed, running = "succeeded", "failed", "running"
	type answer struct {
		code          int
		body          string
		want, message string
	}
	answers := []answer{
		{202, record("Applied"), succeeded, ""},
		{202, record("Pending"), running, ""},
		{202, record("Held"), running, ""},
		{202, record("Ignored"), failed, "it is Ignored"},
		{202, record("Superseded"), failed, "it is Superseded"},
		{202, record("Failed"), failed, "it is Failed"},
	}
	for _, code := range []int{400, 401, 403, 404, 413, 422, 500} {
		answers = append(answers, answer{code, refusal(code), failed, "refused"})
	}
	for _, code := range []int{429, 502, 503, 504} {
		answers = append(answers, answer{code, refusal(code), running, ""}, answer{code, `{}`, running, ""})
	}
	for _, a := range answers {
		var body any
		if err := json.Unmarshal([]byte(a.body), &body); err != nil {
			t.Fatal(err)
		}
		env := map[string]any{"response": map[string]any{
			"status": int64(a.code), "body": body, "headers": http.Header{}, "header": http.Header{}.Get,
		}}
		got := running
		if evaluate(t, step.FailureExpression, env) == true {
			got = failed
			if message := evaluate(t, step.ErrorExpression, env); message != a.message {
				t.Errorf("%d %s: got the message %q, want %q", a.code, a.body, message, a.message)
			}
		} else if evaluate(t, step.SuccessExpression, env) == true {
			got = succeeded
			for _, output := range step.Outputs {
				if name := evaluate(t, output.FromExpression, env); name != "kargo-1" {
					t.Errorf("the output %s is %q", output.Name, name)
				}
			}
		}
		if got != a.want {
			t.Errorf("%d %s: the step is %s, want %s", a.code, a.body, got, a.want)
		}
	}
}

// The step sends the tag of the commit, with the promotion's name as the id.
func TestKargo_StepRequestsTag(t *testing.T) {
	step := readKargoStep(t)
	const repository = "https://github.com/example/plant.git"
	commit := map[string]any{"RepoURL": repository, "Tag": "v2.2.0", "Branch": "", "ID": strings.Repeat("1d5c", 10)}
	env := map[string]any{
		"vars": map[string]any{"repository": repository}, "ctx": map[string]any{"promotion": "production.01jt"},
		"commitFrom": func(string) any { return commit },
		"secret":     func(string) any { return map[string]string{"token": "token"} },
		"quote": func(value any) string {
			text, err := json.Marshal(value)
			if err != nil {
				t.Error(err)
			}
			return string(text)
		},
	}
	fill := func(text string) string {
		text = strings.TrimSpace(text)
		start, end := strings.Index(text, "${{"), strings.LastIndex(text, "}}")
		if start < 0 {
			return text
		}
		return text[:start] + fmt.Sprint(evaluate(t, text[start+3:end], env)) + text[end+2:]
	}
	header := http.Header{}
	for _, h := range step.Headers {
		header.Add(h.Name, fill(h.Value))
	}
	if got := header.Get("Authorization"); got != "Bearer token" || step.Method != http.MethodPost {
		t.Errorf("the step sends %s with the credential %q", step.Method, got)
	}
	decoded, err := payload.Decode(payload.Input{Header: header, Body: []byte(fill(step.Body))})
	if err != nil || decoded.Source != "kargo" || decoded.DeliveryID != "production.01jt" || len(decoded.Events) != 1 ||
		decoded.Events[0].Ref != "v2.2.0" || decoded.Events[0].Repository != repository {
		t.Errorf("got %+v, %v", decoded, err)
	}
}
