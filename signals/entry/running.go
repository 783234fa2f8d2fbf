package entry

// Running is set before the app is started. From then on, package fatal prints
// the Go runtime's traces unchanged: a bug in usher that ends the app must be
// found.
var Running bool
