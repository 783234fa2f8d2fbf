// Usher-check runs one check and reports the result by its exit code. It works
// as a HEALTHCHECK or an exec probe, and usher runs it for https and grpc
// checks. It has what PID 1 must not carry, TLS and HTTP/2, for the
// milliseconds of a check.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/pflag"

	"usher/healthz/check"
	"usher/internal/contexts"
	"usher/internal/file"
	"usher/internal/printable"
)

const usage = `usher-check runs a check and exits with 0 if it holds, or with 1 and the reason
on stdout.

Usage:
  usher-check [flags] CHECK

CHECK:
  http://host:port/path         GET: 200-399 holds. Redirects on the same host
  https://host:port/path        are followed; one to another host holds, with
                                a warning
  grpc://host:port/service      grpc.health.v1.Health/Check says SERVING; of
  grpcs://host:port/service     the whole server without a service
  tcp://host:port, unix:///path can be connected to
  exec:command args...          exits with 0
  file:/path                    is there

Flags:
      --timeout DURATION            [1s]
      --check-header 'NAME: VALUE'  goes with http and https (repeatable)
      --verify                      verify the server's certificate; kubelet's
                                    probes do not
      --ca FILE                     verify it against these authorities (PEM)
                                    instead of the system's
      --version
  -h, --help

Exit codes: 0 it holds, 1 it does not, 125 usher-check was called wrongly.

Example:
  usher-check --timeout 2s grpc://localhost:9090/my.Service
`

// The linker sets both: version for make build, unreleased for make release.
var (
	version    = "devel"
	unreleased = ", not a release ("
)

const (
	holds   = 0
	fails   = 1
	misused = 125
)

// options is the parsed command line.
type options struct {
	check         *check.Check
	headers       []check.Header
	timeout       time.Duration
	verify        bool
	ca            string
	help, version bool
}

func main() {
	check.Version = version
	o, err := parse(os.Args[1:])
	switch {
	case o.help:
		fmt.Print(usage)
	case o.version:
		fmt.Printf("usher-check %s%s%s)\n", version, unreleased, runtime.Version())
	case err != nil:
		var mistakes *multierror.Error
		errors.As(err, &mistakes)
		for _, err := range mistakes.Errors {
			fmt.Fprintln(os.Stderr, "usher-check: error:", oneLine(err.Error()))
		}
		fmt.Fprintln(os.Stderr, "usher-check: hint: usher-check --help lists the checks and the flags")
		os.Exit(misused)
	default:
		os.Exit(run(o))
	}
}

// headerFlag is --check-header.
type headerFlag struct{ all *[]check.Header }

func (f headerFlag) String() string { return "" }
func (f headerFlag) Type() string   { return "header" }
func (f headerFlag) Set(s string) error {
	h, err := check.ParseHeader(s)
	*f.all = append(*f.all, h)
	return err
}

// flags returns the flags. They set o.
func (o *options) flags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("usher-check", pflag.ContinueOnError)
	fs.SetInterspersed(false)
	fs.Usage = func() {}
	fs.DurationVar(&o.timeout, "timeout", time.Second, "")
	fs.Var(headerFlag{&o.headers}, "check-header", "")
	fs.BoolVar(&o.verify, "verify", false, "")
	fs.StringVar(&o.ca, "ca", "", "")
	fs.BoolVar(&o.version, "version", false, "")
	fs.BoolVarP(&o.help, "help", "h", false, "")
	return fs
}

// parse reads the arguments. The error is a *multierror.Error with every
// mistake.
func parse(args []string) (o options, _ error) {
	fs := o.flags()
	var errs *multierror.Error
	if err := fs.Parse(args); err != nil {
		errs = multierror.Append(errs, err)
	}
	if o.help || o.version {
		return o, nil
	}
	if o.timeout <= 0 {
		errs = multierror.Append(errs, fmt.Errorf("--timeout %v: must be more than 0", o.timeout))
	}
	switch fs.NArg() {
	case 0:
		errs = multierror.Append(errs, errors.New("no check given"))
	case 1:
		var err error
		if o.check, err = check.Parse(fs.Arg(0)); err != nil {
			errs = multierror.Append(errs, err)
		}
	default:
		errs = multierror.Append(errs, fmt.Errorf("more than one check: %q", fs.Args()))
	}
	return o, errs.ErrorOrNil()
}

// run runs the check and prints its failure, or a warning, as one line.
func run(o options) int {
	ctx, cancel := contexts.WithTimeout(context.Background(), o.timeout)
	defer cancel()
	warning, err := within(ctx, o)
	switch {
	case errors.Is(err, file.ErrNoAnswer):
		err = fmt.Errorf("timeout after %v: %w", o.timeout, err)
	case errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err):
		err = fmt.Errorf("timeout after %v", o.timeout)
	}
	switch {
	case err != nil:
		fmt.Println(oneLine(err.Error()))
		return fails
	case warning != "":
		fmt.Println("warning: " + oneLine(warning))
	}
	return holds
}

// lateTime is how long after its timeout a check may take to say what it was
// waiting for, or to return its command's last line.
const lateTime = 200 * time.Millisecond

// outcome is the result of a check.
type outcome struct {
	warning string
	err     error
}

// within runs the check, and returns at the end of ctx even if the check does
// not, for example because the file of --ca is on a dead file system.
func within(ctx context.Context, o options) (warning string, err error) {
	ended := make(chan outcome, 1)
	go func() {
		warning, err := ask(ctx, o)
		ended <- outcome{warning, err}
	}()
	late := make(chan struct{})
	context.AfterFunc(ctx, func() {
		time.Sleep(lateTime)
		close(late)
	})
	select {
	case o := <-ended:
		return o.warning, o.err
	case <-late:
		return "", ctx.Err()
	}
}

// ask runs the check in the way of its kind.
func ask(ctx context.Context, o options) (warning string, err error) {
	scheme, _, _ := strings.Cut(o.check.String(), ":")
	switch scheme {
	case "http", "https", "grpc", "grpcs":
	default:
		o.check.SetExec(execute)
		return "", o.check.Run(ctx)
	}
	tls, err := tlsConfig(o)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(scheme, "grpc") {
		return "", plain(serving(ctx, o.check, scheme == "grpcs", tls))
	}
	warning, err = get(ctx, o.check, o.headers, tls)
	return warning, plain(err)
}

func oneLine(s string) string { return printable.Line(strings.Join(strings.Fields(s), " ")) }
