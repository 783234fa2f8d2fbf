// Bench measures usher, tini, dumb-init, catatonit and no init at all, each as
// PID 1 of a PID namespace of its own. It measures them in turns, so that a
// machine that slows down slows down all of them. `make bench` runs it. It
// needs root, and gcc for app/app.c.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// bench holds the inits to measure, and the values found.
type bench struct {
	app    string
	peers  []peer
	values map[string]map[string][]float64 // by row and init; one value per round
	rows   []string                        // rows of the table, in order
}

// base is the init that others are compared with.
const base = "tini"

func main() {
	usher := flag.String("usher", "bin/usher", "the usher to measure")
	out := flag.String("json", "", "write all values to this file, as JSON")
	only := flag.String("only", "", "measure only what matches")
	factor := flag.Float64("rounds", 1, "factor for the number of rounds")
	serve := flag.String("serve", "", "instead, serve usher's endpoint with net/http at this address")
	size := flag.String("size", "", "instead, print the size of each package in this unstripped binary")
	flag.Parse()
	err := error(nil)
	switch {
	case *size != "":
		err = printSizes(*size)
	case *serve != "":
		err = serveNetHTTP(*serve)
	default:
		err = measureAll(*usher, *out, regexp.MustCompile(*only), *factor)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measureAll(usher, out string, only *regexp.Regexp, factor float64) error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{app: filepath.Join(dir, "app"), values: map[string]map[string][]float64{}}
	gcc := exec.Command("gcc", "-O2", "-static", "-nostartfiles", "-fno-stack-protector",
		"-o", b.app, "bench/app/app.c")
	if text, err := gcc.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w\n%s", err, text)
	}
	// Measure a copy, as in an image. The pages of a file that the linker wrote
	// through mmap(2) are single in the page cache, and take longer to unmap.
	text, err := os.ReadFile(usher)
	if err != nil {
		return err
	}
	usher = filepath.Join(dir, "usher")
	if err := os.WriteFile(usher, text, 0o755); err != nil {
		return err
	}
	b.peers = []peer{{"usher", []string{usher, "--"}}}
	for _, name := range []string{base, "dumb-init", "catatonit"} {
		path, err := exec.LookPath(name)
		if err != nil {
			fmt.Printf("%s is not installed (apt-get install %s)\n", name, name)
			continue
		}
		b.peers = append(b.peers, peer{name, []string{path, "--"}})
	}
	b.peers = append(b.peers, peer{name: "none"})
	runtime.LockOSThread() // affinity belongs to the thread
	_ = unix.Setrlimit(unix.RLIMIT_SIGPENDING, &unix.Rlimit{Cur: 4 * queued, Max: 4 * queued})
	for _, m := range measures {
		if !only.MatchString(m.name) {
			continue
		}
		for range max(1, int(float64(m.rounds)*factor)) {
			for _, p := range b.peers {
				values, err := m.run(b, p)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", m.name, p.name, err)
				}
				b.add(p.name, values)
			}
		}
	}
	b.print()
	if only.MatchString("requests") {
		if err := b.requests(max(1, int(5*factor))); err != nil {
			return fmt.Errorf("requests: %w", err)
		}
	}
	if out == "" {
		return nil
	}
	text, err = json.MarshalIndent(b.values, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}

func (b *bench) add(name string, values map[string]float64) {
	var rows []string
	for row, v := range values {
		if b.values[row] == nil {
			b.values[row] = map[string][]float64{}
			rows = append(rows, row)
		}
		b.values[row][name] = append(b.values[row][name], v)
	}
	slices.SortFunc(rows, func(x, y string) int { return strings.Index(order, x) - strings.Index(order, y) })
	b.rows = append(b.rows, rows...)
}

// order lists the rows of the table.
const order = `start, µs exit, µs
	signal, one CPU, µs signal, two CPUs, µs signal after 25 ms idle, µs
	queued signals, of 10000 …with their value distinct signals, of 18
	processor time per orphan, µs
	wake-ups per second resident, kB …written to, kB threads binary, kB`

// print prints the medians. For the inits other than base it also prints the
// ratios to base, round by round: their median and quartiles.
func (b *bench) print() {
	fmt.Printf("%-30s", "")
	for _, p := range b.peers {
		fmt.Printf("%24s", p.name)
	}
	for _, row := range b.rows {
		fmt.Printf("\n%-30s", row)
		of := b.values[row]
		for _, p := range b.peers {
			fmt.Printf("%24s", cell(of[p.name], of[base], p.name == base))
		}
	}
	fmt.Println()
}

// cell returns a median and, for an init other than base, the ratio with its
// quartiles.
func cell(values, bases []float64, isBase bool) string {
	if len(values) == 0 {
		return "-"
	}
	text := fmt.Sprintf("%.4g", quantile(values, 0.5))
	var ratios []float64
	for i := range min(len(values), len(bases)) {
		if bases[i] > 0 {
			ratios = append(ratios, values[i]/bases[i])
		}
	}
	switch {
	case isBase || ratios == nil:
		return text
	case len(ratios) < 4:
		return fmt.Sprintf("%s  %.2f", text, quantile(ratios, 0.5))
	}
	return fmt.Sprintf("%s  %.2f (%.2f–%.2f)", text,
		quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75))
}

func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}
