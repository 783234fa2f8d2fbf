// Command app is what runs in the containers of the tests: servers and programs
// that end in every way, and the client that puts load on a service. As nginx
// it ends on SIGTERM as that does.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func run(argv []string) error {
	switch name := filepath.Base(argv[0]); name {
	case "nginx":
		return serve([]string{"-addr", ":80", "-quit"})
	case "docker-entrypoint.sh":
		if len(argv) < 2 {
			return fmt.Errorf("%s: no command", name)
		}
		path := "/usr/sbin/" + argv[1]
		return fmt.Errorf("execve %s: %w", path, syscall.Exec(path, argv[1:], os.Environ()))
	}
	if len(argv) < 2 {
		return fmt.Errorf("usage: app serve|proxy|load|exit|signal|eat|fill|ignore|migrate [arguments]")
	}
	args := argv[2:]
	switch argv[1] {
	case "serve":
		return serve(args)
	case "proxy":
		return proxy(args)
	case "load":
		return load(args)
	case "migrate":
		fmt.Println("migrated")
		return nil
	}
	return end(argv[1], args)
}
