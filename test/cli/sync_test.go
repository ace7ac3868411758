package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/volume"
)

// A tree goes up and comes back the same; a second sync moves nothing; what
// changed is moved, what went is deleted, and nothing else.
func TestSync(t *testing.T) { synchronize(t, 1500) }

// As TestSync, with as many files as the Go toolchain has.
func TestSyncSoak(t *testing.T) { synchronize(t, 15000) }

func synchronize(t *testing.T, files int) {
	c := start(t)
	c.want(0, "mb", "bucket")
	name := func(i int) string { return fmt.Sprintf("d%d/e.%d/f-%d.txt", i%7, i%13, i) }
	for i := range files {
		c.write("tree/"+name(i), noise(uint64(i), i%5000))
	}
	sum := func(args ...string) transfer {
		return last(t, c.want(0, append([]string{"sync", "--json"}, args...)...).out)
	}
	wants := func(what string, s transfer, done, skipped, deleted int) {
		t.Helper()
		if s.Done != int64(done) || s.Skipped != int64(skipped) || s.Deleted != int64(deleted) || s.Failed+s.Left != 0 {
			t.Errorf("%s: %+v, want %d done, %d skipped, %d deleted", what, s, done, skipped, deleted)
		}
	}
	wants("up", sum("tree", "troupe://bucket/t"), files, 0, 0)
	wants("up again", sum("tree", "troupe://bucket/t"), 0, files, 0)
	wants("up by checksum", sum("--checksum", "tree", "troupe://bucket/t"), 0, files, 0)
	wants("across", sum("troupe://bucket/t", "troupe://bucket/u"), files, 0, 0)
	wants("down", sum("troupe://bucket/t", "back"), files, 0, 0)
	wants("down again", sum("troupe://bucket/t", "back"), 0, files, 0)
	wants("down onto the source", sum("troupe://bucket/t", "tree"), 0, files, 0) // times differ, content does not
	if a, b := c.names("tree"), c.names("back"); !slices.Equal(a, b) {
		t.Errorf("%d names went up, %d came back", len(a), len(b))
	}
	for i := 0; i < files; i += 97 {
		if !bytes.Equal(c.read("tree/"+name(i)), c.read("back/"+name(i))) {
			t.Errorf("%s differs", name(i))
		}
	}

	c.write("tree/"+name(3), []byte("changed"))
	c.write("tree/new", []byte("new"))
	for _, gone := range []int{5, 6} {
		if err := os.Remove(filepath.Join(c.dir, "tree", name(gone))); err != nil {
			t.Fatal(err)
		}
	}
	c.write("tree/left.tmp", []byte("not this"))
	c.put("bucket", "t/kept.tmp", []byte("nor this"))
	wants("a dry run", sum("--dry-run", "--delete", "--exclude", "*.tmp", "tree", "troupe://bucket/t"), 2, files-3, 2)
	wants("changes", sum("--delete", "--exclude", "*.tmp", "tree", "troupe://bucket/t"), 2, files-3, 2)
	if got := string(c.object("bucket", "t/"+name(3))); got != "changed" {
		t.Errorf("%q", got)
	}
	wants("changes down", sum("--delete", "--exclude", "*.tmp", "troupe://bucket/t", "back"), 2, files-3, 2)
	c.object("bucket", "t/kept.tmp")
	// The same size and an older time: content tells only if it is asked for.
	old := time.Now().Add(-time.Hour)
	c.write("tree/new", []byte("NEW"))
	if err := os.Chtimes(filepath.Join(c.dir, "tree", "new"), old, old); err != nil {
		t.Fatal(err)
	}
	wants("by time", sum("--exclude", "*.tmp", "tree", "troupe://bucket/t"), 0, files-1, 0)
	wants("by content", sum("--checksum", "--exclude", "*.tmp", "tree", "troupe://bucket/t"), 1, files-2, 0)
}

// Nothing is deleted unless everything was copied, and a source that is not
// there deletes nothing.
func TestSyncDeletesLast(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "bucket")
	c.put("bucket", "t/only-there", []byte("x"))
	c.write("tree/good", []byte("x"))
	c.write("tree/bad-\xff", []byte("x"))
	s := c.want(5, "sync", "--delete", "tree", "troupe://bucket/t")
	contains(t, s.err, "not UTF-8", "nothing was deleted")
	c.object("bucket", "t/only-there")
	c.want(3, "sync", "--delete", "missing", "troupe://bucket/t")
	c.object("bucket", "t/only-there")
}

