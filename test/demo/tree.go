package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// manifest says what files a directory holds: path below it → size and SHA-256.
type manifest map[string]fileSum

type fileSum struct {
	bytes int64
	sum   [sha256.Size]byte
}

// size returns how many files there are, and their bytes.
func (m manifest) size() (files int, bytes int64) {
	for _, f := range m {
		bytes += f.bytes
	}
	return len(m), bytes
}

// equal is nil when both hold the same files with the same bytes, and names
// the first few that differ otherwise.
func (m manifest) equal(want manifest) error {
	var wrong []string
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got, ok := m[path]; !ok {
			wrong = append(wrong, "missing: "+path)
		} else if got != want[path] {
			wrong = append(wrong, fmt.Sprintf("differs: %s (%d bytes, want %d)", path, got.bytes, want[path].bytes))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(m)) {
		if _, ok := want[path]; !ok {
			wrong = append(wrong, "not expected: "+path)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d files are not what they were:\n  %s", len(wrong), len(want), strings.Join(wrong[:min(len(wrong), 20)], "\n  "))
}

// readManifest reads every regular file below root.
func readManifest(root string) (manifest, error) {
	m := manifest{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		m[name], err = hashFile(path)
		return err
	})
	return m, err
}

// hashFile reads one file.
func hashFile(path string) (fileSum, error) {
	file, err := os.Open(path)
	if err != nil {
		return fileSum{}, err
	}
	defer file.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, file)
	return fileSum{n, [sha256.Size]byte(hash.Sum(nil))}, err
}

// goRoot is the directory of the Go toolchain.
func goRoot(ctx context.Context) (string, error) {
	said, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return filepath.EvalSymlinks(strings.TrimSpace(string(said)))
}

// copyTree copies the regular files below from, all of them, or so many that
// are spread evenly over the tree.
func copyTree(from, to string, count int) error {
	var paths []string
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	if count == 0 || count > len(paths) {
		count = len(paths)
	}
	for i := range count {
		path := paths[i*len(paths)/count]
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if err := copyFile(path, filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if closed := target.Close(); err == nil {
		err = closed
	}
	return err
}

// writeRandom writes a file of so many bytes, the same for the same seed.
func writeRandom(path string, bytes int64, seed uint64) error {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, io.LimitReader(rand.NewChaCha8(key), bytes))
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
