package main

// drawLifecycle is the life of an app as Kubernetes' tutorials draw it, with
// what usher has for each part.
func drawLifecycle() string {
	var p picture
	p.text("ink title", margin, 38, "The life of an app behind usher")
	p.text("faint", margin, 60, "The phases of a container in Kubernetes, and the flags that give them to any app.")

	phases := []struct {
		name, colour string
		from         float64
	}{
		{"INIT", "purple", 180},
		{"START", "green", 250},
		{"POST-START", "purple", 314},
		{"READINESS, LIVENESS", "blue", 406},
		{"PRE-HOOK", "amber", 552},
		{"END", "red", 646},
		{"", "", width - margin},
	}
	const top, rowHeight = 84., 31.
	x := func(phase float64) float64 { // 2.5 is in the middle of the third phase
		i := int(phase)
		if i == len(phases)-1 {
			return phases[i].from
		}
		return phases[i].from + (phase-float64(i))*(phases[i+1].from-phases[i].from)
	}
	rows := []struct {
		what, flags, colour string
		from, until         float64
		label, stopped      string // until the stop, and from then on
	}{
		{"waits for what it needs", "--wait-for", "purple", 0, .5, "", ""},
		{"commands before it", "--pre-start", "purple", .5, 1, "", ""},
		{"the app", "-- command", "green", 1, 5.5, "the app runs", ""},
		{"an action once it runs", "--post-start", "purple", 2, 3, "", ""},
		{"has it started?", "--startup-check", "blue", 1.2, 2.8, "/startupz", ""},
		{"may it get requests?", "--ready-check", "blue", 2.8, 4, "/readyz 200", "/readyz 503"},
		{"is it well?", "--live-check", "blue", 2.8, 4, "/livez 200", ""},
		{"holds SIGTERM back", "--term-delay", "amber", 4, 4.4, "", ""},
		{"lets requests finish", "--drain-timeout", "amber", 4.4, 4.75, "", ""},
		{"an action before its stop", "--pre-stop", "amber", 4.75, 5, "", ""},
		{"signals the app", "--stop-schedule", "red", 5, 5.5, "", ""},
		{"ends what it left", "--straggler-grace", "red", 5.5, 5.7, "", ""},
		{"cleans up", "--post-stop", "red", 5.7, 5.88, "", ""},
		{"says why", "--termination-log", "red", 5.88, 6, "", ""},
	}
	bottom := top + 36 + float64(len(rows))*rowHeight
	for i, ph := range phases[:len(phases)-1] {
		from, until := x(float64(i)), x(float64(i+1))
		p.rect("wash "+ph.colour, from, top, until-from, bottom-top, 0)
		p.line("edge-edge", from, top, from, bottom)
		p.text("tiny bold middle "+ph.colour, (from+until)/2, top+19, "%s", ph.name)
	}
	for i, r := range rows {
		y := top + 32 + float64(i)*rowHeight
		p.text("ink small", margin, y+11, "%s", r.what)
		p.text("code faint", margin, y+24, "%s", r.flags)
		p.bar(r.colour, x(r.from), y+2, x(r.until)-x(r.from), r.label)
		if r.stopped != "" {
			p.bar("red", x(4), y+2, x(5.5)-x(4), r.stopped)
		}
	}
	p.line("ink-edge dashed", x(4), top-2, x(4), bottom)
	p.text("ink small bold end", x(4)-6, bottom+17, "SIGTERM")
	p.text("faint small", x(4)+6, bottom+17, "--grace-period begins")
	return p.finish(bottom+32, "The life of an app behind usher",
		"INIT: --wait-for, --pre-start. START: the app. POST-START: --post-start. "+
			"READINESS and LIVENESS: --startup-check, --ready-check, --live-check. "+
			"PRE-HOOK: --term-delay, --drain-timeout, --pre-stop. "+
			"END: --stop-schedule, --straggler-grace, --post-stop, --termination-log.")
}
