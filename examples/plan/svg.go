package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// width is every picture's. Pages show them at 700 pixels or more, so that a
// font size is nearly the reader's.
const width = 760

// margin is around what a picture has.
const margin = 24

// picture is an SVG in the making. It has a card of its own below, so that it
// can be read where the page is dark and the system is light, or the other way
// round: the page's theme is not known to a picture.
type picture struct {
	b strings.Builder
}

// colours are those of GitHub's pages, light and dark.
var colours = []struct{ class, light, dark string }{
	{"card", "#ffffff", "#0d1117"},
	{"edge", "#d1d9e0", "#3d444d"},
	{"ink", "#1f2328", "#f0f6fc"},
	{"faint", "#59636e", "#9198a1"},
	{"green", "#1a7f37", "#3fb950"},
	{"red", "#cf222e", "#f85149"},
	{"amber", "#9a6700", "#d29922"},
	{"blue", "#0969da", "#4493f8"},
	{"purple", "#8250df", "#ab7df8"},
}

// style is what does not depend on the theme.
const style = `text{font-family:-apple-system,BlinkMacSystemFont,'Segoe UI','Noto Sans',Helvetica,Arial,sans-serif}
.code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace}
text{font-size:13px}.code,.small{font-size:12px}.tiny{font-size:11.5px}.title{font-size:17px}.big{font-size:22px}
.bold,.title,.big{font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}
.bar{fill-opacity:.16}.wash{fill-opacity:.08}.dashed{stroke-dasharray:4 4}.line{fill:none}
`

// themed is the colours, each as a fill and as a stroke.
func themed(dark bool) string {
	var b strings.Builder
	for _, c := range colours {
		colour := c.light
		if dark {
			colour = c.dark
		}
		fmt.Fprintf(&b, ".%s{fill:%s}.%s-edge{stroke:%s}", c.class, colour, c.class, colour)
	}
	return b.String()
}

// finish is the whole picture. title and about are for those who hear it.
func (p *picture) finish(height float64, title, about string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %v" width="%d" height="%v" `+
		`role="img" aria-labelledby="title about">
<title id="title">%s</title>
<desc id="about">%s</desc>
<style>
%s%s
@media (prefers-color-scheme:dark){%s}
</style>
<rect class="card edge-edge" x=".5" y=".5" width="%d" height="%v" rx="8"/>
%s</svg>
`, width, tenths(height), width, tenths(height), escaped(title), escaped(about),
		style, themed(false), themed(true), width-1, tenths(height-1), &p.b)
}

// tenths is a length as an SVG has it here: not more exact than can be seen.
type tenths float64

func (t tenths) String() string {
	return strconv.FormatFloat(math.Floor(float64(t)*10+.5)/10, 'f', -1, 64)
}

func (p *picture) text(class string, x, y float64, format string, args ...any) {
	text := escaped(fmt.Sprintf(format, args...))
	fmt.Fprintf(&p.b, `<text class="%s" x="%v" y="%v">%s</text>`+"\n", class, tenths(x), tenths(y), text)
}

func (p *picture) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&p.b, `<path class="line %s" d="M%v %vL%v %v"/>`+"\n", class, tenths(x1), tenths(y1), tenths(x2), tenths(y2))
}

// rect is a filled area.
func (p *picture) rect(class string, x, y, w, h, radius float64) {
	fmt.Fprintf(&p.b, `<rect class="%s" x="%v" y="%v" width="%v" height="%v" rx="%v"/>`+"\n",
		class, tenths(x), tenths(y), tenths(w), tenths(h), tenths(radius))
}

// barHeight is that of a span of time.
const barHeight = 22

// bar is a span of time in a colour, with a label in it as far as there is
// room for one.
func (p *picture) bar(colour string, x, y, w float64, labels ...string) {
	w = max(w, 2)
	p.rect("bar "+colour+" "+colour+"-edge", x, y, w, barHeight, min(4, w/2))
	for _, label := range labels { // the longest that fits
		if textWidth(label, 12.5) <= w-12 {
			p.text("ink", x+8, y+15.5, "%s", label)
			return
		}
	}
}

// textWidth is about how wide text is; fonts differ.
func textWidth(text string, size float64) float64 { return float64(len([]rune(text))) * size * .54 }

// escaped is text as XML has it, without characters that XML has not.
func escaped(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text))
	return b.String()
}

// axis has a mark at each whole step from 0 to the end, and faint lines up to
// the top. There is room for as many steps as the total has.
func (p *picture) axis(top, bottom, end, total float64, at func(seconds float64) float64) {
	for i, step := 0, nice(total); float64(i)*step <= end; i++ {
		s := float64(i) * step
		p.line("edge-edge", at(s), top, at(s), bottom)
		p.text("faint small middle", at(s), bottom+17, "%s", seconds(s))
	}
}

// nice is a step for an axis that has at most eight of them.
func nice(end float64) float64 {
	for step := .01; ; step *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if end/(step*n) <= 8 {
				return step * n
			}
		}
	}
}

func seconds(s float64) string {
	return strconv.FormatFloat(math.Round(s*1000)/1000, 'f', -1, 64) + " s"
}
