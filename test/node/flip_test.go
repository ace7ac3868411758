package node

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/test/s3client"
	"github.com/troupe-storage/troupe/test/soak"
)

// payloadFlips is how many bits a run of make test flips in payloads; as many in
// indexes, in test/crash, make the 200 of the reliability table.
const payloadFlips = 100

// A bit that flipped in the file of a payload, or of a part of one, is found by
// whoever reads it where the bucket wants reads verified: no whole read is
// answered, no range has a wrong byte, the others are unharmed, and with the bit
// back everything is served. Without validate_warm_get the same flips are served,
// which shows that they matter.
func TestFlippedBitsOfPayloads(t *testing.T) {
	flips := payloadFlips
	if testing.Short() || raceDetector {
		flips = 20
	}
	f := newFlipper(t, 1)
	defer f.close()
	for range flips {
		f.flip()
	}
	f.summary()
	f.control()
}

// TestFlippedBitsOfPayloadsSoak is TestFlippedBitsOfPayloads with 5,000 bits; as
// many in indexes make 10,000.
func TestFlippedBitsOfPayloadsSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "flips-payloads", Unit: "flipped bits of payloads", Goal: 5_000})
	f := newFlipper(t, slice.Next())
	defer f.close()
	for slice.More() {
		f.flip()
		if !t.Failed() {
			slice.Add(1, f.seed+1)
		}
	}
	f.summary()
}

// flipper is a node with payload files, and what they hold.
type flipper struct {
	*testing.T
	seed   uint64
	random *rand.Rand
	node   *supervisors.Node
	client *s3client.Client
	dir    string
	held   map[string][]byte // key → body
	files  []payloadFile

	flips, reads, ranges int
}

// payloadFile is one file that holds bytes of clients, and whose they are.
type payloadFile struct {
	path string
	size int64
	key  string
}

func newFlipper(t *testing.T, seed uint64) *flipper {
	f := &flipper{T: t, seed: seed, random: rand.New(rand.NewPCG(seed, 5)), dir: t.TempDir(), held: make(map[string][]byte)}
	f.node = start(t, f.dir, 2, func(c *supervisors.Config) { c.MinPartBytes, c.ScrubDays = 1, -1 }) // a scrubber would put aside what gets its bit back
	f.client = s3client.New(f.node.S3(), sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey})
	if err := f.client.CreateBucket(t.Context(), "flips"); err != nil {
		t.Fatal(err)
	}
	for n := range 12 {
		f.put(fmt.Sprintf("file%d", n), f.noise(inlineBytes+1+f.random.IntN(600<<10)))
	}
	for n := range 4 {
		f.putInParts(fmt.Sprintf("parts%d", n))
	}
	f.verify("true")
	return f
}

func (f *flipper) close() {
	f.client.Close()
	stop(f.T, f.node)
}

func (f *flipper) noise(size int) []byte {
	body := make([]byte, size)
	var key [32]byte
	for i := range key {
		key[i] = byte(f.random.Uint32())
	}
	_, _ = rand.NewChaCha8(key).Read(body) // never fails
	return body
}

// answered fails the test unless a request of the preparation was answered well.
func (f *flipper) answered(a *s3client.Answer, err error) {
	f.Helper()
	if err != nil || !a.OK() {
		f.Fatal(a, err)
	}
}

func (f *flipper) put(key string, body []byte) {
	f.Helper()
	a, err := f.client.Put(f.Context(), "flips", key, body)
	f.answered(a, err)
	f.held[key] = body
	path := ""
	for d := range 2 {
		at := filepath.Join(f.dir, fmt.Sprintf("d%d", d), "flips", key)
		if _, err := os.Stat(at); err == nil {
			path = at
		}
	}
	if path == "" {
		f.Fatalf("%s is no plain file", key)
	}
	f.files = append(f.files, payloadFile{path, int64(len(body)), key})
}

// putInParts stores an object of three parts, and finds their files: those that
// were not there before.
func (f *flipper) putInParts(key string) {
	f.Helper()
	before := f.partFiles()
	id, a, err := f.client.CreateUpload(f.Context(), "flips", key)
	f.answered(a, err)
	var body []byte
	var parts []s3client.Part
	for n := range 3 {
		part := f.noise(1 + f.random.IntN(300<<10))
		a, err := f.client.PutPart(f.Context(), "flips", key, id, n+1, part)
		f.answered(a, err)
		parts = append(parts, s3client.Part{Number: n + 1, ETag: a.ETag()})
		body = append(body, part...)
	}
	a, err = f.client.Complete(f.Context(), "flips", key, id, parts)
	f.answered(a, err)
	f.held[key] = body
	found := 0
	for path, size := range f.partFiles() {
		if _, ok := before[path]; !ok {
			f.files = append(f.files, payloadFile{path, size, key})
			found++
		}
	}
	if found != 3 {
		f.Fatalf("%s has %d part files", key, found)
	}
	slices.SortFunc(f.files, func(a, b payloadFile) int { return strings.Compare(a.key+a.path, b.key+b.path) })
}

