// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"postern.dev/postern/test/testcluster"
)

func bySource(source string) string { return "webhooksources/" + source + "/webhookdeliveries" }

var inJSON = map[string]string{"Content-Type": "application/json"}

func strikeLargestBody(all []shape) func(context.Context, *hostile, int) answer {
	return func(ctx context.Context, h *hostile, n int) answer {
		s := all[n%len(all)]
		return h.ci.deliver(ctx, bySource(s.source), s.body, s.header)
	}
}

// strikeLargestObject creates the largest records that are accepted: after a rejection the next one is smaller.
func strikeLargestObject(ctx context.Context, h *hostile, n int) answer {
	size := h.recordBytes.Load()
	got := h.ci.deliver(ctx, "webhookdeliveries", largeObject(fmt.Sprintf("large-%d", n), int(size)), inJSON)
	switch {
	case got.accepted():
		h.recordBytes.CompareAndSwap(size, min(largestAnnotation, size+size/50+1))
	case got.code >= http.StatusBadRequest && got.code != http.StatusTooManyRequests:
		h.recordBytes.CompareAndSwap(size, size-size/10)
	}
	return got
}

func strikeLargestRecord(ctx context.Context, h *hostile, n int) answer {
	body := pushOfRefs("https://git.example.com/"+strings.Repeat("&", 440), n, 240)
	return h.anonymous.deliver(ctx, bySource("bitbucket-server"), body, h.signed(body, nil))
}

// strikePattern pushes tags that are matched against the patterns, and sometimes changes an object with patterns.
func strikePattern(ctx context.Context, h *hostile, n int) answer {
	if n%5 == 4 {
		name := fmt.Sprintf("pattern-%d", n%len(patterns()))
		return h.annotate(ctx, name, map[string]string{"example.com/changed": fmt.Sprint(n)})
	}
	tags := fmt.Sprintf(`"1.0.%d","1.0.%d-%s"`, n, n, strings.Repeat("a", 100))
	return h.ci.deliver(ctx, bySource("quay.io"), quayPush("hostile", "pattern", tags), nil)
}

// strikeWide pushes 256 tags, which all of the targets that follow the newest tag match, or none.
func strikeWide(ctx context.Context, h *hostile, n int) answer {
	switch n % 3 {
	case 0:
		return h.ci.deliver(ctx, bySource("bitbucket-server"), pushOfRefs(wideRepository, n, 0), nil)
	case 1:
		return h.ci.deliver(ctx, bySource("quay.io"), quayPush("hostile", "wide", manyTags("0.%d.%d", n)), nil)
	}
	return h.ci.deliver(ctx, bySource("quay.io"), quayPush("hostile", "wide", manyTags("1.%d.%d", n)), nil)
}

// strikeAgain repeats one of three deliveries with the same ID and body.
func strikeAgain(ctx context.Context, h *hostile, n int) answer {
	return h.sendSigned(ctx, release(h.targets[0], fmt.Sprintf("v%d", n%3), time.Unix(1_700_000_000, 0)))
}

func (h *hostile) sendSigned(ctx context.Context, r request) answer {
	return h.anonymous.deliver(ctx, r.target.path(), r.body, h.signed(r.body, r.header))
}

func (h *hostile) sendPlain(ctx context.Context, s sender, name string, n int) answer {
	return s.deliver(ctx, target{gatewaySyncs, name}.path(), fmt.Sprintf(`{"ref":"v%d"}`, n), nil)
}

func strikeMissing(ctx context.Context, h *hostile, n int) answer {
	return h.sendPlain(ctx, h.ci, fmt.Sprintf("missing-%d", n), n)
}

func strikeWatched(name string) func(context.Context, *hostile, int) answer {
	return func(ctx context.Context, h *hostile, n int) answer {
		return h.sendPlain(ctx, h.ci, fmt.Sprintf("%s-%d", name, n%watchedTargets), n)
	}
}

// strikeComeAndGo creates a target, delivers to it, and deletes it, concurrently with other workers.
func strikeComeAndGo(ctx context.Context, h *hostile, n int) answer {
	g := target{gatewaySyncs, fmt.Sprintf("passing-%d", n/3%5)}
	switch n % 3 {
	case 0:
		return ownDoing(h.createFrom(ctx, g.resource, g.manifest()))
	case 1:
		return h.sendPlain(ctx, h.ci, g.name, n)
	}
	return ownDoing(h.Objects.Resource(g.resource).Namespace(h.Namespace).Delete(ctx, g.name, metav1.DeleteOptions{}))
}

