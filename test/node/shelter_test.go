package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	nativeclient "github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/states"
)

// shelter is a node with objects on each of its disks, and what they hold.
type shelter struct {
	*testing.T
	dir   string
	node  *supervisors.Node
	c     *clients
	disks int
	held  map[string][]byte // key → body
	on    map[string]int    // key → disk
}

// clients is the S3 client and the client of the native API of one node.
type clients struct {
	*client
	storage     storage.Client
	closeNative func()
}

func newShelter(t *testing.T, disks int) *shelter {
	t.Helper()
	s := &shelter{T: t, dir: t.TempDir(), disks: disks, held: make(map[string][]byte), on: make(map[string]int)}
	s.open()
	s.c.bucket(t, "photos")
	enough := func() bool {
		count := make(map[int]int)
		for _, d := range s.on {
			count[d]++
		}
		for d := range disks {
			if count[d] < 3 {
				return false
			}
		}
		return true
	}
	for i := 0; !enough(); i++ {
		s.put(fmt.Sprintf("k%d", i), largeVersion(uint64(i)<<20))
	}
	return s
}

// open starts the node and clients of it.
func (s *shelter) open() {
	s.Helper()
	s.node = start(s.T, s.dir, s.disks, withDesk)
	s.connect()
}

func (s *shelter) connect() {
	s.Helper()
	connection, err := nativeclient.New(nativeclient.Config{
		Endpoint: "http://" + s.node.Native(), Patience: -1,
		Credentials: sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey},
	})
	if err != nil {
		s.Fatal(err)
	}
	s.c = &clients{client: newClient(s.node), storage: storage.Client{Control: nativeclient.Control{Connection: connection}}, closeNative: connection.Close}
}

func (s *shelter) close() {
	s.Helper()
	s.c.close()
	s.c.closeNative()
	stop(s.T, s.node)
}

// put stores an object and notes which disk has it.
func (s *shelter) put(key string, body []byte) {
	s.Helper()
	if err := s.c.put("photos", key, body); err != nil {
		s.Fatal(err)
	}
	s.held[key] = body
	for d := range s.disks {
		if _, err := os.Stat(filepath.Join(s.path(d), "photos", key)); err == nil {
			s.on[key] = d
		}
	}
}

func (s *shelter) path(d int) string { return filepath.Join(s.dir, fmt.Sprintf("d%d", d)) }

// keyOn returns a key of a disk.
func (s *shelter) keyOn(d int) string {
	for key, on := range s.on {
		if on == d {
			return key
		}
	}
	s.Fatalf("no key is on disk %d", d)
	return ""
}

// breaks breaks one disk in a way.
func (s *shelter) breaks(d int, fault faults.Disk, when ...faults.When) *faults.Injected {
	s.Helper()
	fault.Mountpath = fmt.Sprintf("d%d", d)
	f := faults.Fault{Disk: &fault}
	for _, w := range when {
		f.When = w
	}
	return inject(s.T, s.node, f)
}

// mountpath returns what the node says of a disk.
func (s *shelter) mountpath(d int) storage.Mountpath {
	s.Helper()
	return states.Of(s, s.c.storage, s.path(d))
}

// becomes waits until a disk is in one of the states.
func (s *shelter) becomes(d int, within time.Duration, wanted ...string) storage.Mountpath {
	s.Helper()
	return states.Await(s, within, func() storage.Mountpath { return s.mountpath(d) }, wanted...)
}

// others reads and writes the keys of all disks but one: none may fail.
func (s *shelter) others(broken int) {
	s.Helper()
	for key, body := range s.held {
		if s.on[key] == broken {
			continue
		}
		if got, err := s.c.get("photos", key); err != nil || etagOf(got) != etagOf(body) {
			s.Errorf("%s on another disk: %v", key, err)
		}
		if err := s.c.put("photos", key, body); err != nil {
			s.Errorf("%s on another disk: %v", key, err)
		}
	}
}

// whole checks that everything is served, listed and writable.
func (s *shelter) whole() {
	s.Helper()
	s.others(-1)
	s.listed()
}

// listed checks that everything is listed.
func (s *shelter) listed() {
	s.Helper()
	content, _, err := s.c.do("GET", "/photos", "list-type=2", nil)
	if err != nil {
		s.Errorf("a listing: %v", err)
	}
	for key := range s.held {
		if !strings.Contains(string(content), "<Key>"+key+"</Key>") {
			s.Errorf("%s is not listed", key)
		}
	}
}

// refused is a request's refusal: its status and what it says.
func (s *shelter) refused(err error) *failure {
	s.Helper()
	var f *failure
	if !errors.As(err, &f) {
		s.Fatalf("it was not refused: %v", err)
	}
	return f
}
