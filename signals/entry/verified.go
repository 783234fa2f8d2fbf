//go:build !usher_entry_unverified

package entry

// Unverified reports that this program was built without the pins (pin_*.go),
// for verify_test.go to examine. It refuses to run.
var Unverified = false
