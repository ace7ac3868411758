package loader

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The bare handler does what it is a measure of: bytes go to files and come back,
// and the generator that is measured with it sees them whole.
func TestBareHandler(t *testing.T) {
	directory := t.TempDir()
	load := Load{
		Endpoint: serve(t, NewBare(directory).Server()), Bucket: "file-a", AccessKey: "any", SecretKey: "any",
		Sizes: FixedSize(100 << 10), Connections: 4, Keys: Keys{Seed: 1},
	}
	if _, err := CreateBucket(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	put(t, load, 20)
	files, err := os.ReadDir(filepath.Join(directory, "file-a"))
	if err != nil || len(files) != 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	load.Keys.Count, load.Keys.Order, load.Verify, load.Ops, load.Mix = 20, Uniform, true, 100, Mix{Get: 1, Head: 1}
	if err := mustRun(t, load, Observed{}).Failed(); err != nil {
		t.Error(err)
	}
	path := filepath.Join(directory, "file-a", files[0].Name())
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[77777] ^= 4 // the control: it is the file that comes back
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	load.Mix, load.Keys.Order, load.Ops = Only(Get), Sequential, 20
	if result := mustRun(t, load, Observed{}); result.Errors != 1 || result.Failures[0].Code != codeContent {
		t.Errorf("%+v", result.Failures)
	}
	load.Mix, load.Keys.Order, load.Ops = Only(Delete), Sequential, 0
	if result := mustRun(t, load, Observed{}); result.Ops != 20 || result.Errors != 0 {
		t.Errorf("%+v", result)
	}
	if result := mustRun(t, load, Observed{}); result.Errors != 20 || result.Failures[0].Code != "NoSuchKey" {
		t.Errorf("deleted twice: %+v", result.Failures)
	}
	if err := RemoveBucket(t.Context(), load); err != nil {
		t.Error(err)
	}

	load.Bucket, load.Sizes, load.Verify = "memory-5000", FixedSize(5000), false
	for _, o := range []Operation{Put, Get, Head, Delete} {
		load.Mix, load.Ops = Only(o), 20
		if err := mustRun(t, load, Observed{}).Failed(); err != nil {
			t.Errorf("from memory: %v", err)
		}
	}
}

// What leaves the directory, or is no bucket of its own, is refused.
func TestBareHandlerKeepsToItsDirectory(t *testing.T) {
	directory := t.TempDir()
	endpoint := serve(t, NewBare(filepath.Join(directory, "inside")).Server())
	if err := os.WriteFile(filepath.Join(directory, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/file-../secret", "/file-x/../../secret", "/file-x/..%2f..%2fsecret", "/etc/passwd", "/file-x/.work-1", "/memory-9999999999/x", "/memory-x/y"} {
		if status, body, err := (question{method: "GET", url: endpoint + path, limit: 1000}).ask(t.Context()); err != nil || status < 400 {
			t.Errorf("%s: %d %q %v", path, status, body, err)
		}
	}
}

// A body that breaks off leaves no file.
func TestBareHandlerDropsBrokenBodies(t *testing.T) {
	directory := t.TempDir()
	endpoint := serve(t, NewBare(directory).Server())
	if err := os.Mkdir(filepath.Join(directory, "file-a"), 0o755); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Dial("tcp", endpoint[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close() //nolint:errcheck // half of it is closed below
	half := append([]byte("PUT /file-a/k HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"), bytes.Repeat([]byte("x"), 50000)...)
	if _, err := tcp.Write(half); err != nil {
		t.Fatal(err)
	}
	if err := tcp.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := tcp.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if answer, err := newReader(tcp).head(); err != nil || answer.status != 500 {
		t.Errorf("%+v, %v", answer, err)
	}
	if left, err := os.ReadDir(filepath.Join(directory, "file-a")); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}
