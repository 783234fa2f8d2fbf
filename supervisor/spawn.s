// This file is empty. It lets spawn.go declare functions without a body, which //go:linkname needs.
