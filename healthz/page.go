package healthz

// Page is an endpoint that appends a body of its own, and names its content
// type. It never blocks.
type Page func(b []byte, wants Wants) (body []byte, contentType string)

// Wants is what the client asked a page for.
type Wants struct {
	OpenMetrics bool // Accept names application/openmetrics-text
	JSON        bool // the query has format=json
}

// Content types of pages.
const (
	Plain       = "text/plain; charset=utf-8"
	JSON        = "application/json"
	prometheus  = "text/plain; version=0.0.4; charset=utf-8"
	openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"
)
