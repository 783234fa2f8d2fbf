package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// halfDNS is a name server at an address of the loopback network: dnsmasq, behind a relay that drops what asks for addresses of one kind.
func halfDNS(t *testing.T, address string, dropped byte, records ...string) {
	t.Helper()
	path, err := exec.LookPath("dnsmasq")
	if err != nil {
		t.Skip("dnsmasq is not installed (apt-get install dnsmasq-base)")
	}
	relay, err := net.ListenPacket("udp", address+":53")
	if err != nil {
		t.Skipf("needs port 53: %v", err)
	}
	t.Cleanup(func() { relay.Close() })
	server := freePort(t)
	_, port, _ := net.SplitHostPort(server)
	cmd := exec.Command(path, append([]string{"--keep-in-foreground", "--port=" + port, "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts",
		"--conf-file=/dev/null", "--user=", "--pid-file=", "--local=/example/"}, records...)...)
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	eventually(t, func() error { // it listens at both
		c, err := net.Dial("tcp", server)
		if err != nil {
			return fmt.Errorf("dnsmasq: %w: %s", err, &out)
		}
		return c.Close()
	})
	go func() {
		for b := make([]byte, 4096); ; {
			n, from, err := relay.ReadFrom(b)
			if err != nil {
				return
			}
			end := 12
			for end < n && b[end] != 0 {
				end += int(b[end]) + 1
			}
			if end+2 < n && b[end+2] == dropped {
				continue
			}
			query := string(b[:n])
			go func() {
				c, err := net.Dial("udp", server)
				if err != nil {
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				fmt.Fprint(c, query)
				answer := make([]byte, 4096)
				if n, err := c.Read(answer); err == nil {
					relay.WriteTo(answer[:n], from)
				}
			}()
		}
	}()
}

// A name server that never answers for one kind of address does not make a check fail that has the other. 5a6c03f's, and its usher-check's, failed
// each time.
func TestNameIsHalfAnswered(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, for port 53")
	}
	const a, aaaa = 1, 28
	for i, tt := range []struct {
		name    string
		dropped byte
		listen  string
		search  string
	}{{"no AAAA", aaaa, "127.0.0.1:0", "search ns.svc.example svc.example\noptions ndots:5\n"}, {"no A", a, "[::1]:0", ""}} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", tt.listen)
			if err != nil {
				t.Skip(err)
			}
			defer l.Close()
			go serveHTTP(l)
			server := fmt.Sprintf("127.0.0.%d", 153+i)
			halfDNS(t, server, tt.dropped, "--address=/here.example/127.0.0.1", "--address=/here.example/::1")
			conf := filepath.Join(t.TempDir(), "resolv.conf")
			if err := os.WriteFile(conf, []byte("nameserver "+server+"\n"+tt.search), 0o644); err != nil {
				t.Fatal(err)
			}
			mounted := "mount --bind " + conf + " /etc/resolv.conf && exec \"$@\""
			_, port, _ := net.SplitHostPort(l.Addr().String())
			spec, health := "http://here.example:"+port+"/", freePort(t)
			for _, checker := range checkers() {
				u := command(t, &build{path: checker[0]}, append(checker[1:], spec)...)
				for i, arg := range u.cmd.Args {
					if arg == "300ms" {
						u.cmd.Args[i] = "10s"
					}
				}
				if u.inShell(mounted).begin().wait() != 0 {
					t.Errorf("%q: %s%s", checker, &u.stdout, &u.stderr)
				}
			}
			u := command(t, &made, "--health-addr", health, "--ready-check", spec, "--ready-timeout", "10s", "--", "sleep", "1000")
			u.inShell(mounted).begin()
			wantBody(t, "http://"+health+"/readyz?verbose", 200, "[+]ready-1 ok\n")
			u.signal(unix.SIGTERM)
			u.want(143)
		})
	}
}

// serveHTTP answers whatever comes.
func serveHTTP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			c.Read(make([]byte, 4096))
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}()
	}
}
