// Copyright The Postern Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"cmp"
	"context"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// images has the screenshots of the documentation.
const images = root + "docs/images"

// documented are the screenshots that are committed, by page and mode.
var documented = map[string][]string{
	"deliveries": {"light", "dark", "narrow"}, "delivery": {"light"}, "rates": {"light", "dark"}, "sender": {"light"},
	"redeliver": {"light"},
}

// POSTERN_SCREENSHOTS=all also writes those of all pages in all modes, into bin/screenshots, to look at.
func TestScreenshots(t *testing.T) {
	which := os.Getenv("POSTERN_SCREENSHOTS")
	if which == "" {
		t.Skip("make screenshots writes them")
	}
	c := runUI(t)
	b := newBrowser(t)
	b.enter(c)
	b.wait(`document.querySelector(".foot p").textContent.includes("of 10,0")`)
	for _, m := range modes {
		b.look(m)
		for _, p := range shown(c, t) {
			dir := images
			if !slices.Contains(documented[p[0]], m.name) {
				dir = root + "bin/screenshots"
				if which != "all" || p[0] == "error" {
					continue
				}
			}
			b.open(p[1])
			b.wait(`document.fonts.status === "loaded" && document.readyState === "complete"`)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "ui-"+p[0]+"-"+m.name+".png")
			if err := os.WriteFile(file, small(t, b.screenshot()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (b *browser) screenshot() (content []byte) {
	b.t.Helper()
	b.call("screenshot", func(ctx context.Context, target *chromedp.Target) error {
		shot, err := cdp.Call(ctx, target, page.CaptureScreenshot, page.CaptureScreenshotParams{})
		content = shot.Data
		return err
	})
	return content
}

// small encodes a screenshot with a palette of its most frequent colors, in a third of the bytes.
func small(t *testing.T, content []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	count := map[color.Color]int{}
	bounds := full.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[full.At(x, y)]++
		}
	}
	colors := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return cmp.Compare(count[b], count[a]) })
	reduced := image.NewPaletted(bounds, colors[:min(256, len(colors))])
	nearest := map[color.Color]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := full.At(x, y)
			index, known := nearest[c]
			if !known {
				index = uint8(reduced.Palette.Index(c))
				nearest[c] = index
			}
			reduced.SetColorIndex(x, y, index)
		}
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, reduced); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
