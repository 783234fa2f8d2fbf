//go:build usher_early && (amd64 || arm64) && !(usher_threads && go1.26 && !go1.27) && !usher_entry_unverified

package entry

// This does not compile, on purpose: see pin_entry.go.
var _ int = "the tag usher_early takes usher_threads, and is verified for Go 1.26 only:" +
	" see signals/entry/VERIFY.md, or build without the tag"
