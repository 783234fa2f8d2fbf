package manual_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"usher/internal/manual"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.1")
	page := `.Sh DESCRIPTION
.Ss Flags
.Bl -tag -width Ds
.It Fl r , -rewrite Ar from:to
Send it.
.It Fl -a Ar n
.It Fl -b Ar n
Both.
The default is
.Li 2s .
.El
Not an item's.
.Sh FILES
.Bl -tag -width Ds
.It Pa /a , /b
.El
`
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := manual.Read(path)
	if err != nil || len(p.Items) != 4 {
		t.Fatalf("%+v, %v", p.Items, err)
	}
	first, a, b, file := p.Items[0], p.Items[1], p.Items[2], p.Items[3]
	if !slices.Equal(first.Args["Fl"], []string{"r", "-rewrite"}) || !slices.Equal(first.Args["Ar"], []string{"from:to"}) || first.Text != "Send it.\n" ||
		first.Section != "DESCRIPTION/Flags" || first.Word != "r" {
		t.Errorf("%+v", first)
	}
	if _, ok := first.Default(); ok {
		t.Error("a default where there is none")
	}
	for _, i := range []manual.Item{a, b} {
		if d, ok := i.Default(); d != "2s" || !ok || i.Text != "Both.\nThe default is\n.Li 2s .\n" {
			t.Errorf("%+v", i)
		}
	}
	if file.Section != "FILES" || !slices.Equal(file.Args["Pa"], []string{"/a", "/b"}) {
		t.Errorf("%+v", file)
	}
	if _, err := manual.Read(path + ".not"); err == nil {
		t.Error("a page that is not there was read")
	}
}
