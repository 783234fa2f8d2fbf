package main

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"usher/examples/figures"
)

// drawStop is a stop in two lanes: kubelet's way to the app, and the
// endpoints' way to the load balancer, which begin at the same moment; without
// a hold and with one.
func drawStop(runs []figures.Run) (string, error) {
	var with, without *figures.Run
	for i := range runs {
		r := &runs[i]
		switch {
		case r.Hold > 0 && with == nil:
			with = r
		case r.Hold == 0 && (without == nil || strings.HasPrefix(r.StartedAs, "tini")): // what its users have today
			without = r
		}
	}
	if with == nil || without == nil {
		return "", errors.New("a run with a hold and one without are needed")
	}
	s := stopPicture{from: -.6}
	for _, r := range []*figures.Run{with, without} {
		s.until = max(s.until, r.Gone, r.LetGo, r.Hold)
		for i := range r.Served {
			s.most = max(s.most, r.Served[i], r.Failed[i])
		}
	}
	s.until = math.Ceil(s.until*2+.5) / 2
	rate := 0
	for i := range with.Before {
		rate += with.Served[i]
	}

	s.text("ink title", margin, 38, "A stop under load, without a hold and with one")
	perSecond := math.Round(float64(rate)/(float64(max(with.Before, 1))*figures.Tenth)/10) * 10
	s.text("faint", margin, 60, "%s answers %.0f requests a second. "+
		"At SIGTERM the endpoints begin to let go of it, which takes them %.1f s.", with.Server, perSecond, with.LetGo)
	const first = 92.
	const second = first + panelHeight + 28
	s.panel(without, first)
	s.panel(with, second)
	bottom := second + panelHeight
	s.axis(bottom, bottom+5, s.until, s.until, s.x)
	s.text("faint tiny", margin, bottom+44,
		"One run of make demo. Bars are requests by when they ended, a tenth of a second each.")
	served, _ := with.After()
	_, failed := without.After()
	return s.finish(bottom+58, "A stop under load, without a hold and with one",
		fmt.Sprintf("%s: %d requests fail. "+
			"%s: %d requests are served after SIGTERM, until the load balancer has let go.",
			without.StartedAs, failed, with.StartedAs, served)), nil
}

// stopPicture is two panels, one below the other, with the same time.
type stopPicture struct {
	picture
	from, until float64 // seconds from the stop signal
	most        int     // requests in a tenth of a second
}

const (
	laneHeight  = 34.
	panelHeight = 2*laneHeight + 110
	lanesFrom   = 130.
)

func (s *stopPicture) x(at float64) float64 {
	return lanesFrom + (min(max(at, s.from), s.until)-s.from)/(s.until-s.from)*(width-margin-lanesFrom)
}

func (s *stopPicture) panel(r *figures.Run, y float64) {
	left, right := s.x(s.from), s.x(s.until)
	served, failed := r.After()
	s.text("code ink bold", margin, y, "%s", r.StartedAs)
	bottom := y + panelHeight
	s.text("ink small bold middle", s.x(0), y+21, "SIGTERM")
	y += 28
	gone, letGo := s.x(r.Gone), s.x(r.LetGo)
	if r.LetGo > r.Gone {
		s.rect("wash red", gone, y, letGo-gone, bottom-y, 0)
	}

	s.line("ink-edge dashed", s.x(0), y, s.x(0), bottom)

	s.lane(y, "kubelet", "stops the app")
	s.bar("green", left, y+3, s.x(0)-left, r.Server+" serves", "serves")
	if r.Hold > 0 {
		s.bar("amber", s.x(0), y+3, s.x(r.Hold)-s.x(0),
			"usher holds SIGTERM back, "+r.Server+" goes on serving", "usher holds SIGTERM back", "hold")
	}
	s.gone(gone, right, y, r.Server+" has ended")

	y += laneHeight
	s.lane(y, "endpoints", "let go of it")
	s.bar("blue", left, y+3, letGo-left, "the load balancer still sends requests", "requests are sent")
	s.gone(letGo, right, y, "it has let go")

	y += laneHeight
	s.lane(y+20, "requests", "served or failed")
	s.line("edge-edge", left, bottom, right, bottom)
	s.text("big "+resultColour(failed), letGo+24, y+42, "%d failed", failed)
	s.text("faint", letGo+24, y+62, "%d served after SIGTERM", served)
	for i := range r.Served {
		at := (float64(i-r.Before))*figures.Tenth + .008
		if at < s.from {
			continue
		}
		from, w := s.x(at), s.x(at+figures.Tenth)-s.x(at)-2
		height := func(n int) float64 { return float64(n) / float64(max(s.most, 1)) * (bottom - y - 12) }
		green, red := height(r.Served[i]), height(r.Failed[i])
		if green > 0 {
			s.rect("green", from, bottom-green, w, green, 1)
		}
		if red > 0 {
			s.rect("red", from, bottom-green-red, w, red, 1)
		}
	}
}

func resultColour(failed int) string {
	if failed > 0 {
		return "red"
	}
	return "green"
}

// lane is what a lane shows, on its left.
func (s *stopPicture) lane(y float64, name, what string) {
	s.text("ink", margin, y+14, "%s", name)
	s.text("faint tiny", margin, y+27, "%s", what)
}

// gone is a lane from where there is nothing more.
func (s *stopPicture) gone(from, right, y float64, what string) {
	if right-from < 8 {
		return
	}
	if w := textWidth(what, 12) + 16; w < right-from {
		s.text("faint small", from+8, y+18, "%s", what)
		from += w
	}
	s.line("edge-edge dashed", from, y+14, right, y+14)
}
