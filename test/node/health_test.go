package node

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/supervisors/faults"
	"github.com/troupe-storage/troupe/test/soak"
)

// markedWithin is how soon a disk that fails or hangs must be marked, and how soon
// one that is well again must be back.
const markedWithin = 10 * time.Second

// A disk of four that fails everything is disabled within ten seconds, and the
// others have no error; enabling it while it fails is refused with the reason, and
// when it is well again, it is back with all its objects.
func TestDeadDisk(t *testing.T) { deadDisk(t, 2) }

// TestDeadDiskSoak is TestDeadDisk twenty times, with each disk in turn.
func TestDeadDiskSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "dead-disk", Unit: "dead disks", Goal: 20})
	for slice.More() {
		marked := deadDisk(t, int(slice.Next()%4))
		slice.Most("ms until it is disabled", marked.Milliseconds())
		if !t.Failed() {
			slice.Add(1, slice.Next()+1)
		}
	}
}

// deadDisk lets a disk of four die, and returns after what time it was disabled.
func deadDisk(t *testing.T, d int) time.Duration {
	s := newShelter(t, 4)
	dead := s.breaks(d, faults.Disk{Do: faults.Fail})
	began := time.Now()
	key := s.keyOn(d)
	for time.Since(began) < markedWithin && s.mountpath(d).State != "disabled" {
		if err := s.c.put("photos", key, s.held[key]); err == nil {
			t.Error("a write on a dead disk was acknowledged")
		}
		s.others(d)
	}
	m := s.becomes(d, markedWithin, "disabled")
	took := time.Since(began)
	t.Logf("disabled after %s: %s", took.Round(time.Millisecond), m.Reason)
	if took > markedWithin || m.Reason == "" || len(m.Changes) < 2 || m.Readable || m.Writable {
		t.Errorf("after %s: %+v", took, m)
	}
	_, err := s.c.get("photos", key)
	if f := s.refused(err); f.status != http.StatusServiceUnavailable || !strings.Contains(f.body, "disabled") {
		t.Errorf("a key of a disabled disk was answered: %v", f)
	}
	if _, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Enable, Path: s.path(d)}); err == nil {
		t.Error("a dead disk was enabled")
	}
	if m := s.mountpath(d); m.State != "disabled" {
		t.Errorf("after it could not be enabled: %+v", m)
	}
	s.c.bucket(t, "made-meanwhile")
	dead.Clear()
	enabled, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Enable, Path: s.path(d)})
	if err != nil || enabled.State != "ok" || !enabled.Writable {
		t.Fatalf("enabled: %+v, %v", enabled, err)
	}
	s.whole()
	s.c.close()
	s.c.closeNative()
	if err := s.node.Stop(); err != nil {
		t.Errorf("the node did not stop cleanly: %v", err)
	}
	s.open()
	s.whole()
	if err := s.c.put("made-meanwhile", "x", version(1)); err != nil {
		t.Errorf("a bucket that was made while a disk was away: %v", err)
	}
	s.close()
	return took
}

// A disk that hangs is marked within ten seconds; its requests are then refused at
// once, the others have no error and nothing piles up; when it answers again it is
// back by itself.
func TestHungDisk(t *testing.T) {
	s := newShelter(t, 3)
	before := runtime.NumGoroutine()
	hung := s.breaks(1, faults.Disk{Do: faults.Stall})
	began := time.Now()
	var clients sync.WaitGroup
	ended := make(chan struct{})
	for i := range 8 { // clients of the disk that hangs
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				default:
				}
				key := s.keyOn(1)
				if (i+n)%2 == 0 {
					_, _ = s.c.get("photos", key) // it may fail: the disk hangs
				} else {
					_ = s.c.put("photos", key, s.held[key])
				}
			}
		})
	}
	for s.mountpath(1).State != "failing" && time.Since(began) < markedWithin {
		s.others(1)
	}
	m := s.becomes(1, markedWithin, "failing")
	t.Logf("failing after %s: %s", time.Since(began).Round(time.Millisecond), m.Reason)
	if time.Since(began) > markedWithin || m.Writable {
		t.Errorf("after %s: %+v", time.Since(began), m)
	}
	close(ended)
	asked := time.Now()
	f := s.refused(s.c.put("photos", s.keyOn(1), version(1)))
	if took := time.Since(asked); f.status != http.StatusServiceUnavailable || !strings.Contains(f.body, "it is failing") || took > 2*time.Second {
		t.Errorf("a write on a hung disk was answered after %s: %v", took, f)
	}
	s.others(1)
	if now := runtime.NumGoroutine(); now > before+200 {
		t.Errorf("%d goroutines, there were %d", now, before)
	}
	hung.Clear()
	clients.Wait()
	back := time.Now()
	s.becomes(1, markedWithin, "ok", "slow")
	t.Logf("back after %s", time.Since(back).Round(time.Millisecond))
	for _, key := range []string{s.keyOn(1)} {
		eventually(t, markedWithin, func() (struct{}, error) { return struct{}{}, s.c.put("photos", key, s.held[key]) })
	}
	s.whole()
	s.close()
}

