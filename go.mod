module usher

go 1.26.0

require (
	github.com/hashicorp/go-multierror v1.1.1
	github.com/spf13/pflag v1.0.10
	golang.org/x/sys v0.49.0
)

require github.com/hashicorp/errwrap v1.0.0 // indirect
