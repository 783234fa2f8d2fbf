package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// stage is a line of `usher --plan --log-format json`.
type stage struct {
	At   float64  `json:"at"`
	For  *float64 `json:"for"` // nil is as long as it takes
	What string   `json:"what"`
	Flag string   `json:"flag"`
}

// readPlan reads what usher prints.
func readPlan(from io.Reader) (plan []stage, err error) {
	decoder := json.NewDecoder(from)
	for {
		var s stage
		switch err := decoder.Decode(&s); {
		case err == io.EOF && len(plan) == 0:
			return nil, errors.New("no plan: want what `usher --plan --log-format json …` prints")
		case err == io.EOF:
			return plan, nil
		case err != nil:
			return nil, fmt.Errorf("stage %d: %w", len(plan)+1, err)
		case s.What == "" || !drawable(s.At) || s.For != nil && !drawable(*s.For):
			return nil, fmt.Errorf("stage %d: not a plan of usher's: at %v, what %q", len(plan)+1, s.At, s.What)
		}
		plan = append(plan, s)
	}
}

// drawable is a time, in seconds, of less than thirty years.
func drawable(seconds float64) bool { return 0 <= seconds && seconds < 1e9 }

const (
	barsFrom, barsUntil = 92., 396.
	whatFrom            = 412.
	whatWidth           = 46 // characters
)

// drawPlan is a bar for each stage, with what it is.
func drawPlan(plan []stage, commandLine string) string {
	var p picture
	total, open := 0., len(plan) // open is the stage that may take for ever
	for i, s := range plan {
		if i > open {
			break
		}
		if s.For == nil {
			open = i
			total = max(total, s.At) * 1.5
			continue
		}
		total = max(total, s.At+*s.For)
	}
	if total == 0 {
		total = 1
	}
	x := func(at float64) float64 { return barsFrom + at/total*(barsUntil-barsFrom) }

	command := wrap("usher "+commandLine, 95)
	top := 68 + 16*float64(len(command))
	heights, bottom := make([]float64, len(plan)), top
	for i, s := range plan {
		heights[i] = 28 + 15*float64(len(wrap(s.What, whatWidth)))
		if s.Flag == "" {
			heights[i] -= 14
		}
		bottom += heights[i]
	}
	p.text("ink title", margin, 38, "What a stop does")
	for i, line := range command {
		p.text("code faint", margin+float64(min(i, 1))*44, 60+16*float64(i), "%s", line)
	}
	known := total
	if open < len(plan) {
		known = plan[open].At
	}
	p.axis(top-8, bottom, known, total, x)
	y := top
	for i, s := range plan {
		middle := y + 8
		if i <= open {
			p.text("faint small end", barsFrom-14, middle+4, "%s", seconds(s.At))
			p.span(s, x, middle)
		} else {
			p.text("faint small end", barsFrom-14, middle+4, "then")
		}
		lines := wrap(s.What, whatWidth)
		for j, line := range lines {
			p.text("ink", whatFrom, y+12+float64(j)*15, "%s", line)
		}
		if s.Flag != "" {
			p.text("code faint", whatFrom, y+12+float64(len(lines))*15, "%s", s.Flag)
		}
		y += heights[i]
	}
	footer := "Each time is the latest there can be: an early end brings the rest forward."
	if open < len(plan) {
		footer = "The app may take as long as it needs: what has no time here follows its end."
	}
	p.text("faint tiny", margin, bottom+44, "%s", footer)
	return p.finish(bottom+58, "What a stop does", "usher "+commandLine+": "+footer)
}

// span is when the stage is.
func (p *picture) span(s stage, x func(float64) float64, middle float64) {
	from, colour := x(s.At), s.colour()
	switch {
	case s.For == nil:
		p.rect("bar "+colour+" "+colour+"-edge dashed", from, middle-barHeight/2, barsUntil-from, barHeight, 4)
		p.text("ink", from+8, middle+4.5, "no limit")
	case *s.For == 0:
		p.line(colour+"-edge", from, middle-barHeight/2, from, middle+barHeight/2)
		p.rect(colour, from-3.5, middle-3.5, 7, 7, 3.5)
	default:
		w := max(x(s.At+*s.For)-from, 3)
		label := seconds(*s.For)
		p.bar(colour, from, middle-barHeight/2, w, label)
		if textWidth(label, 12.5) <= w-12 {
			return
		}
		if beside := from + w + 6; beside+textWidth(label, 12) < barsUntil {
			p.text("ink small", beside, middle+4.5, "%s", label)
		} else {
			p.text("ink small end", from-6, middle+4.5, "%s", label)
		}
	}
}

// colour is by who acts.
func (s stage) colour() string {
	switch {
	case s.Flag == "--term-delay":
		return "amber"
	case s.Flag == "--drain-timeout":
		return "blue"
	case s.Flag == "--pre-stop", s.Flag == "--post-stop":
		return "purple"
	case strings.HasPrefix(s.What, "the app gets"):
		return "green"
	case strings.HasSuffix(s.What, "SIGKILL") && s.For != nil && *s.For == 0:
		return "red"
	}
	return "faint"
}

// wrap breaks text into three lines at most.
func wrap(text string, most int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > most {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	lines = append(lines, line)
	if len(lines) > 3 {
		lines = append(lines[:2], lines[2]+" …")
	}
	for i, line := range lines {
		if r := []rune(line); len(r) > most+2 {
			lines[i] = string(r[:most]) + " …"
		}
	}
	return lines
}
