package disks_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	nativeclient "github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
	"github.com/troupe-storage/troupe/test/states"
	"github.com/troupe-storage/troupe/test/volume"
)

const (
	bucket = "photos"
	// disks is how many mountpaths the node has; the last is the one on the volume.
	disks = 4
	sick  = disks - 1
	// keysOfClient is how many keys each client has.
	keysOfClient = 4
	// patience ends a wait that should have ended long ago: only then it is a fault.
	patience = time.Minute
	// promised is how soon a disk that is in trouble is marked.
	promised = 10 * time.Second
)

// The parts of a trial.
const (
	before = "before"
	during = "during"
	after  = "after"
)

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

// trouble is what happens to a disk.
type trouble struct {
	name   string
	unit   string // what trials of it count, in the plural
	begin  func(*volume.Volume) error
	end    func(*volume.Volume) error
	states []string // that the mountpath must come to be in; nil: none but ok
	gone   bool     // it does not come back by itself: the node is restarted
}

// atMost ends a freeze that nobody else ends.
const atMost = 3 * time.Minute

func hang() trouble {
	return trouble{
		name:   "hangs",
		unit:   "hung disks",
		begin:  func(v *volume.Volume) error { return v.Freeze(atMost) },
		end:    (*volume.Volume).Thaw,
		states: []string{"failing"},
	}
}

func slow() trouble {
	return trouble{
		name: "is slow",
		unit: "slow disks",
		begin: func(v *volume.Volume) error {
			return errors.Join(v.Throttle(1<<20), v.Forget())
		},
		end:    func(v *volume.Volume) error { return v.Throttle(0) },
		states: []string{"slow", "failing"},
	}
}

func death() trouble {
	return trouble{
		name: "dies",
		unit: "dead devices",
		begin: func(v *volume.Volume) error {
			return errors.Join(v.Forget(), v.Break())
		},
		end:    (*volume.Volume).Repair,
		states: []string{"disabled"},
		gone:   true,
	}
}

// trial is a node on four disks, one of them a volume, and its clients.
type trial struct {
	*testing.T
	volume  *volume.Volume
	node    *process.Node
	s3      *s3client.Client
	storage storage.Client

	clients      []*client
	sick, others *tally
}

// figures are what a trial has measured.
type figures struct {
	marked  time.Duration // from the beginning of the trouble until the mountpath was marked
	percent int64         // p99 of the other disks' requests, of what it was before
	served  int           // requests of the sick disk that were served during the trouble
	refused int
	threads int   // more than before, at most
	memory  int64 // resident, likewise, in bytes
}

