package healthz

import "strconv"

// Metrics writes a page, one family of metrics after the other, in Prometheus'
// text format 0.0.4 or in OpenMetrics 1.0.
type Metrics struct {
	Body []byte
	Open bool // the format is OpenMetrics

	name, kind string
}

// Family begins a family. Its name ends with the unit; a counter's name comes
// without _total. kind is gauge, counter or summary.
//
//go:noinline
func (m *Metrics) Family(name, kind, help string) {
	m.name, m.kind = name, kind
	if kind == "counter" && !m.Open { // in OpenMetrics only the sample has the suffix
		name += "_total"
	}
	m.text("# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n")
}

// Sample adds a sample to the family, with labels in the form `{a="b"}` or "".
// suffix is for a summary: _sum or _count.
//
//go:noinline
func (m *Metrics) Sample(suffix, labels string, value float64) {
	if m.kind == "counter" {
		suffix = "_total"
	}
	m.text(m.name, suffix, labels, " ")
	m.Body = append(strconv.AppendFloat(m.Body, value, 'g', -1, 64), '\n')
}

// Only adds a family of one sample without labels.
//
//go:noinline
func (m *Metrics) Only(name, kind, help string, value float64) {
	m.Family(name, kind, help)
	m.Sample("", "", value)
}

// End completes the page, and returns it with its content type.
func (m *Metrics) End() (body []byte, contentType string) {
	if m.Open {
		m.text("# EOF\n")
		return m.Body, openMetrics
	}
	return m.Body, prometheus
}

//go:noinline
func (m *Metrics) text(parts ...string) {
	for _, s := range parts {
		m.Body = append(m.Body, s...)
	}
}
