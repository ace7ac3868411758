package lifecycle_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
)

// storageCommand runs troupe storage and returns what it printed.
func storageCommand(t *testing.T, node *process.Node, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), process.Built(), append([]string{"storage"}, args...)...)
	command.Env = append(node.Environment(), "TROUPE_NATIVE_ENDPOINT="+node.URL(node.Native))
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("troupe storage %v: %v\n%s", args, err, output)
	}
	return string(output)
}

// steady waits until the set of mountpaths does not change any more; each look is a
// process.
func steady(t *testing.T, node *process.Node) string {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; {
		list := storageCommand(t, node, "list")
		if !bytes.Contains([]byte(list), []byte("joining")) && !bytes.Contains([]byte(list), []byte("leaving")) {
			return list
		}
	}
	t.Fatal("the set of mountpaths goes on changing")
	return ""
}

// A mountpath is added and another one removed by the command line beside readers,
// with a kill in the middle of each: nobody fails to find anything, every byte is
// there, and of the one that was removed its format is left.
func TestStorageAddAndRemove(t *testing.T) {
	dir := t.TempDir()
	node := start(t, dir)
	c := process.ClientForTest(t, node, "photos")
	const objectCount = 2000
	sums := make([][sha256.Size]byte, objectCount)
	body := func(i int) []byte {
		random := rand.New(rand.NewPCG(uint64(i), 9))
		size := 100 + random.IntN(4000)
		switch {
		case i%200 == 0:
			size = 8 << 20
		case i%20 == 0:
			size = 100 << 10
		}
		b := make([]byte, size)
		for at := range b {
			b[at] = byte(random.Uint32())
		}
		return b
	}
	name := func(i int) string { return fmt.Sprintf("o/%04d", i) }
	var writing sync.WaitGroup
	for w := range 8 {
		writing.Go(func() {
			for i := w; i < objectCount; i += 8 {
				b := body(i)
				sums[i] = sha256.Sum256(b)
				if answer, err := c.Put(t.Context(), "photos", name(i), b); err != nil || !answer.OK() {
					t.Errorf("PUT %s: %v", name(i), err)
				}
			}
		})
	}
	writing.Wait()

	// Readers meet kills and 503; what they must never meet is 404 or other bytes.
	reading, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for r := range 2 {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(r), 10))
			for reading.Err() == nil {
				i := random.IntN(objectCount)
				answer, err := c.Get(reading, "photos", name(i))
				switch {
				case err != nil || answer.Status == http.StatusServiceUnavailable:
				case !answer.OK():
					t.Errorf("GET %s: %v", name(i), answer.Err())
				case sha256.Sum256(answer.Body) != sums[i]:
					t.Errorf("GET %s: other bytes", name(i))
				}
			}
		})
	}
	t.Cleanup(func() { stop(); readers.Wait() })
	kill := func() {
		if err := node.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := node.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	added, removed := filepath.Join(dir, "added"), node.Mountpaths[0]
	t.Log(storageCommand(t, node, "add", added))
	steady(t, node)
	t.Log(storageCommand(t, node, "remove", removed))
	steady(t, node)
	t.Log(storageCommand(t, node, "remove", added)) // the node was not given it, and must not need it
	steady(t, node)
	for _, path := range []string{added, removed} {
		err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && filepath.Base(file) != "format.json" {
				t.Errorf("%s is left of a mountpath that was removed", file)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	t.Log(storageCommand(t, node, "add", removed))
	kill()
	steady(t, node)
	t.Log(storageCommand(t, node, "remove", removed))
	kill()
	steady(t, node)

	stop()
	readers.Wait()
	listed, err := c.List(t.Context(), "photos", "", 1000)
	if err != nil || len(listed) != objectCount {
		t.Errorf("%d objects are listed, want %d: %v", len(listed), objectCount, err)
	}
	for i := range objectCount {
		answer, err := c.Get(t.Context(), "photos", name(i))
		if err != nil || !answer.OK() || sha256.Sum256(answer.Body) != sums[i] {
			t.Errorf("GET %s at the end: %v, %v", name(i), answer, err)
		}
	}
}