func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	for _, missing := range []error{volume.Check(volume.Ext4), volume.CheckThrottle()} {
		if missing != nil {
			process.Missing(t, "%v", missing)
		}
	}
	v, err := volume.New(volume.Config{Kind: volume.Ext4, Dir: t.TempDir(), Bytes: 512 << 20})
	if err != nil {
		t.Fatal(err)
	}
	trial := &trial{T: t, volume: v, sick: newTally(), others: newTally()}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	var data []string
	for i := range disks {
		data = append(data, filepath.Join(dir, "d"+strconv.Itoa(i)))
	}
	data[sick] = filepath.Join(v.Path, "d")
	trial.node, err = process.Start(t.Context(), process.Config{
		Binary: process.Built(), Dir: t.TempDir(), Data: data, Args: []string{"--memory", "128MiB"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A process whose calls sleep in the kernel does not end.
		if err := errors.Join(v.Thaw(), trial.node.Kill()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(trial.node.Log())
		}
	})
	keys := sigv4.Credentials{AccessKey: process.AccessKey, SecretKey: process.SecretKey}
	trial.s3 = s3client.New(trial.node.S3, keys)
	t.Cleanup(trial.s3.Close)
	connection, err := nativeclient.New(nativeclient.Config{Endpoint: "http://" + trial.node.Native, Patience: -1, Credentials: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	trial.storage = storage.Client{Control: nativeclient.Control{Connection: connection}}
	if err := trial.s3.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	trial.employ(seed)
	return trial
}

// shareOut finds keys on each of the mountpaths, and stores a version of each. A key
// is where its file is.
func shareOut(t *testing.T, s3 *s3client.Client, mountpaths []string) [][]*ledger {
	t.Helper()
	of := make([][]*ledger, len(mountpaths))
	enough := func() bool {
		for _, keys := range of {
			if len(keys) < clientsOfDisk*keysOfClient {
				return false
			}
		}
		return true
	}
	put := func(key int, body []byte) {
		answer, err := s3.Put(t.Context(), bucket, nameOf(key), body)
		if err == nil {
			err = answer.Err()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for key := 0; !enough(); key++ {
		put(key, make([]byte, 100<<10))
		on := -1
		for d, path := range mountpaths {
			if _, err := os.Stat(filepath.Join(path, bucket, nameOf(key))); err == nil {
				on = d
			}
		}
		if on < 0 {
			t.Fatalf("%s is on no disk", nameOf(key))
		}
		l := &ledger{key: key}
		version := l.next()
		put(key, bodyOf(key, version))
		l.acknowledged(version)
		of[on] = append(of[on], l)
	}
	return of
}

// employ gives the keys to clients.
func (t *trial) employ(seed uint64) {
	t.Helper()
	for d, keys := range shareOut(t.T, t.s3, t.node.Mountpaths) {
		for i := range clientsOfDisk {
			c := &client{t: t.T, s3: t.s3, random: rand.New(rand.NewPCG(seed, uint64(d*clientsOfDisk+i))), tally: t.others, sick: d == sick}
			if c.sick {
				c.tally = t.sick
			}
			for k := i; k < len(keys); k += clientsOfDisk {
				c.keys = append(c.keys, keys[k])
			}
			t.clients = append(t.clients, c)
		}
	}
}

// mountpath is what the node says of the disk that is in trouble.
func (t *trial) mountpath() storage.Mountpath {
	t.Helper()
	all, err := t.storage.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Path == t.node.Mountpaths[sick] {
			return m
		}
		if m.State != "ok" && m.State != "slow" { // slow is what others may make of the machine's own disk
			t.Errorf("another disk is marked: %+v", m)
		}
	}
	t.Fatalf("no mountpath is at %s: %+v", t.node.Mountpaths[sick], all)
	return storage.Mountpath{}
}

// becomes waits until the disk is in one of the states.
func (t *trial) becomes(wanted ...string) storage.Mountpath {
	t.Helper()
	return states.Await(t, patience, t.mountpath, wanted...)
}

// held is what the node's process holds now: threads, and resident bytes.
func (t *trial) held() (threads int, resident int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.node.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		number, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case name == "Threads" && err == nil:
			threads = int(number)
		case name == "VmRSS" && err == nil:
			resident = number << 10
		}
	}
	if threads == 0 || resident == 0 {
		t.Fatalf("the process says nothing of its threads or memory: %s", status)
	}
	return threads, resident
}

// run runs the trial: some time without trouble, and with it until the disk is marked
// and for as long again at least.
func (t *trial) run(what trouble, part time.Duration) figures {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	end := func() { stop(); clients.Wait() }
	defer end()
	enter := func(part string) { t.sick.enter(part); t.others.enter(part) }
	enter(before)
	for _, c := range t.clients {
		clients.Go(func() { c.run(ctx) })
	}
	<-time.After(part)
	threads, resident := t.held()

	enter(during)
	began := time.Now()
	if err := what.begin(t.volume); err != nil {
		t.Fatal(err)
	}
	var f figures
	measure := func() {
		now, bytes := t.held()
		f.threads, f.memory = max(f.threads, now-threads), max(f.memory, bytes-resident)
	}
	if what.states != nil {
		m := t.becomes(what.states...)
		f.marked = time.Since(began)
		t.Logf("%s after %s: %s", m.State, f.marked.Round(10*time.Millisecond), m.Reason)
		if m.Reason == "" {
			t.Errorf("no reason is given: %+v", m)
		}
	}
	measure()
	<-time.After(part)
	measure()
	enter(after)
	if what.gone {
		end() // the node goes, too
	}
	t.ends(what)
	end()

	with, served, failed := t.others.of(during)
	without, _, _ := t.others.of(before)
	if failed > 0 {
		t.Errorf("%d requests of the other disks failed", failed)
	}
	if served == 0 || len(without) == 0 {
		t.Error("no request of the other disks was served: nothing is shown")
	}
	f.percent = percent(with, without)
	_, f.served, f.refused = t.sick.of(during)
	t.Logf("p99 of the other disks %s before, %s during the trouble (%d requests): %d%%; the sick one served %d and refused %d; %d threads and %d KiB more",
		p99(without).Round(10*time.Microsecond), p99(with).Round(10*time.Microsecond), len(with), f.percent, f.served, f.refused, f.threads, f.memory>>10)
	t.bounded(f)
	t.whole()
	return f
}

const (
	// mostThreads is how many a disk may hold: its lanes (24), one for each client's
	// download, and what the index and the keeper do.
	mostThreads = 64
	// mostBytes is what more a node may hold because of it: the clients' slabs, and
	// what the index keeps while it cannot flush.
	mostBytes = 96 << 20
)

func (t *trial) bounded(f figures) {
	t.Helper()
	if f.threads > mostThreads {
		t.Errorf("%d more threads than before the trouble, at most %d may be", f.threads, mostThreads)
	}
	if f.memory > mostBytes {
		t.Errorf("%d MiB more than before the trouble, at most %d may be", f.memory>>20, mostBytes>>20)
	}
}

// ends ends the trouble, and waits until the disk is back.
func (t *trial) ends(what trouble) {
	t.Helper()
	if what.gone {
		t.refusesToEnable()
		if err := errors.Join(t.node.Kill(), what.end(t.volume), t.volume.Mend(), t.node.Restart(t.Context())); err != nil {
			t.Fatal(err)
		}
	} else if err := what.end(t.volume); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	t.becomes("ok")
	t.Logf("ok %s after its end", time.Since(ended).Round(10*time.Millisecond))
}

// refusesToEnable tries to take a dead disk back into use.
func (t *trial) refusesToEnable() {
	t.Helper()
	if _, err := t.storage.Do(t.Context(), storage.Action{Action: storage.Enable, Path: t.node.Mountpaths[sick]}); err == nil {
		t.Error("a dead disk was enabled")
	}
	if m := t.mountpath(); m.State != "disabled" || m.Readable || m.Writable || m.Reason == "" {
		t.Errorf("after it could not be enabled: %+v", m)
	}
}

// whole reads and writes every key, of the sick disk too, and lists them.
func (t *trial) whole() {
	t.Helper()
	listed, err := t.s3.List(t.Context(), bucket, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, l := range listed {
		names[l.Key] = true
	}
	for _, c := range t.clients {
		c.sick = false // none may refuse any more
		for _, l := range c.keys {
			for _, write := range []bool{false, true} {
				if _, err := c.request(l, write); err != nil {
					t.Errorf("after the trouble: %v", err)
				}
			}
			if !names[nameOf(l.key)] {
				t.Errorf("%s is not listed", nameOf(l.key))
			}
		}
	}
}
