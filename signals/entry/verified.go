//go:build !usher_entry_unverified

package entry

// Unverified says that the pins were left out of this program (pin_*.go), which then is for verify_test.go to look into: it refuses to run.
var Unverified = false
