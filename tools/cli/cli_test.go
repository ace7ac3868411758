package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A glob chooses what its comment says, and the last that matches decides.
func TestFilter(t *testing.T) {
	for _, c := range []struct {
		rules string // + includes, - excludes
		name  string
		want  bool
	}{
		{"", "a", true},
		{"-*.tmp", "d/x.tmp", false},
		{"-*.tmp", "d/x.txt", true},
		{"-d/*", "d/x", false},
		{"-d/*", "d/e/x", true},
		{"-d/**", "d/e/x", false},
		{"-**/x", "x", false},
		{"-**/x", "a/b/x", false},
		{"+*.jpg", "a.png", false},
		{"+*.jpg", "d/a.jpg", true},
		{"-* +*.jpg", "d/a.jpg", true},
		{"-* +*.jpg", "d/a.png", false},
		{"+*.jpg -b*", "b.jpg", false},
		{"-a?c", "abc", false},
		{"-a?c", "a/c", true},
		{`-a\*`, "a*", false},
		{`-a\*`, "ab", true},
		{"-é*", "ete", true},
		{"-é*", "été", false},
		{"-[a]", "a", true},
	} {
		var f filter
		for _, r := range strings.Fields(c.rules) {
			if err := (&filterFlag{&f, r[0] == '+'}).Set(r[1:]); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.chooses(c.name); got != c.want {
			t.Errorf("%q and %q: %v", c.rules, c.name, got)
		}
	}
}

// What checkLocalName lets pass is a path below the target, whatever it is made of.
func TestLocalNamesStayBelow(t *testing.T) {
	root := t.TempDir()
	passed := 0
	rapid.Check(t, func(rt *rapid.T) {
		name := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"", ".", "..", "a", "...", "\x00", " ", "é", strings.Repeat("x", 256)}), 1, 4).Draw(rt, "elements"), "/")
		if checkLocalName(name) != nil {
			return
		}
		passed++
		if joined := filepath.Join(root, name); joined != root+"/"+name || !filepath.IsLocal(name) {
			rt.Errorf("%q leads to %q", name, joined)
		}
	})
	if passed == 0 {
		t.Error("no name passed: the check refuses everything")
	}
}

// A walk is in the order of keys, so that it can be compared with a listing.
func TestWalkIsInTheOrderOfKeys(t *testing.T) {
	root := t.TempDir()
	var want []string
	for _, name := range []string{"a.b", "a/b", "a-b", "a/b.c", "a/b-d/x", "b", "A", "é", "a/b2"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	var got []string
	for f, err := range (&localWalk{root: root, links: linksSkip}).files() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Parts never become more than S3 takes, nor smaller than was asked for.
func TestPartBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		chosen := rapid.Int64Range(minPartBytes, maxPartBytes).Draw(rt, "chosen")
		size := rapid.Int64Range(1, 5<<40).Draw(rt, "size")
		part := partBytesFor(chosen, size)
		if parts := (size + part - 1) / part; parts > s3.MaxParts || part < chosen {
			rt.Errorf("%d parts of %d", parts, part)
		}
	})
	var stream int64
	for number := 1; number <= s3.MaxParts; number++ {
		stream += streamPartBytes(defaultPartBytes, number)
	}
	if want := int64(2000*(1+2+4+8+16)) * defaultPartBytes; stream != want { // 968 GiB
		t.Errorf("a stream holds %d bytes, want %d", stream, want)
	}
}

// Errors become the codes that scripts read.
func TestExitCode(t *testing.T) {
	denied := errs.E("a", errs.Denied)
	for want, all := range map[int][]error{
		ExitOK:          {nil},
		ExitFailure:     {errors.New("x"), errs.E("a", errs.Corrupt), errs.E("a", errs.NoSpace), errs.E("a", errs.Exists)},
		ExitUsage:       {Usage("x"), Advise(Usage("x"), "y")},
		ExitNotFound:    {errs.E("a", errs.NotFound), fmt.Errorf("x: %w", errs.E("a", errs.NotFound))},
		ExitDenied:      {denied, &Partly{Failed: 3, First: denied}},
		ExitPartly:      {&Partly{Done: 1, Failed: 1, First: denied}},
		ExitUnavailable: {errs.E("a", errs.Busy), errs.E("a", errs.Offline)},
		ExitInterrupted: {errInterrupted, context.Canceled, Advise(fmt.Errorf("%w; x", errInterrupted), "y")},
	} {
		for _, err := range all {
			if got := ExitCode(err); got != want {
				t.Errorf("%v: %d, want %d", err, got, want)
			}
		}
	}
}

// Sizes and times fit the columns that are kept for them.
func TestHuman(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 1 << 20: "1.00 MiB", 1<<20 - 1: "1.00 MiB", 10 << 30: "10.0 GiB", 1<<63 - 1: "8.00 EiB"} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0.0s", 12 * time.Second: "12s", 185 * time.Second: "3m05s", 130 * time.Minute: "2h10m", 1000 * time.Hour: "41d"} {
		if got := shortDuration(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	for _, width := range []int{0, 1, 5, 20} {
		if got := fitLeft("a/rather/long/nämé", width); len([]rune(got)) != max(width, 1) {
			t.Errorf("%d columns: %q", width, got)
		}
	}
}

// Every command has a help that says what it is for and how it is used, and the
// flags that all of them share.
func TestHelp(t *testing.T) {
	var out bytes.Buffer
	program := Program{Version: "test", Getenv: func(string) string { return "" }, In: strings.NewReader(""), Out: &out, Err: &out}
	var all []*cobra.Command
	for _, command := range commands(&frame{program: program}) {
		all = append(all, command)
		all = append(all, command.Commands()...)
	}
	for _, command := range all {
		name := command.CommandPath()
		if command.Short == "" || strings.HasSuffix(command.Short, ".") {
			t.Errorf("%s: %q", name, command.Short)
		}
		if command.HasSubCommands() {
			continue
		}
		if command.Example == "" {
			t.Errorf("%s has no example", name)
		}
		for line := range strings.Lines(command.Example) {
			if !strings.Contains(line, "troupe "+name) {
				t.Errorf("%s: the example %q is about something else", name, line)
			}
		}
		for _, flag := range []string{"json", "quiet", "endpoint", "profile"} {
			if command.Flags().Lookup(flag) == nil {
				t.Errorf("%s has no --%s", name, flag)
			}
		}
	}
	root := &cobra.Command{Use: "troupe"}
	if code := Execute(root, program, []string{"cp", "--help"}); code != ExitOK || !strings.Contains(out.String(), "troupe cp cat.jpg") {
		t.Errorf("%d\n%s", code, out.String())
	}
}
