package disks_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	nativeclient "github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/s3client"
	"github.com/troupe-storage/troupe/test/soak"
	"github.com/troupe-storage/troupe/test/volume"
)

// mixed is a node in the test's own process, on whose desk faults are injected, with
// one of its mountpaths on a volume where there can be one, and clients of all disks.
type mixed struct {
	*testing.T
	volume  *volume.Volume // nil: there can be none here
	node    *supervisors.Node
	s3      *s3client.Client
	storage storage.Client
	clients []*client
	tally   *tally
}

func newMixed(t *testing.T, seed uint64) *mixed {
	t.Helper()
	m := &mixed{T: t, tally: newTally()}
	dir := t.TempDir()
	log := logrus.New()
	log.SetOutput(io.Discard)
	config := supervisors.Config{
		Native: "127.0.0.1:0", S3: "127.0.0.1:0", MemoryBytes: 128 << 20, Log: log, Faults: faults.New(faults.Options{}),
		Quarantine: supervisors.QuarantineLimits{Panics: -1}, // within hours, panics of the desk meet any key three times
	}
	for i := range disks {
		config.Data = append(config.Data, filepath.Join(dir, "d"+strconv.Itoa(i)))
	}
	if volume.Check(volume.Ext4) == nil && volume.CheckThrottle() == nil {
		var err error
		if m.volume, err = volume.New(volume.Config{Kind: volume.Ext4, Dir: t.TempDir(), Bytes: 512 << 20}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := m.volume.Close(); err != nil {
				t.Error(err)
			}
		})
		config.Data[sick] = filepath.Join(m.volume.Path, "d"+strconv.Itoa(sick))
	}
	var err error
	if m.node, err = supervisors.Start(config); err != nil {
		t.Fatal(err)
	}
	keys := sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey}
	m.s3 = s3client.New(m.node.S3(), keys)
	connection, err := nativeclient.New(nativeclient.Config{Endpoint: "http://" + m.node.Native(), Patience: -1, Credentials: keys})
	if err != nil {
		t.Fatal(err)
	}
	m.storage = storage.Client{Control: nativeclient.Control{Connection: connection}}
	t.Cleanup(func() {
		if m.volume != nil {
			if err := m.volume.Thaw(); err != nil {
				t.Error(err)
			}
		}
		m.s3.Close()
		connection.Close()
		if err := m.node.Stop(); err != nil {
			t.Errorf("the node did not stop cleanly: %v", err)
		}
	})
	if err := m.s3.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	for d, keys := range shareOut(t, m.s3, config.Data) {
		for i := range clientsOfDisk {
			c := &client{t: t, s3: m.s3, random: rand.New(rand.NewPCG(seed, uint64(d*clientsOfDisk+i))), tally: m.tally, sick: true}
			for k := i; k < len(keys); k += clientsOfDisk {
				c.keys = append(c.keys, keys[k])
			}
			m.clients = append(m.clients, c)
		}
	}
	return m
}

// misfortune is a fault of the mixed load: it begins, and what it returns ends it.
type misfortune struct {
	name  string
	begin func(m *mixed, disk string) (end func() error, err error)
}

// injected is a misfortune of the desk.
func injected(name string, fault faults.Fault) misfortune {
	return misfortune{name, func(m *mixed, disk string) (func() error, error) {
		if fault.Disk != nil {
			d := *fault.Disk
			d.Mountpath, fault.Disk = disk, &d
		}
		if fault.Messages != nil {
			of := *fault.Messages
			of.Actor, fault.Messages = strings.ReplaceAll(of.Actor, "DISK", disk), &of
		}
		fault.Expiry, fault.Reason = atMost, name
		i, err := m.node.Faults().Inject(fault)
		if err != nil {
			return nil, err
		}
		return func() error { i.Clear(); return nil }, nil
	}}
}

