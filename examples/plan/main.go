// Command plan draws pictures as SVG, which look right on a light page and on a
// dark one:
//
//	usher --plan --log-format json … | plan -command …   what a stop will do
//	plan -stop FILE                                            a stop that examples/demo has measured
//	plan -lifecycle                                            the life of an app behind usher
//
// `make pictures` makes those in docs/pictures.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"usher/examples/figures"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "plan: error:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("plan", flag.ContinueOnError)
	command := flags.String("command", "--plan", "usher's arguments, of which the plan on stdin is")
	stop := flags.String("stop", "", "draw the stop in this file, which `examples/demo -figures` has written")
	lifecycle := flags.Bool("lifecycle", false, "draw the life of an app behind usher")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text := ""
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%q: want flags only; a plan is read from stdin", flags.Args())
	case *stop != "" && *lifecycle:
		return errors.New("-stop and -lifecycle are two pictures")
	case *lifecycle:
		text = drawLifecycle()
	case *stop != "":
		f, err := os.Open(*stop)
		if err != nil {
			return err
		}
		defer f.Close()
		runs, err := figures.Read(f)
		if err != nil {
			return fmt.Errorf("%s: %w", *stop, err)
		}
		if text, err = drawStop(runs); err != nil {
			return fmt.Errorf("%s: %w", *stop, err)
		}
	default:
		plan, err := readPlan(in)
		if err != nil {
			return err
		}
		text = drawPlan(plan, *command)
	}
	_, err := io.WriteString(out, text)
	return err
}