// partFiles are the files of parts, with their sizes.
func (f *flipper) partFiles() map[string]int64 {
	f.Helper()
	found := make(map[string]int64)
	for d := range 2 {
		root := filepath.Join(f.dir, fmt.Sprintf("d%d", d), ".troupe", "parts")
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || entry.Name() == "manifest.json" {
				return err
			}
			info, err := entry.Info()
			if err == nil {
				found[path] = info.Size()
			}
			return err
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	return found
}

// verify turns validate_warm_get on ("true") or off ("false").
func (f *flipper) verify(value string) {
	f.Helper()
	body := `{"action":"set-bprops","value":{"troupe":{"validate_warm_get":` + value + `}}}`
	request, err := http.NewRequestWithContext(f.Context(), http.MethodPatch, "http://"+f.node.Native()+"/v1/buckets/flips", strings.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		f.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		f.Fatalf("validate_warm_get %s: %s", value, answer.Status)
	}
}

// invert inverts one bit of a file.
func (f *flipper) invert(path string, bit int64) {
	f.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		f.Fatal(err)
	}
	var b [1]byte
	_, err = file.ReadAt(b[:], bit/8)
	b[0] ^= 1 << (bit % 8)
	if err == nil {
		_, err = file.WriteAt(b[:], bit/8)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		f.Fatal(err)
	}
}

// flip flips one bit, reads, and flips it back.
func (f *flipper) flip() {
	f.Helper()
	file := f.files[f.random.IntN(len(f.files))]
	bit := f.random.Int64N(8 * file.size)
	again := fmt.Sprintf("seed %d, flip %d: bit %d of %s (%s)", f.seed, f.flips, bit, file.path, file.key)
	f.flips++
	f.invert(file.path, bit)
	body := f.held[file.key]
	// An answer that breaks off is none: its client knows.
	if a, err := f.client.Get(f.Context(), "flips", file.key); err == nil && a.OK() {
		f.Errorf("%s: %d bytes were served whole", again, len(a.Body))
	}
	f.reads++
	for range 2 {
		from := f.random.IntN(len(body))
		to := from + f.random.IntN(len(body)-from)
		a, err := f.client.Do(f.Context(), s3client.Request{
			Method: http.MethodGet, Bucket: "flips", Key: file.key,
			Header: []objects.Pair{{Name: "Range", Value: fmt.Sprintf("bytes=%d-%d", from, to)}},
		})
		if err == nil && a.OK() && string(a.Body) != string(body[from:to+1]) {
			f.Errorf("%s: bytes %d-%d were served wrong", again, from, to)
		}
		f.ranges++
	}
	other := f.files[f.random.IntN(len(f.files))]
	if other.key != file.key {
		f.whole(other.key, again)
	}
	f.invert(file.path, bit)
	f.whole(file.key, again+", flipped back")
}

// whole checks that a key is served as it was stored.
func (f *flipper) whole(key, when string) {
	f.Helper()
	a, err := f.client.Get(f.Context(), "flips", key)
	if err != nil || !a.OK() || string(a.Body) != string(f.held[key]) {
		f.Errorf("%s: %s is not served: %v, %v", when, key, a, err)
	}
}

func (f *flipper) summary() {
	f.Logf("seed %d: %d bits flipped in %d files; %d whole reads and %d ranges, none with a wrong byte", f.seed, f.flips, len(f.files), f.reads, f.ranges)
}

// control shows that a flip is served where nothing is verified.
func (f *flipper) control() {
	f.Helper()
	f.verify("false")
	at := slices.IndexFunc(f.files, func(p payloadFile) bool { return strings.HasPrefix(p.key, "file") })
	file := f.files[at]
	f.invert(file.path, 4*file.size)
	a, err := f.client.Get(f.Context(), "flips", file.key)
	if err != nil || !a.OK() || string(a.Body) == string(f.held[file.key]) {
		f.Errorf("negative control: a flipped bit was not served although nothing is verified: %v", err)
	}
}