// misfortunes are what may happen. None kills an index: one process may open another
// in its place only three times, which test/node shows. None lies about what is
// stored: that is found by verifying reads, which test/node and test/crash show.
func misfortunes(volumes bool) []misfortune {
	const lanes, transfers = "node/mountpaths/DISK/w*", "node/mountpaths/DISK/t*"
	some := faults.When{Every: 3, Count: 3}
	all := []misfortune{
		injected("payloads cannot be written", faults.Fault{Disk: &faults.Disk{Path: ".troupe/work/*", Do: faults.Fail}, When: some}),
		injected("payloads are written, and it fails", faults.Fault{Disk: &faults.Disk{Path: ".troupe/work/*", Do: faults.FailAfterwards}, When: some}),
		injected("payloads are written in part", faults.Fault{Disk: &faults.Disk{Path: ".troupe/work/*", Do: faults.ShortWrite, Bytes: 1000}, When: some}),
		injected("payloads cannot be read", faults.Fault{Disk: &faults.Disk{Path: bucket + "/*", Calls: []string{"read", "open"}, Do: faults.Fail}, When: some}),
		injected("payloads have no room", faults.Fault{Disk: &faults.Disk{Path: ".troupe/work/*", Do: faults.Full}}),
		injected("a panic while a payload is written", faults.Fault{Disk: &faults.Disk{Path: ".troupe/work/*", Do: faults.Crash}, When: some}),
		injected("a panic while a payload is opened", faults.Fault{Disk: &faults.Disk{Path: bucket + "/*", Calls: []string{"open"}, Do: faults.Crash}, When: some}),
		injected("everything is slow", faults.Fault{Disk: &faults.Disk{Do: faults.Slow, Delay: 30 * time.Millisecond, Jitter: 200 * time.Millisecond}}),
		injected("everything hangs", faults.Fault{Disk: &faults.Disk{Do: faults.Stall}}),
		injected("syncs hang", faults.Fault{Disk: &faults.Disk{Do: faults.Stall, Calls: []string{"sync", "syncdata", "syncdir"}}}),
		injected("reads hang", faults.Fault{Disk: &faults.Disk{Do: faults.Stall, Calls: []string{"read"}}}),
		injected("lanes panic", faults.Fault{Messages: &faults.Messages{Actor: lanes, Message: "messages.PutObject", Do: faults.Panic}, When: some}),
		injected("answers of lanes are lost", faults.Fault{Messages: &faults.Messages{Actor: lanes, Message: "messages.PutObject", Do: faults.DropReply}, When: some}),
		injected("messages to lanes are lost", faults.Fault{Messages: &faults.Messages{Actor: lanes, Message: "messages.PutObject", Do: faults.Drop}, When: some}),
		injected("transfers panic", faults.Fault{Messages: &faults.Messages{Actor: transfers, Message: "messages.*", Do: faults.Panic}, When: some}),
		injected("chunks are lost", faults.Fault{Messages: &faults.Messages{Actor: transfers, Message: "messages.WriteChunk", Do: faults.Refuse}, When: some}),
	}
	if !volumes {
		return all
	}
	return append(all,
		misfortune{"a real disk hangs", func(m *mixed, _ string) (func() error, error) { return m.volume.Thaw, m.volume.Freeze(atMost) }},
		misfortune{"a real disk is slow", func(m *mixed, _ string) (func() error, error) {
			return func() error { return m.volume.Throttle(0) }, m.volume.Throttle(1 << 20)
		}},
	)
}

// sample is what the process holds when nobody asks anything of the node.
type sample struct{ goroutines, descriptors, bytes int64 }

// rest waits until no request is under way, and counts.
func (m *mixed) rest() sample {
	m.Helper()
	m.s3.Close() // connections are no leak
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	over := time.After(2 * patience)
	for m.node.Slabs().InUse() != 0 {
		select {
		case <-look.C:
		case <-over:
			m.Fatalf("%d slabs are in use, and no request is", m.node.Slabs().InUse())
		}
	}
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		m.Fatal(err)
	}
	return sample{int64(runtime.NumGoroutine()), int64(len(descriptors)), int64(memory.HeapInuse)}
}

// well waits until all mountpaths are ok; one that errors have disabled is enabled.
func (m *mixed) well() {
	m.Helper()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	over := time.After(2 * patience)
	for {
		all, err := m.storage.List(m.Context())
		if err != nil {
			m.Fatal(err)
		}
		sick := slices.IndexFunc(all, func(p storage.Mountpath) bool { return p.State != "ok" && p.State != "slow" })
		if sick < 0 {
			return
		}
		if all[sick].State == "disabled" {
			// It may still be on its way out; then it is asked again.
			if _, err := m.storage.Do(m.Context(), storage.Action{Action: storage.Enable, Path: all[sick].Path}); err != nil {
				m.Logf("enable %s: %v", all[sick].Path, err)
			}
		}
		select {
		case <-look.C:
		case <-over:
			m.Fatalf("a mountpath is not well %s after the fault: %+v", 2*patience, all[sick])
		}
	}
}

