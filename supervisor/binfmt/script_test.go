package binfmt

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
		{"#!/" + strings.Repeat("x", HeadSize-4) + "\n", "/" + strings.Repeat("x", HeadSize-4), "", true},
		{"#!/" + strings.Repeat("x", HeadSize-3), "/" + strings.Repeat("x", HeadSize-3), "", false},
		{"#!/x " + strings.Repeat("x", HeadSize-5), "/x", strings.Repeat("x", HeadSize-5), true},
	} {
		interpreter, argument, whole := ReadScript([]byte(c.head))
		if interpreter != c.interpreter || argument != c.argument || whole != c.whole {
			t.Errorf("%.40q: %.40q %.40q %v", c.head, interpreter, argument, whole)
		}
	}
}

func FuzzScript(f *testing.F) {
	f.Add([]byte("#!/usr/bin/env python3 -u\n"))
	f.Add([]byte("#! \t\x00\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		if len(head) > HeadSize || !IsScript(head) {
			return
		}
		interpreter, argument, _ := ReadScript(head)
		if !bytes.Contains(head, []byte(interpreter)) || !bytes.Contains(head, []byte(argument)) ||
			strings.ContainsAny(interpreter, " \t\n\x00") || strings.ContainsAny(argument, "\n\x00") ||
			argument != strings.Trim(argument, " \t") ||
			interpreter == "" && argument != "" && !bytes.Contains(head, []byte{0}) {
			t.Fatalf("%q: %q %q", head, interpreter, argument)
		}
	})
}