// A disk that answers slowly is marked slow, and serves; it is ok by itself later.
func TestSlowDisk(t *testing.T) {
	s := newShelter(t, 2)
	slow := s.breaks(1, faults.Disk{Calls: []string{"sync", "syncdir", "open"}, Do: faults.Slow, Delay: 1500 * time.Millisecond})
	began := time.Now()
	key := s.keyOn(1)
	var client sync.WaitGroup
	client.Go(func() {
		if got, err := s.c.get("photos", key); err != nil || etagOf(got) != etagOf(s.held[key]) {
			t.Errorf("a read of a slow disk: %v", err)
		}
		if err := s.c.put("photos", key, s.held[key]); err != nil {
			t.Errorf("a write on a slow disk: %v", err)
		}
	})
	m := s.becomes(1, markedWithin, "slow")
	t.Logf("slow after %s: %s", time.Since(began).Round(time.Millisecond), m.Reason)
	if !m.Writable || !m.Readable {
		t.Errorf("a slow disk: %+v", m)
	}
	s.others(1)
	client.Wait()
	if m := s.mountpath(1); m.State != "slow" {
		t.Errorf("after %s: %+v", time.Since(began), m)
	}
	slow.Clear()
	s.becomes(1, 2*markedWithin, "ok")
	s.whole()
	s.close()
}

// A disk that turns read-only is read and not written, and takes writes again when
// it can, within ten seconds: listings too, whether or not its index died of it.
func TestReadOnlyDisk(t *testing.T) {
	for _, small := range []bool{false, true} { // a large write fails in its file, a small one in the index
		t.Run(fmt.Sprintf("small %t", small), func(t *testing.T) {
			s := newShelter(t, 2)
			key := s.keyOn(1)
			readOnly := s.breaks(1, faults.Disk{Do: faults.ReadOnly})
			body := s.held[key]
			if small {
				body = version(5)[:100]
			}
			began := time.Now()
			s.refused(s.c.put("photos", key, body))
			m := s.becomes(1, markedWithin, "read-only")
			if m.Writable || !m.Readable {
				t.Errorf("a read-only disk: %+v", m)
			}
			t.Logf("read-only after %s", time.Since(began).Round(time.Millisecond))
			for other, on := range s.on {
				if on != 1 || other == key && small {
					continue
				}
				if got, err := s.c.get("photos", other); err != nil || etagOf(got) != etagOf(s.held[other]) {
					t.Errorf("a read of a read-only disk: %v", err)
				}
			}
			if f := s.refused(s.c.put("photos", key, body)); f.status != http.StatusServiceUnavailable || !strings.Contains(f.body, "read-only") {
				t.Errorf("a write: %v", f)
			}
			if f := s.refused(s.c.delete("photos", key)); f.status != http.StatusServiceUnavailable {
				t.Errorf("a delete: %v", f)
			}
			s.others(1)
			readOnly.Clear()
			s.becomes(1, markedWithin, "ok")
			s.whole()
			s.close()
		})
	}
}