// period is some time of load, with a misfortune in the middle half of it; then all is
// well again, everything acknowledged is there, and the process is counted.
func (m *mixed) period(seed uint64, length time.Duration) sample {
	m.Helper()
	all := misfortunes(m.volume != nil)
	what := all[seed%uint64(len(all))]
	disk := "d" + strconv.Itoa(int(seed/uint64(len(all))%disks))
	m.tally.enter(what.name)
	ctx, stop := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for _, c := range m.clients {
		clients.Go(func() { c.run(ctx) })
	}
	finish := func() { stop(); clients.Wait() }
	defer finish()
	<-time.After(length / 4)
	end, err := what.begin(m, disk)
	if err != nil {
		m.Fatalf("%s: %v", what.name, err)
	}
	<-time.After(length / 2)
	if err := end(); err != nil {
		m.Errorf("%s: %v", what.name, err)
	}
	<-time.After(length / 4)
	m.well()
	finish()
	_, served, refused := m.tally.of(what.name)
	m.tally.forget(what.name)
	m.verify()
	s := m.rest()
	m.Logf("seed %d, %s on %s: %d served, %d refused; %d goroutines, %d descriptors, %d KiB", seed, what.name, disk, served, refused, s.goroutines, s.descriptors, s.bytes>>10)
	if served == 0 {
		m.Errorf("%s: no request was served: nothing is shown", what.name)
	}
	return s
}

// verify reads every key until it is served: a key whose write failed is busy until
// that is settled.
func (m *mixed) verify() {
	m.Helper()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	over := time.After(2 * patience)
	for _, c := range m.clients {
		for _, l := range c.keys {
			for {
				ok, err := c.request(l, false)
				if err != nil {
					m.Fatal(err)
				}
				if ok {
					break
				}
				select {
				case <-look.C:
				case <-over:
					m.Fatalf("%s is not served %s after the fault", nameOf(l.key), 2*patience)
				}
			}
		}
	}
}

// grows says which of the figures is not flat: the median of the last third is above
// that of the first by more than a tenth and what a fault leaves for a while. Fewer
// than six samples say nothing.
func grows(samples []sample) error {
	if len(samples) < 6 {
		return nil
	}
	third := len(samples) / 3
	for _, figure := range []struct {
		name  string
		of    func(sample) int64
		slack int64
	}{
		{"goroutines", func(s sample) int64 { return s.goroutines }, 20},
		{"descriptors", func(s sample) int64 { return s.descriptors }, 20},
		{"bytes of heap", func(s sample) int64 { return s.bytes }, 16 << 20},
	} {
		middle := func(of []sample) int64 {
			var values []int64
			for _, s := range of {
				values = append(values, figure.of(s))
			}
			return median(values)
		}
		first, last := middle(samples[:third]), middle(samples[len(samples)-third:])
		if last > first+first/10+figure.slack {
			return fmt.Errorf("%s grow: %d at first, %d at last", figure.name, first, last)
		}
	}
	return nil
}

// A figure that grows is found, one that goes up and down is not.
func TestGrowsFindsALeak(t *testing.T) {
	var flat, leak []sample
	for i := range int64(12) {
		s := sample{100 + i%3, 50 + i%2, 30<<20 + i%5<<20}
		flat = append(flat, s)
		s.descriptors += 10 * i
		leak = append(leak, s)
	}
	if err := grows(flat); err != nil {
		t.Error(err)
	}
	if err := grows(leak); err == nil || !strings.Contains(err.Error(), "descriptors") {
		t.Errorf("ten descriptors more each time: %v", err)
	}
}

// Under a mixed load with one misfortune after another nothing acknowledged is lost,
// no answer is torn, and all is well again after each: a few of them, for a moment.
func TestMixed(t *testing.T) {
	m := newMixed(t, 1)
	all := uint64(len(misfortunes(m.volume != nil)))
	for _, seed := range []uint64{0, 4, 6, 7, 11, 12, 14, all - 1} {
		m.period(seed, 2*time.Second)
	}
}

const (
	// periodMinutes is how often a fault comes.
	periodMinutes = 2
	// mixedMinutes are the eight hours.
	mixedMinutes = 8 * 60
)

// TestMixedSoak is eight hours of mixed load, with a fault every two minutes, in
// slices: nothing acknowledged is lost, and the process holds no more after them than
// before.
func TestMixedSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "mixed", Unit: "minutes of mixed load with a fault every two", Goal: mixedMinutes})
	m := newMixed(t, slice.Next())
	var samples []sample
	for slice.More() {
		s := m.period(slice.Next(), periodMinutes*time.Minute)
		samples = append(samples, s)
		slice.Most("goroutines", s.goroutines)
		slice.Most("descriptors", s.descriptors)
		slice.Most("KiB of heap", s.bytes>>10)
		if err := grows(samples); err != nil {
			slice.Fail(fmt.Sprintf("after seed %d: %v: %+v", slice.Next(), err, samples))
		}
		if !t.Failed() {
			slice.Add(periodMinutes, slice.Next()+1)
		}
	}
}
