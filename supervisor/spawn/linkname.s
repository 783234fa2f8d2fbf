// This file is empty. The compiler accepts functions without a body (beforeFork)
// only in a package with assembly.