// Keys that are no paths are refused, one by one, and nothing is written
// outside of the target, whatever keys and links say.
func TestHostileNames(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "bucket")
	long := strings.Repeat("x", 300)
	good := []string{"p/ok", "p/.hidden", "p/a b+c%20&é", "p/new\nline", "p/\x1b[31mred", "p/back\\slash", "p/-n", "p/" + strings.Repeat("y", 255)}
	bad := []string{"p/../../escape", "p/..", "p/./x", "p//abs", "p/a//b", "p/" + long, "p/dir/", "p/link/evil", "p/.troupe-0123456789abcdef01234567.part"}
	for _, key := range append(slices.Clone(good), bad...) {
		c.put("bucket", key, []byte("content"))
	}
	c.write("outside/keep", []byte("untouched"))
	if err := os.MkdirAll(filepath.Join(c.dir, "there"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../outside", filepath.Join(c.dir, "there", "link")); err != nil {
		t.Fatal(err)
	}
	s := c.want(5, "cp", "-r", "--json", "troupe://bucket/p", "there")
	if sum := last(t, s.out); sum.Done != int64(len(good)) || sum.Failed != int64(len(bad)) {
		t.Errorf("%+v, want %d done and %d failed\n%s", sum, len(good), len(bad), s.out)
	}
	plain := c.want(5, "cp", "-r", "troupe://bucket/p", "there")
	if strings.Contains(plain.out+plain.err, "\x1b") {
		t.Errorf("a name moved the cursor: %q", plain.out+plain.err)
	}
	if got := c.names("outside"); !slices.Equal(got, []string{"keep"}) {
		t.Errorf("outside of the target: %q", got)
	}
	for _, name := range c.names(".") {
		if strings.Contains(name, "escape") || strings.Contains(name, "abs") {
			t.Errorf("written: %q", name)
		}
	}
	// And what is a path goes up again under the same key.
	c.want(0, "cp", "-r", "there", "troupe://bucket/q")
	for _, key := range good {
		if got := string(c.object("bucket", "q"+key[1:])); got != "content" {
			t.Errorf("%q: %q", key, got)
		}
	}
	// A file where a directory is needed: one of the two is refused, by name.
	c.put("bucket", "r/a", []byte("file"))
	c.put("bucket", "r/a/b", []byte("below"))
	contains(t, c.want(5, "cp", "-r", "--parallel", "1", "troupe://bucket/r", "both").err, "a and a/b")
	// An object of any name can be copied alone.
	c.want(0, "cp", "troupe://bucket/p/../../escape", "alone")
	c.want(0, "rm", "-r", "troupe://bucket/p")
	c.want(3, "ls", "troupe://bucket/p/")
}

// A move never loses what it moves: not onto itself, and not what was written meanwhile.
func TestMovesKeepWhatTheyCannotMove(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "bucket")
	c.put("bucket", "a", []byte("x"))
	c.want(1, "mv", "--metadata", "a=b", "troupe://bucket/a", "troupe://bucket/a")
	c.object("bucket", "a")
	c.write("a", []byte("y"))
	c.want(3, "mv", "a", "troupe://nowhere/a")
	c.read("a")
	contains(t, c.want(2, "mv", "-r", "troupe://bucket", "troupe://bucket/below").err, "lies within")
	c.object("bucket", "a")
	c.put("bucket", "d/x", []byte("1"))
	c.put("bucket", "d/../y", []byte("2"))
	c.want(5, "mv", "-r", "troupe://bucket/d", "there")
	c.object("bucket", "d/../y") // refused, so it stays
	c.want(3, "stat", "troupe://bucket/d/x")
}

// Links are left out unless they are to be followed, and a circle ends.
func TestLinks(t *testing.T) {
	c := start(t)
	c.want(0, "mb", "bucket")
	c.write("tree/real/file", []byte("x"))
	for from, to := range map[string]string{"tree/link": "real", "tree/real/up": "..", "tree/alias": "real/file", "tree/dead": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(c.dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	s := c.want(0, "cp", "-r", "--json", "tree", "troupe://bucket/skip")
	if sum := last(t, s.out); sum.Done != 1 {
		t.Errorf("%+v", sum)
	}
	contains(t, s.err, "tree/link: a symbolic link")
	if err := os.Remove(filepath.Join(c.dir, "tree/dead")); err != nil {
		t.Fatal(err)
	}
	s = c.want(0, "cp", "-r", "--json", "--links", "follow", "tree", "troupe://bucket/follow")
	if sum := last(t, s.out); sum.Done != 3 {
		t.Errorf("%+v\n%s", sum, s.out)
	}
	contains(t, s.err, "leads back")
}

// A target without room ends the command at once, with what to do; nothing
// stands under the name, and with room the same command goes on.
func TestFullTarget(t *testing.T) {
	if err := volume.Check(volume.Tmpfs); err != nil {
		process.Missing(t, "%v", err)
	}
	small, err := volume.New(volume.Config{Kind: volume.Tmpfs, Dir: t.TempDir(), Bytes: 20 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := small.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := start(t)
	c.want(0, "mb", "bucket")
	content := noise(8, 18<<20)
	c.put("bucket", "large", content)
	ballast := filepath.Join(small.Path, "ballast")
	if err := os.WriteFile(ballast, noise(9, 10<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(small.Path, "large")
	args := partFlags("cp", "troupe://bucket/large", target)
	s := c.want(1, args...)
	contains(t, s.err, "no space left", "make room")
	if _, err := os.Stat(target); !os.IsNotExist(err) {
		t.Errorf("the target is there: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if sum := last(t, c.want(0, args...).out); sum.Resumed == 0 {
		t.Errorf("nothing was resumed: %+v", sum)
	}
	got, err := os.ReadFile(target)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%v, or the content differs", err)
	}
}
