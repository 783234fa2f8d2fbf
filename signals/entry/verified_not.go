//go:build usher_entry_unverified

package entry

// Unverified is described in verified.go.
var Unverified = true
