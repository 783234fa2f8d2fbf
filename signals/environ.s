// This file is empty. It lets environ.go declare a function without a body, which //go:linkname needs.
