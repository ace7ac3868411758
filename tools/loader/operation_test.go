package loader

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Slices are asked for inside the object, in every part of it, and are compared
// with what was put: one that begins a byte too late is found.
func TestRangesAreVerified(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	load.Sizes = Sizes{choices: []sizeChoice{{1, 1, 1}, {1000, 6 << 20, 9}}, total: 10} // some below a slice, some beyond the arena
	put(t, load, 20)
	load.Keys.Count, load.Keys.Order, load.Mix, load.Ops, load.RangeBytes, load.Verify = 20, Uniform, Only(Range), 300, 5000, true
	result := mustRun(t, load, Observed{})
	if result.Ops != 300 || result.Errors != 0 || result.Bytes > 300*5000 || result.Bytes < 200*5000 {
		t.Errorf("%d ops, %d bytes, %+v", result.Ops, result.Bytes, result.Failures)
	}
	for code, spoil := range map[string]func(bool){
		codeContent: func(on bool) { fake.shift = on },
		codeRange:   func(on bool) { fake.whole = on },
	} {
		fake.change(func() { spoil(true) })
		result := mustRun(t, load, Observed{})
		if result.Errors < 150 || result.Failures[0].Code != code {
			t.Errorf("%s: %d errors, %+v", code, result.Errors, result.Failures)
		}
		fake.change(func() { spoil(false) })
	}
	fake.change(func() { fake.shift = true })
	load.Verify = false // the control: only verification looks
	if result := mustRun(t, load, Observed{}); result.Errors != 0 {
		t.Errorf("not verified: %+v", result.Failures)
	}
	load.Keys.Seed++
	if result := mustRun(t, load, Observed{}); result.Failures[0].Code != "NoSuchKey" {
		t.Errorf("never put: %+v", result.Failures)
	}
}

// An object that was uploaded in parts is what GET must find, whatever is the
// length of its last part; the parts come in order, and a connection that ends
// between two of them is made anew.
func TestMultipart(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	load.Connections, load.PartBytes = 2, 5<<20
	load.Sizes = Sizes{choices: []sizeChoice{{0, 0, 1}, {5 << 20, 5 << 20, 1}, {10<<20 + 1, 10<<20 + 1, 1}}, total: 3}
	load.Mix, load.Ops = Only(Multipart), 9
	result := mustRun(t, load, Observed{})
	if result.Ops != 9 || result.Errors != 0 || fake.stored("load") != 9 || result.Class != "synced" {
		t.Fatalf("%d ops, %d objects, class %q, %+v", result.Ops, fake.stored("load"), result.Class, result.Failures)
	}
	load.Mix, load.Ops, load.Keys.Count, load.Verify = Only(Get), 18, 9, true
	read := mustRun(t, load, Observed{})
	if read.Errors != 0 || read.Bytes != 2*result.Bytes || result.Bytes < 10<<20 {
		t.Errorf("%d bytes put, twice that is not %d, %+v", result.Bytes, read.Bytes, read.Failures)
	}
}

// An upload that fails is one failure with the server's code, and is aborted.
func TestMultipartFailures(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	load.Mix, load.Ops, load.Connections = Only(Multipart), 4, 1
	fake.change(func() { fake.deaf = true })
	result := mustRun(t, load, Observed{})
	if result.Errors != 4 || result.Failures[0].Code != "InternalError" || fake.aborted != 4 || !strings.Contains(result.Failures[0].Example, "too late") {
		t.Errorf("status 200 with an error: %+v, %d aborted", result.Failures, fake.aborted)
	}
	fake.change(func() { fake.deaf, fake.refuse["PUT"] = false, 3 })
	result = mustRun(t, load, Observed{})
	if result.Errors != 3 || result.Ops != 1 || result.Failures[0].Code != "SlowDown" || fake.aborted != 7 {
		t.Errorf("parts refused: %d ops, %+v, %d aborted", result.Ops, result.Failures, fake.aborted)
	}
	fake.change(func() { fake.refuse["POST"] = 1 })
	if result = mustRun(t, load, Observed{}); result.Errors != 1 || fake.aborted != 7 {
		t.Errorf("nothing begun: %+v, %d aborted", result.Failures, fake.aborted)
	}
}

// A mix with deletes knows which keys are there when uploads put them and slices
// are read.
func TestDeletedKeysWithUploadsAndRanges(t *testing.T) {
	fake := newFakeS3()
	load := loadOn(t, serveHTTP(t, fake.handle))
	put(t, load, 40)
	load.Keys.Count, load.Keys.Order, load.Stored, load.Verify = 40, Uniform, true, true
	load.Mix, load.Ops, load.RangeBytes = Mix{Multipart: 20, Range: 50, Delete: 30}, 800, 100
	if result := mustRun(t, load, Observed{}); result.Errors != 0 || result.Ops != 800 {
		t.Errorf("%+v", result.Failures)
	}
	load.Stored = false
	fake.change(func() { fake.keep = true })
	if result := mustRun(t, load, Observed{}); result.Errors == 0 || result.Failures[0].Code != codePresent {
		t.Errorf("a server that deletes nothing: %+v", result.Failures)
	}
}

// The bare handler answers ranges too, so that they can be compared with it.
func TestBareHandlerRanges(t *testing.T) {
	directory := t.TempDir()
	if err := os.Mkdir(filepath.Join(directory, "file-load"), 0o755); err != nil {
		t.Fatal(err)
	}
	load := Load{
		Endpoint: serve(t, NewBare(directory).Server()), Bucket: "file-load", AccessKey: testAccess, SecretKey: testSecret,
		Sizes: FixedSize(10000), Connections: 2, Keys: Keys{Seed: 7},
	}
	put(t, load, 20)
	load.Keys.Count, load.Keys.Order, load.Mix, load.Ops, load.RangeBytes, load.Verify = 20, Uniform, Only(Range), 100, 999, true
	if result := mustRun(t, load, Observed{}); result.Ops != 100 || result.Bytes != 100*999 {
		t.Errorf("files: %+v", result.Failures)
	}
	load.Bucket, load.Verify = "memory-10000", false
	if result := mustRun(t, load, Observed{}); result.Ops != 100 || result.Bytes != 100*999 {
		t.Errorf("memory: %+v", result.Failures)
	}
}

// Names of operations are read as they are written, in any case.
func TestOperationNames(t *testing.T) {
	for o := range Operation(operations) {
		for _, name := range []string{o.String(), strings.ToLower(o.String())} {
			if got, err := ParseOperation(name); err != nil || got != o {
				t.Errorf("%q: %v, %v", name, got, err)
			}
		}
	}
	mix, err := ParseMix("range=90,multipart=10")
	if err != nil || mix != (Mix{Range: 90, Multipart: 10}) || mix.String() != "RANGE=90,MULTIPART=10" {
		t.Errorf("%v, %v", mix, err)
	}
}
