package archive

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What others wrote is read, and what is written here others read. A program that is not on
// the machine is skipped, by name.

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not on this machine", name)
	}
	return path
}

func run(t *testing.T, dir string, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	command := exec.Command(program(t, name), args...)
	command.Dir, command.Stdin = dir, bytes.NewReader(stdin)
	var failure bytes.Buffer
	command.Stderr = &failure
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, &failure)
	}
	return out
}

// onDisk is a directory with samples of which no two have one name, and with what is no file.
func onDisk(t *testing.T) (string, []sample) {
	t.Helper()
	dir := t.TempDir()
	var members []sample
	for _, s := range samples() {
		if s.name == "twice" {
			continue
		}
		path := filepath.Join(dir, s.name)
		modified := time.Unix(1_600_000_000, 0)
		for _, err := range []error{
			os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, s.content, 0o600),
			os.Chmod(path, os.FileMode(s.mode)), os.Chtimes(path, modified, modified),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		s.seconds = modified.Unix()
		members = append(members, s)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "train", "link")); err != nil {
		t.Fatal(err)
	}
	return dir, members
}

// wantOthers compares the files of a shard that others wrote with what they wrote, by
// listing, by index, by name; returned are the kinds of all members.
func wantOthers(t *testing.T, f Format, shard []byte, members []sample) map[string]Kind {
	t.Helper()
	if Sniff(shard) != f && Sniff(shard) != Unknown {
		t.Errorf("a %s is taken for a %s", f, Sniff(shard))
	}
	ix := parse(t, build(t, f, shard), shard)
	if ix.Len() != len(members) {
		t.Errorf("%d files, want %d", ix.Len(), len(members))
	}
	for _, s := range members {
		m, err := ix.Find(s.name)
		if err != nil {
			t.Error(err)
			continue
		}
		from, err := ix.Open(bytes.NewReader(shard), m, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(from)
		if err != nil || !bytes.Equal(content, s.content) {
			t.Errorf("%s: %d bytes, %v, want %d", s.name, len(content), err, len(s.content))
		}
		if m.Modified.Unix() != s.seconds || m.Mode != s.mode {
			t.Errorf("%s: mode %o of %s, want %o of %d", s.name, m.Mode, m.Modified, s.mode, s.seconds)
		}
		r := open(t, f, shard)
		if _, err := r.Find("/" + s.name); err != nil {
			t.Error(err)
		} else if content, err := io.ReadAll(r); err != nil || !bytes.Equal(content, s.content) {
			t.Errorf("%s: %d bytes, %v, want %d", s.name, len(content), err, len(s.content))
		}
	}
	kinds := map[string]Kind{}
	for r := open(t, f, shard); ; {
		m, err := r.Next()
		if err == io.EOF {
			return kinds
		} else if err != nil {
			t.Fatal(err)
		}
		kinds[m.Name] = m.Kind
		if m.Kind != File {
			if _, err := io.ReadAll(r); err == nil {
				t.Errorf("%s, a %s, was read", m.Name, m.Kind)
			}
		}
	}
}

// GNU tar, in each of its formats, and grown by it and by us in turn.
func TestGNUTar(t *testing.T) {
	dir, members := onDisk(t)
	for _, format := range []string{"gnu", "pax", "posix", "ustar", "v7"} {
		t.Run(format, func(t *testing.T) {
			listed := members
			args := []string{"-c", "--format=" + format, "train", "väl", "0003.jpg"}
			if format == "ustar" || format == "v7" { // which cannot have the long name
				listed = slices.DeleteFunc(slices.Clone(members), func(s sample) bool { return strings.HasPrefix(s.name, "long/") })
			} else {
				args = append(args, "long")
			}
			shard := run(t, dir, nil, "tar", args...)
			kinds := wantOthers(t, Tar, shard, listed)
			if kinds["train/link"] != Link || kinds["train/"] != Directory {
				t.Errorf("a link is a %s, a directory a %s", kinds["train/link"], kinds["train/"])
			}
			// Appended to by writing anew, and in place: GNU tar pads its trailer to 10 KiB.
			extra := []sample{{"extra/1", text(9, 700), 0o644, 5}}
			grown, _ := grow(t, Tar, shard, extra)
			index := build(t, Tar, shard)
			in, inIndex := growInPlace(t, shard, parse(t, index, shard), extra)
			if !bytes.Equal(in, grown) {
				t.Error("written anew, it is not as appended to in place")
			}
			wantOthers(t, Tar, grown, append(slices.Clone(listed), extra...))
			if !bytes.Equal(inIndex, build(t, Tar, in)) {
				t.Error("the index that appending gathers is not the one that is built")
			}
			padded := append(bytes.Clone(in), make([]byte, len(shard))...) // what was behind is zeros
			wantOthers(t, Tar, padded, append(slices.Clone(listed), extra...))
			if got := run(t, dir, in, "tar", "-xO", "-f", "-", "extra/1"); !bytes.Equal(got, extra[0].content) {
				t.Errorf("tar extracts %d bytes of what was appended", len(got))
			}
			wantOthers(t, TarGzip, run(t, dir, shard, "gzip", "-c"), listed)
		})
	}
}

// A sparse file of GNU tar is listed as one and not filled up, and what is behind it is found.
func TestGNUTarSparse(t *testing.T) {
	dir := t.TempDir()
	hole, err := os.Create(filepath.Join(dir, "hole"))
	if err == nil {
		err = hole.Truncate(1 << 40)
	}
	if err == nil {
		_, err = hole.WriteAt([]byte("end"), 1<<40-3)
	}
	if err == nil {
		err = hole.Close()
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "behind"), []byte("behind"), 0o644)
	}
	if err != nil {
		t.Skip(err) // a filesystem without such files
	}
	for _, format := range []string{"gnu", "pax", "0.0", "0.1"} {
		args := []string{"-cS", "--format=" + format}
		if strings.HasPrefix(format, "0") {
			args = []string{"-cS", "--format=pax", "--sparse-version=" + format}
		}
		shard := run(t, dir, nil, "tar", append(args, "hole", "behind")...)
		r := open(t, Tar, shard)
		if m, err := r.Next(); err != nil || m.Kind != Sparse || m.Size != 1<<40 {
			t.Errorf("%s: %+v, %v", format, m, err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: a sparse file was read", format)
		}
		if m, err := r.Find("behind"); err != nil {
			t.Errorf("%s: %+v, %v", format, m, err)
		} else if content, err := io.ReadAll(r); err != nil || string(content) != "behind" {
			t.Errorf("%s: %q, %v", format, content, err)
		}
		grown, _ := grow(t, Tar, shard, samples()[:2])
		if names := string(run(t, dir, grown, "tar", "-t")); !strings.HasSuffix(names, "hole\nbehind\ntrain/0001.jpg\ntrain/0001.cls\n") {
			t.Errorf("%s: grown, it has %q", format, names)
		}
		last := run(t, dir, nil, "tar", append(args, "behind", "hole")...)
		if tail, err := Tail(bytes.NewReader(last), int64(len(last)), Limits{}); err == nil {
			t.Errorf("%s: something can be appended at %d behind a sparse file", format, tail)
		}
	}
}

