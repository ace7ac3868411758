package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
)

// soakVariable names the directory in which the long forms of tests keep what
// they reached over their slices; without it tests take their short form.
const soakVariable = "TROUPE_SOAK"

// A node that is killed with -9 at a random moment of puts, overwrites,
// multipart uploads, copies and deletes loses nothing that it acknowledged,
// shows nothing torn, and brings nothing back: 20 kills, or 500 in a slice of
// the soak, which goes on with another seed each time.
func TestSoakKills(t *testing.T) {
	needPrograms(t)
	dir := t.TempDir()
	binary, err := process.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	d := demo{binary: binary, dir: dir, kills: 20, seed: 1, out: t.Output(), begin: time.Now()}
	soak := os.Getenv(soakVariable)
	var record string
	if soak != "" {
		record = filepath.Join(soak, "kills.txt")
		slices, err := os.ReadFile(record)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		d.kills, d.seed = 500, uint64(bytes.Count(slices, []byte("\n"))+2)
	}
	if err := d.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.node.Kill(); err != nil {
			t.Error(err)
		}
	})
	if err := d.showKills(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if soak == "" {
		return
	}
	file, err := os.OpenFile(record, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(file, "seed %d: %d kills, %d operations acknowledged, none lost\n", d.seed, d.kills, d.acknowledged)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}
