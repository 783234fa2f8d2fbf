package dockerfiles

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"usher/internal/transcript"
)

// TestPages runs the commands of the README and the tutorial, and compares what they print. Containers, images and ports
// have names of this run, so that two runs at once, and whatever else runs on this machine, do not meet.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"README.md", "docs/tutorial.md"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			runPage(t, path)
		})
	}
}

var (
	web   = regexp.MustCompile(`\bweb\b`)
	ports = regexp.MustCompile(`(-p |localhost:)(8080|8086)`) // of this machine, not the container's
	looks = regexp.MustCompile(`^(curl|docker (exec|logs|inspect)) `)
)

func runPage(t *testing.T, path string) {
	page, err := os.ReadFile("../" + path)
	if err != nil {
		t.Fatal(err)
	}
	steps := transcript.Parse(string(page))
	if len(steps) < 5 {
		t.Fatalf("only %d commands", len(steps))
	}
	built := image(t, nginxImage)
	name := fmt.Sprintf("usher-test-%s-page-%d", thisRun, containers.Add(1))
	free := map[string]string{"8080": freePort(t), "8086": freePort(t)}
	shell, err := transcript.StartShell("..", os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, errOut, _, _ := dockerCode("logs", name)
			t.Logf("the log of %s:\n%s%s", name, out, errOut)
		}
		for _, remove := range []string{"docker rm -f -v " + name, "docker rmi " + name} {
			if out, err := shell.Run(remove + " 2>&1"); err != nil {
				t.Errorf("%s: %v: %s", remove, err, out)
			}
		}
		shell.Close()
	})
	for _, step := range steps {
		command := ports.ReplaceAllStringFunc(step.Command, func(s string) string {
			return strings.TrimRight(s, "0123456789") + free[s[len(s)-4:]]
		})
		switch {
		case command == "docker build -t web dockerfiles/nginx":
			command = "docker tag " + built + " " + name // it is the same, and built already
		case strings.HasPrefix(command, "docker run "):
			command = strings.Replace(command, "docker run ", "docker run --label "+label+"="+thisRun+" ", 1)
		}
		step.Command = web.ReplaceAllLiteralString(command, name)
		if err := shell.Try(step, looks.MatchString(step.Command)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