// zip, with what it is called with most.
func TestInfoZIP(t *testing.T) {
	dir, members := onDisk(t)
	for _, args := range [][]string{{}, {"-0"}, {"-9"}, {"-X"}, {"-fz"}, {"-z"}} {
		path := filepath.Join(t.TempDir(), "shard.zip")
		run(t, dir, []byte("a comment\n"), "zip", append(args, "-qry", path, ".")...)
		shard, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		kinds := wantOthers(t, Zip, shard, members)
		if kinds["train/link"] != Link || kinds["train/"] != Directory {
			t.Errorf("%q: a link is a %s, a directory a %s", args, kinds["train/link"], kinds["train/"])
		}
		extra := []sample{{"extra/1", text(9, 70_000), 0o644, 1_600_000_000}, {"extra/0", nil, 0o600, 1_600_000_000}}
		grown, index := grow(t, Zip, shard, extra)
		wantOthers(t, Zip, grown, append(slices.Clone(members), extra...))
		if !bytes.Equal(index, build(t, Zip, grown)) {
			t.Errorf("%q: the index of what was appended to is not the one that is built", args)
		}
		if err := os.WriteFile(path, grown, 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, dir, nil, "unzip", "-tqq", path)
		// One that extracts itself has something before it, which its offsets do not count.
		wantOthers(t, Zip, append([]byte("#!/bin/sh\nexit\n"), shard...), members)
	}
	// To a pipe, where sizes are behind the content, and of zip64.
	wantOthers(t, Zip, run(t, dir, nil, "zip", "-q", "-", members[3].name), members[3:4])
	secret := filepath.Join(t.TempDir(), "secret.zip")
	run(t, dir, nil, "zip", "-qP", "word", secret, "train/0001.cls")
	shard, err := os.ReadFile(secret)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := open(t, Zip, shard).Next(); err != nil || m.Kind != Other {
		t.Errorf("an encrypted member is %+v, %v", m, err)
	}
}

