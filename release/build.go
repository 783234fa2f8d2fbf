package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// target is an architecture, with the names that others have for it.
type target struct {
	name          string // in names of files: what Docker has as $TARGETARCH$TARGETVARIANT
	goarch, goarm string
	deb, rpm, apk string
	platform      v1.Platform
}

// Debian's armhf is ARMv7; Raspberry Pi OS has the same name for ARMv6.
var allTargets = []target{
	{name: "amd64", goarch: "amd64", deb: "amd64", rpm: "x86_64", apk: "x86_64"},
	{name: "arm64", goarch: "arm64", deb: "arm64", rpm: "aarch64", apk: "aarch64"},
	{name: "armv7", goarch: "arm", goarm: "7", deb: "armhf", rpm: "armv7hl", apk: "armv7"},
	{name: "armv6", goarch: "arm", goarm: "6", deb: "armhf", rpm: "armv6hl", apk: "armhf"},
	{name: "386", goarch: "386", deb: "i386", rpm: "i386", apk: "x86"},
	{name: "riscv64", goarch: "riscv64", deb: "riscv64", rpm: "riscv64", apk: "riscv64"},
	{name: "ppc64le", goarch: "ppc64le", deb: "ppc64el", rpm: "ppc64le", apk: "ppc64le"},
	{name: "s390x", goarch: "s390x", deb: "s390x", rpm: "s390x", apk: "s390x"},
	{name: "loong64", goarch: "loong64", deb: "loong64", rpm: "loongarch64", apk: "loongarch64"},
}

// targetsOf returns those with these names, or all.
func targetsOf(names []string) ([]target, error) {
	var chosen []target
	for _, t := range allTargets {
		if t.platform = (v1.Platform{OS: "linux", Architecture: t.goarch}); t.goarm != "" {
			t.platform.Variant = "v" + t.goarm
		}
		i := slices.Index(names, t.name)
		if i >= 0 || names == nil {
			chosen = append(chosen, t)
		}
		if i >= 0 {
			names = slices.Delete(slices.Clone(names), i, i+1)
		}
	}
	if len(names) > 0 {
		return nil, fmt.Errorf("architecture %q is not known", names)
	}
	return chosen, nil
}

// programs are what is built.
var programs = []string{"usher", "usher-check"}

// binary is the name of a program's file in dist.
func (t target) binary(program string) string { return program + "-linux-" + t.name }

// build makes the binaries as `make build` does, with nothing of the caller's
// settings in them.
func (r *release) build() error {
	for _, t := range r.targets {
		fmt.Println("building for", t.name)
		cmd := exec.Command("make", "-s", "-C", r.root, "build",
			"GO=go", "GOARCH="+t.goarch, "VERSION="+r.version, "RELEASE=1",
			"OUT="+filepath.Join(r.dist, t.binary("usher")), "CHECK="+filepath.Join(r.dist, t.binary("usher-check")))
		cmd.Env = append(slices.DeleteFunc(os.Environ(), callersOwn),
			"GOTOOLCHAIN="+r.goName, "GOFLAGS=-buildvcs=false", "GOWORK=off", "GOFIPS140=off",
			"GOAMD64=v1", "GOARM64=v8.0", "GOARM="+t.goarm,
			"GO386=sse2", "GOPPC64=power8", "GORISCV64=rva20u64", "LC_ALL=C")
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "is built without") {
			return fmt.Errorf("cannot build for %s: %w: %s", t.name, err, out)
		}
		for _, program := range programs {
			if err := os.Chmod(filepath.Join(r.dist, t.binary(program)), 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// callersOwn is true for what make hands down and for what changes what Go
// builds. What says where modules are and come from is left.
func callersOwn(entry string) bool {
	name, _, _ := strings.Cut(entry, "=")
	return slices.Contains([]string{
		"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MAKEFILES", // make's
		"TAGS", "LDFLAGS", "GCFLAGS", "PKG", "NAMED", "IS_RELEASE", // the Makefile's
		"GODEBUG", "GOEXPERIMENT", "GOARCH", "GOOS", "CGO_ENABLED", "GOFLAGS",
	}, name)
}
