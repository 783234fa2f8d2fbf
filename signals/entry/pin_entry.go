//go:build usher_entry && (amd64 || arm64) && !(go1.26 && !go1.27) && !usher_entry_unverified

package entry

// This does not compile, on purpose. The entry point depends on the internals
// of the Go runtime, and is verified for one release after the other: VERIFY.md
// says what, and how. `make build` leaves it out for any other release.
var _ int = "the tag usher_entry is verified for Go 1.26 only: see signals/entry/VERIFY.md, or build without the tag"