// A disk that is full, under the log of its index too, takes writes again when there
// is room, within ten seconds, and lists.
func TestFullDisk(t *testing.T) {
	s := newShelter(t, 2)
	key := s.keyOn(1)
	full := s.breaks(1, faults.Disk{Do: faults.Full})
	s.refused(s.c.put("photos", key, s.held[key]))
	s.refused(s.c.put("photos", key, version(5)[:100])) // the index dies of it
	m := s.becomes(1, markedWithin, "full")
	if m.Writable || !m.Readable || m.Errors != 0 {
		t.Errorf("a full disk: %+v", m)
	}
	s.others(1)
	full.Clear()
	s.becomes(1, markedWithin, "ok")
	s.whole()
	if m := s.mountpath(1); m.Reopenings != 2 {
		t.Errorf("the index was to be opened again once: %+v", m)
	}
	s.close()
}

// An index that dies is opened again in the process, three times; then its mountpath
// is disabled, and says that the node is to be restarted.
func TestDeadIndexIsOpenedAgain(t *testing.T) {
	s := newShelter(t, 2)
	key := s.keyOn(1)
	for death := 1; death <= 4; death++ {
		fault := s.breaks(1, faults.Disk{Calls: []string{"syncdata", "sync", "write"}, Path: ".troupe/index/*.log", Do: faults.Fail}, faults.When{Count: 1})
		s.refused(s.c.put("photos", key, version(5)[:100]))
		if fault.Hits() == 0 {
			t.Fatal("the index was not hit")
		}
		s.becomes(1, markedWithin, "failing", "disabled")
		if death == 4 {
			m := s.becomes(1, 3*markedWithin, "disabled")
			if !strings.Contains(m.Reason, "restart the node") {
				t.Errorf("disabled: %s", m.Reason)
			}
			break
		}
		s.becomes(1, 3*markedWithin, "ok")
		s.put(key, s.held[key])
		s.whole()
		if m := s.mountpath(1); m.Reopenings != 3-death {
			t.Errorf("after death %d: %+v", death, m)
		}
	}
	s.others(1)
	s.close()
	s.open() // the indexes that died have let the directory go, also to this process
	s.whole()
	s.close()
}

// A disk that is read-only when the node starts is read and listed and refuses writes,
// with the reason; it takes them by itself when it can, with all its objects. What an
// operator disabled meanwhile is not.
func TestReadOnlyAtTheStart(t *testing.T) {
	for _, disabled := range []bool{false, true} {
		t.Run(fmt.Sprintf("disabled %t", disabled), func(t *testing.T) {
			s := newShelter(t, 2)
			s.close()
			desk := faults.New(faults.Options{})
			readOnly, err := desk.Inject(faults.Fault{Disk: &faults.Disk{Mountpath: "d1", Do: faults.ReadOnly}, Expiry: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			s.node = start(t, s.dir, s.disks, func(config *supervisors.Config) { config.Faults = desk })
			s.connect()
			if m := s.mountpath(1); m.State != "read-only" || !strings.Contains(m.Reason, "takes no writes") || !m.Readable || m.Writable {
				t.Errorf("a disk that was read-only at the start: %+v", m)
			}
			s.others(1)
			for key, on := range s.on {
				if got, err := s.c.get("photos", key); on == 1 && (err != nil || etagOf(got) != etagOf(s.held[key])) {
					t.Errorf("a read of a disk that is read-only: %v", err)
				}
			}
			s.listed()
			key := s.keyOn(1)
			for what, err := range map[string]error{
				"a large write": s.c.put("photos", key, s.held[key]), "a small write": s.c.put("photos", key, []byte("x")), "a delete": s.c.delete("photos", key),
			} {
				if f := s.refused(err); f.status != http.StatusServiceUnavailable || !strings.Contains(f.body, "read-only") {
					t.Errorf("%s: %v", what, f)
				}
			}
			hits := readOnly.Hits()
			eventually(t, time.Minute, func() (struct{}, error) { // it is tried, in vain
				if readOnly.Hits() == hits {
					return struct{}{}, &failure{status: http.StatusServiceUnavailable}
				}
				return struct{}{}, nil
			})
			if m := s.mountpath(1); m.State != "read-only" {
				t.Errorf("a disk that is read-only: %+v", m)
			}
			if disabled {
				eventually(t, time.Minute, func() (storage.Mountpath, error) { // another try may be under way
					m, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Disable, Path: s.path(1)})
					if err != nil {
						err = &failure{status: http.StatusServiceUnavailable}
					}
					return m, err
				})
			}
			readOnly.Clear()
			if disabled {
				if m := s.becomes(1, time.Minute, "disabled"); !strings.Contains(m.Reason, "operator") {
					t.Errorf("disabled: %+v", m)
				}
				m := eventually(t, time.Minute, func() (storage.Mountpath, error) { // a try of before may still be under way
					m, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Enable, Path: s.path(1)})
					if err != nil {
						err = &failure{status: http.StatusServiceUnavailable, body: err.Error()}
					}
					return m, err
				})
				if m.State != "ok" {
					t.Fatalf("enabled: %+v", m)
				}
			}
			s.becomes(1, time.Minute, "ok")
			s.whole()
			s.close()
			s.open()
			s.whole()
			s.close()
		})
	}
}