// lz4, with blocks that refer back and such that do not, with every checksum and without.
func TestLZ4Program(t *testing.T) {
	dir, members := onDisk(t)
	tar := run(t, dir, nil, "tar", "-c", "--format=pax", "train", "väl", "0003.jpg", "long")
	for _, args := range [][]string{
		{}, {"-9"}, {"-B4"}, {"-B5", "-BD"}, {"-B7", "-BD", "-9"}, {"-BX"}, {"-B4", "-BD", "-BX"}, {"--no-frame-crc"}, {"-BI", "--content-size"},
	} {
		shard := run(t, dir, tar, "lz4", append(slices.Clone(args), "-c")...)
		wantOthers(t, TarLZ4, shard, members)
	}
	// Several frames, and one that is skipped between them.
	cut := 700_001
	shard := run(t, dir, tar[:cut], "lz4", "-c")
	shard = append(shard, 0x53, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 1, 2, 3, 4, 5)
	shard = append(shard, run(t, dir, tar[cut:], "lz4", "-c", "-B4")...)
	wantOthers(t, TarLZ4, shard, members)

	ours, _ := shardOf(t, TarLZ4, members)
	if unpacked := run(t, dir, ours, "lz4", "-dc"); !bytes.Contains(unpacked, members[0].content) {
		t.Error("lz4 does not unpack what was written")
	}
}

// gzip: several members are one tape, and each is a restart point.
func TestGzipProgram(t *testing.T) {
	dir, members := onDisk(t)
	tar := run(t, dir, nil, "tar", "-c", "--format=pax", "train", "väl", "0003.jpg", "long")
	var shard []byte
	for piece := range slices.Chunk(tar, 600_000) {
		shard = append(shard, run(t, dir, piece, "gzip", "-c")...)
	}
	wantOthers(t, TarGzip, shard, members)
	if begin := parse(t, build(t, TarGzip, shard), shard).pointBefore(int64(len(tar)) - 2048); begin.unpacked < 3*600_000 {
		t.Errorf("the end is entered at %+v", begin)
	}
	ours, _ := shardOf(t, TarGzip, members)
	run(t, dir, ours, "gzip", "-t")
}

// python3 reads what is written, from a file and from a stream, and writes what is read.
func TestPython(t *testing.T) {
	dir, members := onDisk(t)
	const script = `
import sys, io, tarfile, zipfile, hashlib
kind, do = sys.argv[1:3]
data = sys.stdin.buffer.read()
if do == "list":
    if kind == ".zip":
        z = zipfile.ZipFile(io.BytesIO(data)); assert z.testzip() is None
        for i in z.infolist(): print(i.filename, i.file_size, hashlib.md5(z.read(i)).hexdigest())
    else:
        for mode in ("r:*", "r|*"):
            t = tarfile.open(fileobj=io.BytesIO(data), mode=mode)
            print("\n".join(f"{m.name} {m.size} {hashlib.md5(t.extractfile(m).read()).hexdigest()}" for m in t))
else:
    out = io.BytesIO()
    if kind == ".zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z: z.write("train/0001.jpg"); z.write("train/empty"); z.write("train/0002.seg.png", compress_type=zipfile.ZIP_STORED)
    else:
        with tarfile.open(fileobj=out, mode="w:gz" if kind == ".tar.gz" else "w") as t:
            for n in ("train/0001.jpg", "train/empty", "train/0002.seg.png"): t.add(n)
    sys.stdout.buffer.write(out.getvalue())
`
	for _, f := range []Format{Tar, TarGzip, Zip} {
		ours, _ := shardOf(t, f, members)
		var want strings.Builder
		for _, s := range members {
			fmt.Fprintf(&want, "%s %d %x\n", s.name, len(s.content), md5.Sum(s.content))
		}
		if f != Zip { // once from a file, once from a stream
			want.WriteString(want.String())
		}
		if got := string(run(t, dir, ours, "python3", "-c", script, f.String(), "list")); got != want.String() {
			t.Errorf("%s: python3 reads\n%s\nwant\n%s", f, got, &want)
		}
		theirs := run(t, dir, nil, "python3", "-c", script, f.String(), "make")
		var made []sample
		for _, name := range []string{"train/0001.jpg", "train/empty", "train/0002.seg.png"} {
			made = append(made, members[slices.IndexFunc(members, func(s sample) bool { return s.name == name })])
		}
		if f == Zip { // its times are local, and nothing says of where
			for i := range made {
				made[i].seconds = open1(t, theirs, made[i].name).Modified.Unix()
			}
		}
		wantOthers(t, f, theirs, made)
	}
}

func open1(t *testing.T, shard []byte, name string) Member {
	t.Helper()
	m, err := open(t, Zip, shard).Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
