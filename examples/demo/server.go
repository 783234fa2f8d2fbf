package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// serverKind is a third-party server for the demo.
type serverKind struct {
	name     string
	path     string
	exitCode int  // after SIGTERM, as a shell or an init reports it
	asPID1   bool // SIGTERM ends it as PID 1, for which the kernel drops signals without a handler
	// prepare writes the server's files to dir. It returns the command, and the
	// paths of the pages.
	prepare func(k *serverKind, dir, addr string) (argv, pages []string, err error)
}

func nginxKind(path string) *serverKind {
	return &serverKind{name: "nginx", path: path, asPID1: true, prepare: prepareNginx}
}

func pythonKind(path string) *serverKind {
	return &serverKind{name: "python3", path: path, exitCode: 128 + 15, prepare: preparePython}
}

var errNoServer = errors.New("there is no server here to put usher in front of; " +
	"install nginx (Debian, Ubuntu: `apt-get install nginx-light`) or python3")

// findServer finds a server that dies at once on SIGTERM. If want is not empty,
// it has to be that server.
func findServer(ctx context.Context, s *screen, want string) (*serverKind, error) {
	switch want {
	case "", "nginx", "python3":
	default:
		return nil, fmt.Errorf("cannot use -server %q: want nginx or python3", want)
	}
	if want != "python3" {
		if path := lookNginx(); path != "" {
			return nginxKind(path), nil
		}
		if canInstall() {
			s.print("There is no nginx here. Installing nginx-light with apt-get, which can take half a minute…")
			err := install(ctx, "nginx-light")
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if path := lookNginx(); path != "" {
				return nginxKind(path), nil
			}
			s.print("That did not work (%v).", err)
		}
	}
	if want != "nginx" {
		if path := lookPython(ctx); path != "" {
			if want == "" {
				s.print("There is no nginx here: the demo uses python3's http.server.")
			}
			return pythonKind(path), nil
		}
	}
	return nil, errNoServer
}

// lookNginx also looks in the sbin directories, which are not in the PATH of
// Debian's users.
func lookNginx() string {
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// lookPython runs python3 --version, because a version manager has a shim even
// without a python3.
func lookPython(ctx context.Context) string {
	path, err := exec.LookPath("python3")
	if err != nil || exec.CommandContext(ctx, path, "--version").Run() != nil {
		return ""
	}
	return path
}

// canInstall returns true in a container or a chroot only. Where systemd runs,
// the package would start a web server on port 80 of the user's machine, and
// enable it for good.
func canInstall() bool {
	if _, err := os.Stat("/run/systemd/system"); err == nil || os.Geteuid() != 0 {
		return false
	}
	_, err := exec.LookPath("apt-get")
	return err == nil
}

func install(ctx context.Context, pkg string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"apt-get", "-qq", "update"},
		{"apt-get", "-qq", "install", "--yes", "--no-install-recommends", pkg},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		// SIGINT, not SIGKILL, so that dpkg does not leave half a package.
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, lastLine(out))
		}
	}
	return nil
}

func lastLine(out []byte) string {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return string(lines[len(lines)-1])
}

// The download is slow, so that some downloads are always in progress: a fast
// shutdown cuts them.
const (
	pageSize     = 2 << 10
	downloadSize = 256 << 10
	slowSize     = 18 << 20 // more than the buffers on the way hold
)

const nginxConf = `daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path tmp;
    proxy_temp_path tmp;
    fastcgi_temp_path tmp;
    uwsgi_temp_path tmp;
    scgi_temp_path tmp;
    server {
        listen %s;
        root html;
        location = /download { limit_rate 512k; sendfile_max_chunk 64k; }
    }
}
`

// prepareNginx names no user in the configuration: only root may, and for root
// the distribution's default is right.
func prepareNginx(k *serverKind, dir, addr string) (argv, pages []string, err error) {
	if pages, err = writePages(filepath.Join(dir, "html")); err != nil {
		return nil, nil, err
	}
	err = os.WriteFile(filepath.Join(dir, "nginx.conf"), fmt.Appendf(nil, nginxConf, addr), 0o644)
	return []string{k.path, "-p", dir, "-c", "nginx.conf"}, pages, err
}

func preparePython(k *serverKind, dir, addr string) (argv, pages []string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, err
	}
	pages, err = writePages(dir)
	return []string{k.path, "-m", "http.server", "--bind", host, "--directory", dir, port}, pages, err
}

func writePages(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for name, size := range map[string]int{"index.html": pageSize, "download": downloadSize} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("usher\n"), size/6), 0o644); err != nil {
			return nil, err
		}
	}
	f, err := os.Create(filepath.Join(dir, "slow"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return []string{"/", "/download"}, f.Truncate(slowSize)
}

// nextPort starts below the range from which the kernel takes clients' ports,
// so that they do not collide. A random start keeps two demos apart.
var nextPort = 15000 + rand.IntN(15000)

// freeAddr returns an address on loopback that no process listens on, a
// different one each time.
func freeAddr() (string, error) {
	for range 1000 {
		nextPort++
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", nextPort)); err == nil {
			defer l.Close()
			return l.Addr().String(), nil
		}
	}
	return "", fmt.Errorf("cannot find a free port on 127.0.0.1 up to %d", nextPort)
}
