package healthz

import "strconv"

// Page is an endpoint of another kind than Endpoint: it appends a body in the Prometheus text format, or in OpenMetrics where that was
// asked for. It never blocks.
type Page func(b []byte, openMetrics bool) []byte

// Metrics writes a page, a family of metrics after the other, in the text format 0.0.4 of Prometheus or in OpenMetrics 1.0.
type Metrics struct {
	Body []byte
	Open bool // OpenMetrics

	name, kind string
}

// Family begins the next one. Its name has the unit at its end; a counter's is without _total. kind is gauge, counter or summary.
//
//go:noinline
func (m *Metrics) Family(name, kind, help string) {
	m.name, m.kind = name, kind
	if kind == "counter" && !m.Open { // OpenMetrics counts the suffix as the sample's
		name += "_total"
	}
	m.text("# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n")
}

// Sample adds one, with labels in the form `{a="b"}` or "". suffix is a summary's, _sum or _count.
//
//go:noinline
func (m *Metrics) Sample(suffix, labels string, value float64) {
	if m.kind == "counter" {
		suffix = "_total"
	}
	m.text(m.name, suffix, labels, " ")
	m.Body = append(strconv.AppendFloat(m.Body, value, 'g', -1, 64), '\n')
}

// Only is a family of one sample without labels.
//
//go:noinline
func (m *Metrics) Only(name, kind, help string, value float64) {
	m.Family(name, kind, help)
	m.Sample("", "", value)
}

// End ends the page.
func (m *Metrics) End() []byte {
	if m.Open {
		m.text("# EOF\n")
	}
	return m.Body
}

//go:noinline
func (m *Metrics) text(parts ...string) {
	for _, s := range parts {
		m.Body = append(m.Body, s...)
	}
}
