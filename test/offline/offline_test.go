// Package offline_test runs `troupe storage` as an operator does: on the
// directories of a real node that was stopped or killed.
package offline_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/mountpath/offline"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

const bucket = "export"

// site is a node, what it was given, and what came with it.
type site struct {
	t      *testing.T
	node   *process.Node
	client *s3client.Client
	dir    string
	held   map[string][]byte // by key
	small  map[string]bool   // keys of objects in the index
}

// keys want to be something else than files of their bucket's directory.
func keys() []string {
	long := strings.Repeat("n", 255)
	return []string{
		"plain", "deep/er/and/deeper", "..", ".", "../x", "a/../b", "/etc/passwd", "//x", "a//b", "a/", "slash/end/", "/",
		"a", "a/b", "a!b", "a/b/c", "%2e%2e", "100%", "%-", "%~", "x%~", "%+", "nul\x00byte", "line\nfeed", " ", "\u00e9", "e\u0301",
		".troupe", ".troupe/format.json", ".troupe-escaped/x", "manifest.jsonl", "buckets/x", long, long + "n", long + "/" + long + "/" + long,
		strings.Repeat("%", 300), strings.Repeat("k", 1024), strings.Repeat("k/", 512),
	}
}

func newSite(t *testing.T, mountpaths int) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), held: make(map[string][]byte), small: make(map[string]bool)}
	s.node = process.ForTest(t, process.Config{Dir: s.dir, Mountpaths: mountpaths, Args: []string{"--min-part", "1"}})
	s.client = process.ClientForTest(t, s.node, bucket)
	return s
}

