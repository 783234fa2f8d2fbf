//go:build usher_entry_unverified

package entry

// Unverified is true: verified.go.
var Unverified = true