// A mountpath whose index died and that is disabled then has nothing open below its
// directory, so that its filesystem can be unmounted; it is enabled as any other.
func TestDeadIndexLetsItsDirectoryGo(t *testing.T) {
	s := newShelter(t, 2)
	key := s.keyOn(1)
	open := func() (open []string) {
		links, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links {
			// One that was closed meanwhile is not open.
			if name, err := os.Readlink(link); err == nil && (name == s.path(1) || strings.HasPrefix(name, s.path(1)+"/")) {
				open = append(open, name)
			}
		}
		return open
	}
	full := s.breaks(1, faults.Disk{Do: faults.Full})
	s.refused(s.c.put("photos", key, version(5)[:100]))
	s.becomes(1, markedWithin, "full")
	if held := open(); !slices.ContainsFunc(held, func(name string) bool { return strings.Contains(name, "/.troupe/index/") }) {
		t.Fatalf("the control: a dead index has nothing open: %v", held)
	}
	if _, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Disable, Path: s.path(1)}); err != nil {
		t.Fatal(err)
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	over := time.After(time.Minute)
	for held := open(); len(held) > 0; held = open() { // calls under way end first
		select {
		case <-look.C:
		case <-over:
			t.Fatalf("disabled, and open are: %v", held)
		}
	}
	full.Clear()
	if m, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Enable, Path: s.path(1)}); err != nil || m.State != "ok" {
		t.Fatalf("enabled: %+v, %v", m, err)
	}
	s.whole()
	s.close()
}

// An operator disables a mountpath: its keys are refused at once, over a restart
// too, the others are served, buckets are made without it; enabling it undoes all of that.
func TestDisableLastsOverARestart(t *testing.T) {
	for _, disks := range []int{2, 4} {
		t.Run(fmt.Sprint(disks, " disks"), func(t *testing.T) {
			s := newShelter(t, disks)
			key := s.keyOn(1)
			m, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Disable, Path: s.path(1)})
			if err != nil || m.State != "disabled" {
				t.Fatalf("%+v, %v", m, err)
			}
			s.c.bucket(t, "made-meanwhile")
			check := func() {
				t.Helper()
				_, err := s.c.get("photos", key)
				if f := s.refused(err); f.status != http.StatusServiceUnavailable || !strings.Contains(f.body, "it is disabled") {
					t.Errorf("a key of a disabled disk: %v", f)
				}
				s.others(1)
			}
			check()
			s.close()
			s.open()
			if m := s.mountpath(1); m.State != "disabled" || !strings.Contains(m.Reason, "operator") {
				t.Errorf("after a restart: %+v", m)
			}
			check()
			if _, _, err := s.c.do("GET", "/made-meanwhile", "location", nil); err != nil {
				t.Errorf("a bucket made meanwhile is gone after a restart: %v", err)
			}
			m, err = s.c.storage.Do(t.Context(), storage.Action{Action: storage.Enable, Path: s.path(1)})
			if err != nil || m.State != "ok" {
				t.Fatalf("%+v, %v", m, err)
			}
			s.whole()
			s.close()
			s.open()
			s.whole()
			if _, _, err := s.c.do("GET", "/made-meanwhile", "location", nil); err != nil {
				t.Errorf("a bucket made meanwhile is gone: %v", err)
			}
			s.close()
		})
	}
}
