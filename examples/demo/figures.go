package main

import (
	"encoding/json"
	"os"
	"time"

	"usher/examples/figures"
)

// answer is a request that has ended, well or not.
type answer struct {
	at     time.Time
	failed bool
}

// figures is what became of the run, for a picture of it.
func (r *result) figures(server string) figures.Run {
	seconds := func(d time.Duration) float64 { return figures.Round(d.Seconds()) }
	f := figures.Run{
		StartedAs: r.label, Server: server,
		Hold: seconds(r.hold), Unready: seconds(r.unready), LetGo: seconds(r.letGo), Gone: seconds(r.gone),
	}
	for _, a := range r.answers {
		f.Count(a.at.Sub(r.began).Seconds(), a.failed)
	}
	return f
}

// writeFigures writes what examples/plan makes a picture of.
func writeFigures(path, server string, results []result) error {
	var text []byte
	for _, r := range results {
		line, err := json.Marshal(r.figures(server))
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	return os.WriteFile(path, text, 0o644)
}
