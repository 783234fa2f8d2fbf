package dockerfiles

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// compose is the command that runs Compose files: Compose v2, the plugin, or
// Debian 12's Compose v1.
var compose = sync.OnceValues(func() ([]string, error) {
	if _, err := docker("compose", "version"); err == nil {
		return []string{"docker", "compose"}, nil
	}
	if _, err := exec.LookPath("docker-compose"); err == nil {
		return []string{"docker-compose"}, nil
	}
	return nil, missingError{"no Compose: neither docker compose nor docker-compose (Debian: docker-compose)"}
})

// A project is a Compose file's containers.
type project struct {
	t       *testing.T
	name    string
	command []string
}

// TestCompose is examples/compose as its users run it: a server is restarted
// while a client asks, and no request fails. The control kills a server: the
// client has to notice.
func TestCompose(t *testing.T) {
	t.Parallel()
	need(t, engine())
	words, err := compose()
	need(t, err)
	need(t, debianBase())
	// A copy, since bin, which `make build` fills, is not the tests'.
	root := t.TempDir()
	for _, dir := range []string{"dockerfiles", "examples"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range [][]string{
		{"cp", "-p", "Dockerfile", filepath.Join(root, "dockerfiles")},
		{"cp", "-rp", "../examples/compose", filepath.Join(root, "examples")},
		{"make", "-C", "..", "build", "GOARCH=amd64", "OUT=" + filepath.Join(root, "bin/usher"),
			"CHECK=" + filepath.Join(root, "bin/usher-check")},
	} {
		if err := command(c[0], c[1:]...); err != nil {
			t.Fatal(err)
		}
	}

	p := &project{t: t, name: "usher-test-" + thisRun}
	p.command = append(slices.Clone(words), "-p", p.name, "-f", filepath.Join(root, "examples/compose/compose.yaml"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.run("logs", "--timestamps"))
		}
		p.run("down", "--timeout", "1", "--volumes", "--rmi", "local")
	})
	p.run("up", "-d", "--build")
	before := p.until("answers", func(answered, _ int) bool { return answered > 0 })
	p.run("restart", "web-a")
	p.until("answers after the restart", func(answered, _ int) bool { return answered > before+20 })
	if answered, failed := p.counts(); failed > 0 {
		t.Errorf("%d of %d requests failed", failed, answered+failed)
	}
	for _, line := range []string{"usher: traffic has been quiet for 3s", "usher: SIGQUIT sent to the app",
		"usher: Completed: exit code 0"} {
		if log := p.log("web-a"); !strings.Contains(log, line) {
			t.Errorf("no line %q in the server's log:\n%s", line, log)
		}
	}

	p.run("kill", "web-b") // which serves, whether or not web-a is back
	p.until("failures, once a server is killed", func(_, failed int) bool { return failed > 0 })
}

// run runs a Compose command, which has to work, and returns what it prints.
func (p *project) run(args ...string) string {
	p.t.Helper()
	words := slices.Concat(p.command, args)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("cannot run %q: %v\n%s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

// log is what a service has written so far. The engine is asked, which takes
// less time than Compose.
func (p *project) log(service string) string {
	p.t.Helper()
	container, err := docker("ps", "-aq", "--filter", "label=com.docker.compose.project="+p.name, "--filter",
		"label=com.docker.compose.service="+service)
	if err != nil {
		p.t.Fatal(err)
	}
	stdout, stderr, _, err := dockerCode("logs", container)
	if err != nil {
		p.t.Fatal(err)
	}
	return stdout + stderr
}

var counted = regexp.MustCompile(`(\d+) answered, (\d+) failed`)

// counts is what the client has said last.
func (p *project) counts() (answered, failed int) {
	p.t.Helper()
	if all := counted.FindAllStringSubmatch(p.log("client"), -1); len(all) > 0 {
		last := all[len(all)-1]
		answered, _ = strconv.Atoi(last[1])
		failed, _ = strconv.Atoi(last[2])
	}
	return answered, failed
}

// until waits for the client's counts, and returns how many were answered by
// then.
func (p *project) until(what string, ok func(answered, failed int) bool) (answered int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("the client counts %s", what), func() bool {
		var failed int
		answered, failed = p.counts()
		return ok(answered, failed)
	})
	return answered
}
