package main

import (
	"math"
	"strconv"

	"usher/internal/json"
	"usher/supervisor/lifecycle"
)

// planJSON returns a line of JSON for each stage, for machines. A stage without
// "for" takes as long as it needs; "at" of the stages after it is then the
// earliest time there can be, not the latest.
func planJSON(stages []lifecycle.Stage) string {
	var b []byte
	for _, s := range stages {
		b = strconv.AppendFloat(append(b, `{"at":`...), s.At.Seconds(), 'f', -1, 64)
		if s.Takes >= 0 {
			b = strconv.AppendFloat(append(b, `,"for":`...), s.Takes.Seconds(), 'f', -1, 64)
		}
		b = json.AppendString(append(b, `,"what":`...), s.What, math.MaxInt)
		if s.Flag != "" {
			b = json.AppendString(append(b, `,"flag":`...), s.Flag, math.MaxInt)
		}
		b = append(b, "}\n"...)
	}
	return string(b)
}
