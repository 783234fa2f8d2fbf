package entry

// Running is set before the app is started. From there on the Go runtime's traces are printed as they are (package fatal): a fault of usher's own that
// ends the app has to be found.
var Running bool
