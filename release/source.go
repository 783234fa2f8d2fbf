package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// source is what is built.
type source struct {
	root     string
	version  string    // v0.1.0
	revision string    // the commit
	time     time.Time // the commit's; the time of all files
	goName   string    // the Go release that go.mod pins, such as go1.26.8
}

// number is the version as packages and image tags have it.
func (s source) number() string { return strings.TrimPrefix(s.version, "v") }

// semantic is Semantic Versioning's form, without build metadata, which is no
// part of a tag.
var semantic = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// readSource reads commit and time from git, or, for a source without it, from
// REVISION and SOURCE_DATE_EPOCH. Its error has all mistakes.
func readSource(root, version string) (s source, _ error) {
	var errs []error
	if !semantic.MatchString(version) {
		errs = append(errs, fmt.Errorf("version %q: want VERSION=v0.1.0, or v0.1.0-rc.1", version))
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return s, err
	}
	s = source{root: root, version: version}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return s, errors.Join(append(errs, err)...)
	}
	if m := regexp.MustCompile(`(?m)^toolchain (go\S+)$`).FindSubmatch(mod); m != nil {
		s.goName = string(m[1])
	} else {
		errs = append(errs, errors.New("go.mod has no toolchain line: a release is built with one Go release"))
	}
	epoch, revision := os.Getenv("SOURCE_DATE_EPOCH"), os.Getenv("REVISION")
	switch {
	case epoch != "" && revision != "":
	case epoch != "" || revision != "":
		errs = append(errs, errors.New("SOURCE_DATE_EPOCH and REVISION: both, or neither where there is git"))
	default:
		if epoch, revision, err = fromGit(root, version); err != nil {
			errs = append(errs, err)
		}
	}
	s.revision = revision
	if epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil || seconds < 0 {
			errs = append(errs, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", epoch))
		}
		s.time = time.Unix(seconds, 0).UTC()
	}
	return s, errors.Join(errs...)
}

// fromGit reads time and name of the commit, which has to be all that is built,
// and the tag's if there is the tag.
func fromGit(root, version string) (epoch, revision string, err error) {
	git := func(args ...string) (string, error) {
		cmd := exec.Command("git", append([]string{"-C", root}, args...)...)
		out, err := cmd.Output()
		if exit, ok := err.(*exec.ExitError); ok {
			err = fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(string(exit.Stderr)))
		}
		return strings.TrimSpace(string(out)), err
	}
	head, err := git("log", "-1", "--format=%ct %H")
	if err != nil {
		return "", "", fmt.Errorf("%w: without git, set SOURCE_DATE_EPOCH and REVISION", err)
	}
	epoch, revision, _ = strings.Cut(head, " ")
	changed, err := git("status", "--porcelain")
	if err != nil {
		return "", "", err
	}
	if changed != "" {
		return "", "", fmt.Errorf("there are changes that no commit has, nobody could build this again: %q", changed)
	}
	tagged, err := git("rev-parse", "--verify", "--quiet", "refs/tags/"+version+"^{commit}")
	if err == nil && tagged != revision {
		return "", "", fmt.Errorf("the tag %s is another commit: %s", version, tagged)
	}
	return epoch, revision, nil
}