func strikeWrongly(ctx context.Context, h *hostile, n int) answer {
	body := fmt.Sprintf(`{"ref":"v%d"}`, n)
	header := map[string]string{"X-Hub-Signature-256": testcluster.Sign("wrong", body)}
	if n%4 == 0 {
		header = map[string]string{"X-Gitlab-Token": "wrong"}
	}
	return h.anonymous.deliver(ctx, h.targets[n%len(h.targets)].path(), body, header)
}

// strikeOtherNamespace delivers to the honest namespace with a signature by another secret.
func strikeOtherNamespace(ctx context.Context, h *hostile, n int) answer {
	body := fmt.Sprintf(`{"ref":"v%d"}`, 1_000_000+n)
	return h.neighbor.deliver(ctx, h.neighborTarget.path(), body, h.signed(body, nil))
}

func strikeRightly(ctx context.Context, h *hostile, n int) answer {
	return h.sendSigned(ctx, release(h.targets[n%len(h.targets)], fmt.Sprintf("v%d", n), time.Now()))
}

func strikeSlowly(ctx context.Context, h *hostile, _ int) answer { return h.trickle(ctx, h.ci) }

func strikeSlowlyAnonymous(ctx context.Context, h *hostile, _ int) answer {
	return h.trickle(ctx, h.anonymous)
}

// trickle sends a large body byte by byte.
func (h *hostile) trickle(ctx context.Context, s sender) answer {
	return s.do(ctx, http.MethodPost, h.targets[0].path(), slowReader{ctx}, largestBody, nil)
}

type slowReader struct{ ctx context.Context }

func (r slowReader) Read(p []byte) (int, error) {
	select {
	case <-r.ctx.Done():
		return 0, io.ErrUnexpectedEOF
	case <-time.After(250 * time.Millisecond):
		p[0] = ' '
		return 1, nil
	}
}

func strikeDryRun(ctx context.Context, h *hostile, n int) answer {
	const dryRun = "?dryRun=All"
	if n%10 == 0 {
		return h.ci.deliver(ctx, bySource("quay.io")+dryRun, quayPush("hostile", "wide", manyTags("2.%d.%d", n)), nil)
	}
	return h.ci.deliver(ctx, h.targets[n%len(h.targets)].path()+dryRun, `{"ref":"dry"}`, nil)
}

// strikeDirectly calls Postern directly, each time for another resource, with an invalid bearer token or without any.
func strikeDirectly(ctx context.Context, h *hostile, n int) answer {
	var header map[string]string
	if n%2 == 0 {
		header = map[string]string{"Authorization": fmt.Sprintf("Bearer x%d", n)}
	}
	return h.direct.deliver(ctx, target{gatewaySyncs, fmt.Sprintf("unknown-%d", n)}.path(), "{}", header)
}

func strikeList(ctx context.Context, h *hostile, _ int) answer {
	return h.ci.do(ctx, http.MethodGet, "webhookdeliveries", nil, 0, nil)
}

func strikeWatch(ctx context.Context, h *hostile, _ int) answer {
	return h.ci.do(ctx, http.MethodGet, "webhookdeliveries?watch=true&timeoutSeconds=20", nil, 0, nil)
}

// farAhead is an annotation of a target that was last written for an event in the far future.
const farAhead = `{"git":{"by":"github","time":"2999-01-01T00:00:00Z","received":"2999-01-01T00:00:00Z"}}`

func strikeAhead(ctx context.Context, h *hostile, n int) answer {
	g := h.targets[len(h.targets)-1]
	if n%3 == 0 {
		return h.annotate(ctx, g.name, map[string]string{"postern.dev/event-time": farAhead})
	}
	return h.sendSigned(ctx, release(g, fmt.Sprintf("v9.%d", n), time.Now()))
}

// strikeRedelivery redelivers the tenant's first delivery, or a missing one.
func strikeRedelivery(ctx context.Context, h *hostile, n int) answer {
	name := fmt.Sprintf("unknown-%d", n)
	list := h.ci.do(ctx, http.MethodGet, "webhookdeliveries?limit=1", nil, 0, nil)
	if _, found, ok := strings.Cut(string(list.body), `"metadata":{"name":"`); ok {
		name, _, _ = strings.Cut(found, `"`)
	}
	return h.ci.deliver(ctx, "webhookdeliveries/"+name+"/redeliver", "{}", inJSON)
}
