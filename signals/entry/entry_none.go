//go:build !(usher_entry && (amd64 || arm64))

package entry

const missingEntry = " usher_entry"
