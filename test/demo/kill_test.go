package main

import (
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
)

// What the demo shows is true: a node that is killed with -9 at a random moment of
// puts, overwrites, multipart uploads, copies and deletes loses nothing that it
// acknowledged, shows nothing torn, and brings nothing back. The long form, against
// a model, is test/kill's.
func TestKills(t *testing.T) {
	needPrograms(t)
	dir := t.TempDir()
	binary, err := process.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	d := demo{binary: binary, dir: dir, kills: 20, seed: 1, out: t.Output(), begin: time.Now()}
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
}
