package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/test/consul"
	"github.com/troupe-storage/troupe/test/process"
)

// What `make demo` shows, in a short form: 2,000 files instead of 15,000, a big
// file of 96 MiB instead of 1 GiB.
func TestDemo(t *testing.T) {
	needPrograms(t)
	dir := t.TempDir()
	binary, err := process.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	show := demo{
		binary: binary, dir: dir, files: 2000, bigMiB: 96, clients: knownClients(), kills: 1, seed: 1, out: t.Output(),
	}
	if err := show.run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// The same with three nodes, in a form that is shorter still.
func TestDemoOfACluster(t *testing.T) {
	needPrograms(t)
	if _, err := consul.Binary(); err != nil {
		process.Missing(t, "there is no Consul: %v", err)
	}
	dir := t.TempDir()
	binary, err := process.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	show := demo{binary: binary, dir: dir, files: 150, bigMiB: 12, clients: []string{"aws", "rclone"}, seed: 1, out: t.Output()}
	if err := show.runCluster(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// needPrograms ends a test whose clients are absent.
func needPrograms(t *testing.T) {
	t.Helper()
	path, err := process.ToolsPath()
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range neededPrograms() {
		if _, err := process.LookTool(path, program); err != nil {
			process.Missing(t, "%v", err)
		}
	}
}

// Negative control: a manifest tells a missing, a changed and an added file.
func TestManifestTellsDifferences(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func() manifest {
		t.Helper()
		m, err := readManifest(root)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	write("a", "1")
	write("b", "2")
	want := read()
	if err := read().equal(want); err != nil {
		t.Fatal(err)
	}
	write("a", "3")
	write("c", "4")
	if err := os.Remove(filepath.Join(root, "b")); err != nil {
		t.Fatal(err)
	}
	err := read().equal(want)
	for _, part := range []string{"differs: a", "missing: b", "not expected: c"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}
