package explain

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"usher/supervisor/spawn"
)

// shellWords are words that only a shell knows.
const shellWords = " . : alias break case cd command continue eval exec exit export for function if local read " +
	"return set shift source times trap type ulimit umask unset until wait while { ( ! [[ "

// nameHint guesses from a name that was not found what the mistake is.
func (x *inquiry) nameHint(name string) string {
	if name == "" {
		return "is a variable empty in ENTRYPOINT, CMD or the pod's command?"
	}
	if i := strings.IndexAny(name, " \t\r\n"); i >= 0 {
		return "give command and arguments as separate words: [" + quote(name[:i]) + ", ...]"
	}
	if strings.Contains(name, "$") {
		return `variables need a shell: ["sh", "-c", "exec ..."]`
	}
	if name[0] == '-' {
		return "this looks like a flag: the command comes first, and usher's own flags before --"
	}
	if strings.Contains(shellWords, " "+name+" ") {
		return `only a shell knows this word: ["sh", "-c", "` + name + ` ..."]`
	}
	if hint := x.shellHint(name); hint != "" {
		return hint
	}
	if variable, _, ok := strings.Cut(name, "="); ok && !strings.Contains(variable, "/") {
		return "variables are set by ENV in a Dockerfile, env in a pod, or the command env"
	}
	if name = "./" + name; !x.missing(name) {
		return "the working directory has one: " + quote(name)
	}
	return ""
}

// shellHint returns a hint for an image without the shell in question, or
// without any.
func (x *inquiry) shellHint(name string) string {
	switch path.Base(name) {
	case "sh", "bash", "ash", "dash", "zsh":
		if x.missing("/bin/sh") {
			return `this image has no shell: give the command itself, ["app", "argument"]`
		}
		return "this image has /bin/sh"
	}
	return ""
}

// interpreterHint returns a hint for a missing #! interpreter.
func (x *inquiry) interpreterHint(name, argument string) string {
	base := path.Base(name)
	switch {
	case strings.HasSuffix(name, "\r"):
		return `the #! line ends in a carriage return (Windows line endings): sed -i 's/\r$//'; in git, eol=lf`
	case name[0] != '/':
		return "an interpreter is not looked up in PATH: #!/usr/bin/env " + base
	case argument != "" && !x.missing(name+" "+argument):
		return "the path of an interpreter ends at the first space"
	}
	if file := x.onPath(base); file != "" {
		return "there is " + quote(file)
	}
	return x.shellHint(name)
}

// loaderHint returns a hint for a missing ELF loader. It names the C library
// that the program was built for, and the one that the image has.
func (x *inquiry) loaderHint(loader string) string {
	built := ""
	switch base := path.Base(loader); {
	case strings.HasPrefix(loader, "/nix/"):
		built = "built for Nix: patchelf --set-interpreter, "
	case strings.HasPrefix(base, "ld-musl-"):
		built = "built for Alpine (musl), this image has no musl: "
	case !x.missing("/etc/alpine-release"):
		built = "built for glibc, this image is Alpine (musl): "
	case strings.HasPrefix(base, "ld-linux"):
		built = "built for glibc, this image has none: "
	}
	return built + "build it static (Go: CGO_ENABLED=0), or use another base image"
}

// dropHint returns a hint for a child that could not become the user of --user.
func dropHint(failed *spawn.DropError) string {
	own := spawn.OwnIdentity()
	switch {
	case failed.Step >= spawn.StepNoNewPrivs:
		return ""
	case failed.Errno == unix.EINVAL:
		return "this user namespace has no such number (/proc/self/uid_map, gid_map)"
	case failed.Errno != unix.EPERM:
		return ""
	case failed.Step == spawn.StepSetgroups && spawn.DeniesSetgroups():
		return "this user namespace denies setgroups (/proc/self/setgroups): " +
			"make it with newgidmap and a range in /etc/subgid, as rootless engines do"
	case own.UID == failed.User.UID && own.UID != 0:
		return "usher may not give up supplementary groups: " +
			"it needs the capability SETGID, or --user without :GROUP, which keeps those that were added"
	}
	return "for --user, usher itself has to be root, with the capabilities SETUID and SETGID"
}
