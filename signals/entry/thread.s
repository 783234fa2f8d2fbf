// This file is empty. It lets thread_linked.go declare functions without a
// body, which //go:linkname needs.
