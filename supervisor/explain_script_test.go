package supervisor

import (
	"bytes"
	"strings"
	"testing"
)

func TestReadScript(t *testing.T) {
	for _, c := range []struct {
		head, interpreter, argument string
		whole                       bool
	}{
		{"#!/bin/sh\n", "/bin/sh", "", true},
		{"#!/bin/sh", "/bin/sh", "", true},
		{"#! \t/bin/sh \t\nx", "/bin/sh", "", true},
		{"#!/usr/bin/env  python3 -u \nx", "/usr/bin/env", "python3 -u", true},
		{"#!/bin/sh\r\n", "/bin/sh\r", "", true},
		{"#!/bin/sh -e\r\n", "/bin/sh", "-e\r", true},
		{"#!", "", "", true},
		{"#!\n/bin/sh", "", "", true},
		{"#! \t\n", "", "", true},
		{"#!/bin/sh\x00x\n", "/bin/sh", "", true},
		{"#!/bin/sh -a\x00b\n", "/bin/sh", "-a", true},
		{"#!/" + strings.Repeat("x", scriptHead-4) + "\n", "/" + strings.Repeat("x", scriptHead-4), "", true},
		{"#!/" + strings.Repeat("x", scriptHead-3), "/" + strings.Repeat("x", scriptHead-3), "", false},
		{"#!/x " + strings.Repeat("x", scriptHead-5), "/x", strings.Repeat("x", scriptHead-5), true},
	} {
		interpreter, argument, whole := readScript([]byte(c.head))
		if interpreter != c.interpreter || argument != c.argument || whole != c.whole {
			t.Errorf("%.40q: %.40q %.40q %v", c.head, interpreter, argument, whole)
		}
	}
}

func FuzzScript(f *testing.F) {
	f.Add([]byte("#!/usr/bin/env python3 -u\n"))
	f.Add([]byte("#! \t\x00\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		if len(head) > scriptHead || !isScript(head) {
			return
		}
		interpreter, argument, _ := readScript(head)
		if !bytes.Contains(head, []byte(interpreter)) || !bytes.Contains(head, []byte(argument)) || strings.ContainsAny(interpreter, " \t\n\x00") ||
			strings.ContainsAny(argument, "\n\x00") || argument != strings.Trim(argument, " \t") || interpreter == "" && strings.Trim(argument, "\x00") != "" && head[2] != 0 && !bytes.ContainsAny(head, "\x00") {
			t.Fatalf("%q: %q %q", head, interpreter, argument)
		}
	})
}
