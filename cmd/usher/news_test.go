package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Every change of the app's health is a line in the log, and so is an app that does not become ready in the time that its checks allow for.
func TestHealthIsNews(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		dir := t.TempDir()
		ready, live := filepath.Join(dir, "ready"), filepath.Join(dir, "live")
		touch(t, live)
		u := start(t, b, fast("--ready-check", "file:"+ready, "--live-check", "file:"+live, "--", "sh", "-c", app, "0")...)
		u.logged("usher: not ready yet after ")
		touch(t, ready)
		u.logged("usher: ready after ")
		os.Remove(ready)
		u.logged("usher: not ready: ready-1: no such file or directory (")
		os.Remove(live)
		u.logged("usher: unhealthy: live-1: no such file or directory (")
		touch(t, live)
		u.logged("usher: live again after ")
		touch(t, ready)
		u.logged("usher: ready again after ")
		u.signal(unix.SIGTERM)
		u.want(42)
		news := regexp.MustCompile(`(?m)^usher: (not ready yet|ready after|not ready:|ready again|unhealthy|live again)`).FindAllString(u.stderr.String(), -1)
		if len(news) != 6 {
			t.Errorf("%d lines of news: %s", len(news), &u.stderr)
		}
	})
}

// Without checks there is no news, and -q has none.
func TestNoNews(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	touch(t, ready)
	for _, args := range [][]string{
		{"--health-addr", "127.0.0.1:0", "--", "sh", "-c", "sleep 0.3"},
		{"--live-check", "file:" + ready, "--", "sh", "-c", "sleep 0.3"},
		{"-q", "--ready-check", "file:" + ready, "--", "sh", "-c", "sleep 0.3"},
	} {
		u := start(t, &made, args...)
		u.want(0)
		if out := u.stderr.String(); out != "" {
			t.Errorf("%s: %s", strings.Join(args, " "), out)
		}
	}
}
