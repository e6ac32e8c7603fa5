// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"postern.dev/postern/apis/postern/v1alpha1"
	"postern.dev/postern/pkg/cli"
	"postern.dev/postern/pkg/cli/story"
)

//go:embed templates
var templateFiles embed.FS

// view is what a page shows.
type view struct {
	Title string
	// Page is the name of the template.
	Page string
	// Namespace is the one that is shown; "" are all.
	Namespace string
	// Namespaces are suggestions.
	Namespaces []string
	// Cluster is the address of the kube-apiserver.
	Cluster string
	// News says what is new since the page was opened.
	News string
	// Live is the version of the content if it is updated, to compare with.
	Live string
	// Since is when the page was made.
	Since   time.Time
	Content any
}

// pageError is an error with a status and a message for the user.
type pageError struct {
	code    int
	message string
}

func (e *pageError) Error() string { return e.message }

// visit is one request for a page.
type visit struct {
	*http.Request

	namespace string
	// feed is nil for a page that follows none.
	feed *feed
	// version, if not nil, returns what changes with the content of the page. Otherwise any change of the feed does.
	version func() string
	// phase is that of the delivery when the page was opened, empty unless it is being updated.
	phase v1alpha1.DeliveryPhase
	// since is when the page was opened, zero unless it is being updated.
	since time.Time
}

// builder makes a view.
type builder func(context.Context, *visit) (*view, error)

// page returns a handler that shows what build makes.
func (s *server) page(name string, build builder) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		namespace, err := namespaceOf(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.show(w, name, build, &visit{Request: r, namespace: namespace})
	}
}

func (s *server) show(w http.ResponseWriter, name string, build builder, v *visit) {
	ctx, cancel := context.WithTimeout(v.Context(), buildTimeout)
	defer cancel()
	began := time.Now()
	shown, err := s.build(ctx, name, build, v)
	if err != nil {
		s.fail(w, v.Request, err)
		return
	}
	if v.feed != nil {
		shown.Since = began
		shown.Live = digest(execute(name, "content", shown))
	}
	shown.Namespaces = s.namespaces(ctx)
	s.render(w, http.StatusOK, name, shown)
}

func (s *server) build(ctx context.Context, name string, build builder, v *visit) (*view, error) {
	shown, err := build(ctx, v)
	if err != nil {
		return nil, err
	}
	shown.Page, shown.Namespace = name, v.namespace
	return shown, nil
}

func namespaceOf(r *http.Request) (string, error) {
	namespace := r.URL.Query().Get("namespace")
	if namespace != "" && len(validation.IsDNS1123Label(namespace)) > 0 {
		return "", &pageError{http.StatusBadRequest, "That is not the name of a namespace."}
	}
	return namespace, nil
}

// maxNamespaces is how many namespaces are suggested.
const maxNamespaces = 500

// namespaces returns names to suggest: none if the user may not list them.
func (s *server) namespaces(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	list, err := s.cluster.Kubernetes.CoreV1().Namespaces().List(ctx, metav1.ListOptions{Limit: maxNamespaces})
	if err != nil {
		return nil
	}
	var names []string
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	return names
}

// fail shows an error.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	code, title := http.StatusBadGateway, "The cluster did not answer as expected"
	if own := (*pageError)(nil); errors.As(err, &own) {
		code, title = own.code, http.StatusText(own.code)
	}
	switch {
	case apierrors.IsForbidden(err):
		code, title = http.StatusForbidden, "You may not do this"
	case apierrors.IsNotFound(err):
		code, title = http.StatusNotFound, http.StatusText(http.StatusNotFound)
	}
	namespace, _ := namespaceOf(r)
	s.render(w, code, "error", &view{Title: title, Namespace: namespace, Content: explain(err)})
}

// explain returns the message of an error for the user.
func explain(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "The cluster took too long to answer."
	}
	return err.Error()
}

// results are the results of a delivery and what they are called.
type results struct {
	Label   string
	Targets []v1alpha1.TargetResult
}

// templates are the pages, each with the layout.
var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{
		"age": age, "clock": clock, "instant": instant, "link": link, "lower": strings.ToLower, "symbol": symbol,
		"stamp": stamp, "plural": plural, "number": number, "refOf": refOf,
		"eventTime": func(e corev1.Event) time.Time { return story.EventTime(&e) },
		"results": func(label string, targets []v1alpha1.TargetResult) results {
			return results{label, targets}
		},
	}).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html"))
	pages := map[string]*template.Template{}
	for _, name := range []string{
		"deliveries", "delivery", "rates", "senders", "redeliver", "error", "enter", "refused",
	} {
		pages[name] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, "templates/"+name+".html"))
	}
	return pages
}

func (s *server) render(w http.ResponseWriter, code int, name string, v *view) {
	v.Page = name
	if server, err := cli.ServerURL(s.cluster.Config); err == nil {
		v.Cluster = server.String()
	}
	html := execute(name, "layout.html", v)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(html)
}

// execute returns a page, or a block of it. The templates are tested with all that they are given, so a failure is a
// fault of the program.
func execute(name, block string, v *view) []byte {
	var b bytes.Buffer
	if err := templates[name].ExecuteTemplate(&b, block, v); err != nil {
		panic(fmt.Sprintf("could not make the page %s: %v", name, err))
	}
	return visible(b.Bytes())
}

// visible replaces characters that are not seen, and that could make a text look like another, by their numbers.
// Templates escape HTML, but not these.
func visible(html []byte) []byte {
	hidden := func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp))
	}
	if bytes.IndexFunc(html, hidden) < 0 {
		return html
	}
	var b bytes.Buffer
	for _, r := range string(html) {
		if hidden(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}