// fill puts every key, small and large in turn, some in parts.
func (s *site) fill() {
	s.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	content := func(size int) []byte {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	headers := []objects.Pair{{Name: "Content-Type", Value: "x/y"}, {Name: "x-amz-meta-origin", Value: "test"}, {Name: "x-amz-tagging", Value: "a=b"}}
	for i, key := range keys() {
		body := content([]int{700, 50 << 10, 3 << 20}[i%3])
		answer, err := s.client.Put(s.t.Context(), bucket, key, body, headers...)
		if err != nil {
			s.t.Fatalf("%q: %v", key, err)
		}
		if !answer.OK() {
			s.t.Logf("refused: %.60q: %v", key, answer.Err())
			continue
		}
		s.held[key], s.small[key] = body, len(body) < 32<<10
	}
	for _, key := range []string{"in parts", "in/parts/too"} {
		id, _, err := s.client.CreateUpload(s.t.Context(), bucket, key)
		if err != nil {
			s.t.Fatal(err)
		}
		var whole []byte
		var parts []s3client.Part
		for number, size := range []int{100 << 10, 5, 200 << 10} {
			body := content(size)
			answer, err := s.client.PutPart(s.t.Context(), bucket, key, id, number+1, body)
			if err != nil || !answer.OK() {
				s.t.Fatal(err, answer.Err())
			}
			whole = append(whole, body...)
			parts = append(parts, s3client.Part{Number: number + 1, ETag: answer.ETag()})
		}
		if answer, err := s.client.Complete(s.t.Context(), bucket, key, id, parts); err != nil || !answer.OK() {
			s.t.Fatal(err, answer.Err())
		}
		s.held[key] = whole
	}
	if len(s.held) < 30 {
		s.t.Fatalf("%d objects were taken", len(s.held))
	}
}

// run runs troupe storage and returns its output and exit code.
func (s *site) run(arguments ...string) (out, notes string, code int) {
	s.t.Helper()
	command := exec.CommandContext(s.t.Context(), process.Built(), append([]string{"storage"}, arguments...)...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return stdout.String(), stderr.String(), command.ProcessState.ExitCode()
}

func (s *site) data() []string {
	var arguments []string
	for _, m := range s.node.Mountpaths {
		arguments = append(arguments, "--data", m)
	}
	return arguments
}

// readTree reads an exported tree by its manifest, and checks that the manifest
// and the escapes say the same.
func readTree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(dir, "manifest.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]byte)
	for line := range bytes.Lines(manifest) {
		var e offline.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		name, err := offline.UnescapePath(strings.Split(string(e.Path), "/")[2:])
		if err != nil || name != string(e.Key) {
			t.Errorf("the path %q is that of %q (%v), not of %q", e.Path, name, err, e.Key)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		content, err := root.ReadFile(string(e.Path))
		if err = errors.Join(err, root.Close()); err != nil {
			t.Fatal(err)
		}
		if len(e.Parts) == 0 && (e.Headers["content-type"] != "x/y" || len(e.User) != 1 || e.User[0].Value != "test" || len(e.Tags) != 1 || e.ETag == "" || e.Modified.IsZero()) {
			t.Errorf("%q: the metadata is %s", e.Key, line)
		}
		found[string(e.Key)] = content
	}
	files := 0
	err = filepath.WalkDir(filepath.Join(dir, "buckets"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files != len(found) {
		t.Errorf("%d files, %d lines: %v", files, len(found), err)
	}
	return found
}

func readTar(t *testing.T, stream io.Reader) map[string][]byte {
	t.Helper()
	found := make(map[string][]byte)
	for in := tar.NewReader(stream); ; {
		header, err := in.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if !filepath.IsLocal(header.Name) {
			t.Errorf("the archive has the path %q", header.Name)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		key := header.PAXRecords[offline.PAXKey]
		name, err := offline.UnescapePath(strings.Split(header.Name, "/")[2:])
		if err != nil || name != key {
			t.Errorf("the path %q is that of %q (%v), not of %q", header.Name, name, err, key)
		}
		found[key] = content
	}
}

func compare(t *testing.T, what string, got, want map[string][]byte) {
	t.Helper()
	for key, content := range want {
		if !bytes.Equal(got[key], content) {
			t.Errorf("%s: %.60q has %d bytes, want %d", what, key, len(got[key]), len(content))
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: %.60q was never there", what, key)
		}
	}
}

// large are the objects that files alone have.
func (s *site) large() map[string][]byte {
	large := maps.Clone(s.held)
	maps.DeleteFunc(large, func(key string, _ []byte) bool { return s.small[key] })
	return large
}

// state tells everything that could change on a mountpath: names, sizes, times of
// change and bytes of small files.
func state(t *testing.T, dirs []string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err == nil {
				found[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// While the node runs it is refused, with its process; after kill -9 everything
// that was acknowledged is exported, byte for byte, as a tree and as a tar, and
// nothing on the mountpaths is changed.
func TestExport(t *testing.T) {
	s := newSite(t, 3)
	s.fill()
	for _, command := range [][]string{{"export", "--to", filepath.Join(s.dir, "never")}, {"check"}} {
		if _, notes, code := s.run(append(command, s.data()...)...); code != 2 || !strings.Contains(notes, strconv.Itoa(s.node.PID())) {
			t.Errorf("%s beside a running node: %d, %s", command[0], code, notes)
		}
	}
	if _, notes, code := s.run("rebuild", "--data", s.node.Mountpaths[0]); code != 2 || !strings.Contains(notes, strconv.Itoa(s.node.PID())) {
		t.Errorf("rebuild beside a running node: %d, %s", code, notes)
	}
	if err := s.node.Kill(); err != nil {
		t.Fatal(err)
	}
	before := state(t, s.node.Mountpaths)

	tree := filepath.Join(s.dir, "tree")
	if out, notes, code := s.run(append([]string{"export", "--to", tree}, s.data()...)...); code != 0 {
		t.Fatalf("%d: %s%s", code, out, notes)
	}
	compare(t, "tree", readTree(t, tree), s.held)

	out, notes, code := s.run(append([]string{"export", "--to", "-"}, s.data()...)...)
	if code != 0 {
		t.Fatalf("%d: %s", code, notes)
	}
	compare(t, "tar", readTar(t, strings.NewReader(out)), s.held)

	file := filepath.Join(s.dir, "some.tar")
	if _, notes, code := s.run(append([]string{"export", "--to", file, "--bucket", bucket, "--prefix", "a/"}, s.data()...)...); code != 0 {
		t.Fatalf("%d: %s", code, notes)
	}
	some, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer some.Close()
	want := maps.Clone(s.held)
	maps.DeleteFunc(want, func(key string, _ []byte) bool { return !strings.HasPrefix(key, "a/") })
	compare(t, "prefix", readTar(t, some), want)

	files := filepath.Join(s.dir, "files")
	if _, notes, code := s.run(append([]string{"export", "--without-index", "--to", files}, s.data()...)...); code != 0 {
		t.Fatalf("%d: %s", code, notes)
	}
	compare(t, "without the index", readTree(t, files), s.large())

	if _, notes, code := s.run("export", "--to", filepath.Join(s.dir, "part"), "--data", s.node.Mountpaths[0]); code != 1 || !strings.Contains(notes, s.node.Mountpaths[1]) {
		t.Errorf("two mountpaths are missing: %d, %s", code, notes)
	}
	if out, notes, code := s.run(append([]string{"check", "--verify"}, s.data()...)...); code != 0 {
		t.Errorf("check: %d: %s%s", code, out, notes)
	}
	if after := state(t, s.node.Mountpaths); !maps.Equal(before, after) {
		t.Errorf("the mountpaths were changed: %v", changed(before, after))
	}
}

func changed(before, after map[string]string) []string {
	var names []string
	for name, is := range after {
		if before[name] != is {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// A flipped bit is found, named and not exported; everything else is, and the exit
// code tells.
func TestDamageIsFound(t *testing.T) {
	s := newSite(t, 1)
	s.fill()
	if err := s.node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	mountpath := s.node.Mountpaths[0]
	// The control: all is well.
	if out, notes, code := s.run("check", "--verify", "--data", mountpath); code != 0 {
		t.Fatalf("check of a whole mountpath: %d: %s%s", code, out, notes)
	}
	const victim = "deep/er/and/deeper"
	flip(t, filepath.Join(mountpath, bucket, victim), 1234)
	part := ""
	err := filepath.WalkDir(filepath.Join(mountpath, ".troupe", "parts"), func(path string, e fs.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), "3.") {
			part = path
		}
		return err
	})
	if err != nil || part == "" {
		t.Fatal("no part", err)
	}
	flip(t, part, 77)
	out, _, code := s.run("check", "--verify", "--json", "--data", mountpath)
	var checked struct{ Findings []offline.Finding }
	if err := json.Unmarshal([]byte(out), &checked); err != nil {
		t.Fatal(err)
	}
	if code != 1 || len(checked.Findings) != 2 {
		t.Errorf("check: %d: %s", code, out)
	}
	tree := filepath.Join(s.dir, "tree")
	_, notes, code := s.run("export", "--to", tree, "--data", mountpath)
	if code != 1 || !strings.Contains(notes, victim) {
		t.Errorf("export: %d: %s", code, notes)
	}
	found := readTree(t, tree)
	want := maps.Clone(s.held)
	maps.DeleteFunc(want, func(key string, _ []byte) bool {
		_, there := found[key]
		return key == victim || !there && strings.HasPrefix(key, "in")
	})
	if len(want) != len(s.held)-2 {
		t.Errorf("%d of %d objects are left", len(want), len(s.held))
	}
	compare(t, "the rest", found, want)
}

func flip(t *testing.T, name string, at int64) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := file.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// With the index gone the node runs with the mountpath offline, says what to do,
// and after that serves every large object with its metadata again.
func TestRebuild(t *testing.T) {
	s := newSite(t, 1)
	s.fill()
	before, err := s.client.Get(t.Context(), bucket, "deep/er/and/deeper")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.node.Kill(); err != nil {
		t.Fatal(err)
	}
	mountpath := s.node.Mountpaths[0]
	if err := os.RemoveAll(filepath.Join(mountpath, ".troupe", "index")); err != nil {
		t.Fatal(err)
	}
	if err := s.node.Restart(t.Context()); err == nil {
		t.Fatal("the node serves a mountpath whose index is gone")
	}
	log, err := os.ReadFile(s.node.LogPath())
	if err != nil || !bytes.Contains(log, []byte("troupe storage rebuild")) {
		t.Errorf("the log does not say what to do: %v: %s", err, log)
	}
	if out, notes, code := s.run("rebuild", "--verify", "--data", mountpath); code != 0 {
		t.Fatalf("%d: %s%s", code, out, notes)
	}
	if out, notes, code := s.run("check", "--verify", "--data", mountpath); code != 0 {
		t.Errorf("check: %d: %s%s", code, out, notes)
	}
	if err := s.node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	listed, err := s.client.List(t.Context(), bucket, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]byte)
	for _, l := range listed {
		answer, err := s.client.Get(t.Context(), bucket, l.Key)
		if err != nil || !answer.OK() {
			t.Fatal(err, answer.Err())
		}
		found[l.Key] = answer.Body
	}
	compare(t, "rebuilt", found, s.large())
	after, err := s.client.Get(t.Context(), bucket, "deep/er/and/deeper")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ETag", "Last-Modified", "Content-Type", "X-Amz-Meta-Origin", "Content-Length", "X-Amz-Tagging-Count"} {
		if after.Header.Get(name) != before.Header.Get(name) {
			t.Errorf("%s is %q, was %q", name, after.Header.Get(name), before.Header.Get(name))
		}
	}
	if before.Header.Get("X-Amz-Meta-Origin") != "test" {
		t.Error("the metadata was not there before: the test tests nothing")
	}
	// And it goes on: a write after the rebuild wins over what was rebuilt.
	if answer, err := s.client.Put(t.Context(), bucket, "deep/er/and/deeper", []byte("new")); err != nil || !answer.OK() {
		t.Fatal(err, answer.Err())
	}
	if answer, err := s.client.Get(t.Context(), bucket, "deep/er/and/deeper"); err != nil || string(answer.Body) != "new" {
		t.Errorf("%v: %q", err, answer.Body)
	}
}

// Orphans are found, and moved to quarantine only when that is asked for.
func TestOrphans(t *testing.T) {
	s := newSite(t, 1)
	s.fill()
	if err := s.node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	mountpath := s.node.Mountpaths[0]
	trash := filepath.Join(mountpath, ".troupe", "trash", "1-1-ffff")
	if err := os.WriteFile(trash, []byte("nobody's"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, _, code := s.run("check", "--data", mountpath); code != 1 || !strings.Contains(out, "1-1-ffff") {
		t.Errorf("%d: %s", code, out)
	}
	if _, err := os.Stat(trash); err != nil {
		t.Errorf("check moved it: %v", err)
	}
	if out, notes, code := s.run("check", "--repair", "--data", mountpath); code != 1 {
		t.Errorf("%d: %s%s", code, out, notes)
	}
	if out, notes, code := s.run("check", "--data", mountpath); code != 0 {
		t.Errorf("after the repair: %d: %s%s", code, out, notes)
	}
	// A second name carries an attribute that says that it is another's: a fault,
	// which a repair leaves where it is.
	stray := filepath.Join(mountpath, bucket, "stray")
	if err := os.Link(filepath.Join(mountpath, bucket, "deep/er/and/deeper"), stray); err != nil {
		t.Fatal(err)
	}
	if out, _, code := s.run("check", "--repair", "--data", mountpath); code != 1 || !strings.Contains(out, "misplaced") || !strings.Contains(out, "unknown links") {
		t.Errorf("%d: %s", code, out)
	}
	if _, err := os.Stat(stray); err != nil {
		t.Error(err)
	}
	reasons, err := filepath.Glob(filepath.Join(mountpath, ".troupe", "quarantine", "*.reason"))
	if err != nil || len(reasons) != 1 {
		t.Errorf("%v, %v", reasons, err)
	}
}
