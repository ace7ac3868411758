package node

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api/storage"
	"github.com/troupe-storage/troupe/supervisors/faults"
)

// readsOf reads the objects of one disk, each in a client of its own, until stop.
func (s *shelter) readsOf(d int) (stop func()) {
	ended := make(chan struct{})
	var clients sync.WaitGroup
	for key, on := range s.on {
		if on != d {
			continue
		}
		clients.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
					_, _ = s.c.get("photos", key) // it may fail: the disk does
				}
			}
		})
	}
	return func() { close(ended); clients.Wait() }
}

// A disk that only reads slowly, while its writes and what a probe does are quick,
// is found by its reads, serves, and is ok by itself when they are quick again.
func TestSlowReads(t *testing.T) {
	s := newShelter(t, 2)
	slow := s.breaks(1, faults.Disk{Calls: []string{"read"}, Path: "photos/**", Do: faults.Slow, Delay: 1200 * time.Millisecond})
	began := time.Now()
	stop := s.readsOf(1)
	m := s.becomes(1, markedWithin, "slow")
	t.Logf("slow after %s: %s", time.Since(began).Round(time.Millisecond), m.Reason)
	if !m.Writable || !m.Readable || !strings.Contains(m.Reason, "a read took") {
		t.Errorf("a disk whose reads are slow: %+v", m)
	}
	s.others(1)
	key := s.keyOn(1)
	if got, err := s.c.get("photos", key); err != nil || etagOf(got) != etagOf(s.held[key]) {
		t.Errorf("a read of it: %v", err)
	}
	if m := s.mountpath(1); m.State != "slow" {
		t.Errorf("after %s of slow reads and quick probes: %+v", time.Since(began), m)
	}
	slow.Clear()
	stop()
	s.becomes(1, requestTime, "ok")
	s.whole()
	s.close()
}

// A disk whose reads alone hang, past the page cache and behind it, is found by them,
// and not by a probe that reads what it has just written from memory.
func TestHungReads(t *testing.T) {
	s := newShelter(t, 2)
	hung := s.breaks(1, faults.Disk{Calls: []string{"read"}, Do: faults.Stall})
	began := time.Now()
	stop := s.readsOf(1)
	m := s.becomes(1, markedWithin, "failing")
	t.Logf("failing after %s: %s", time.Since(began).Round(time.Millisecond), m.Reason)
	if m.Writable {
		t.Errorf("a disk whose reads hang: %+v", m)
	}
	s.others(1)
	hung.Clear()
	stop()
	s.becomes(1, markedWithin, "ok", "slow")
	key := s.keyOn(1)
	eventually(t, requestTime, func() (struct{}, error) { return struct{}{}, s.c.put("photos", key, s.held[key]) })
	s.whole()
	s.close()
}

// A disk that only reads wrongly is found. Payloads that fail make it failing, and it
// comes back by itself; if they go on to fail, it is disabled; and if all reads fail,
// one is enough, because the probe that it causes reads the disk, too: one that read
// from memory what it has just written would find it well.
func TestReadErrors(t *testing.T) {
	for _, c := range []struct {
		name, path string
		keys       int  // that are read
		again      bool // and again
		ends       string
		reason     string
	}{
		{"some payloads", "photos/**", 5, false, "failing", "5 disk errors"},
		{"payloads again and again", "photos/**", 5, true, "disabled", "it was failing already"},
		{"every read", "", 1, false, "disabled", "probes in a row failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShelter(t, 2)
			var keys []string
			for i := 0; len(keys) < c.keys; i++ {
				key := fmt.Sprintf("more%d", i)
				if s.put(key, largeVersion(uint64(1000+i)<<20)); s.on[key] == 1 {
					keys = append(keys, key)
				}
			}
			broken := s.breaks(1, faults.Disk{Calls: []string{"read"}, Path: c.path, Do: faults.Fail})
			began := time.Now()
			for ok := true; ok; ok = c.again && s.mountpath(1).State != "disabled" && time.Since(began) < markedWithin {
				for _, key := range keys {
					if _, err := s.c.get("photos", key); err == nil {
						t.Errorf("%s was read from a disk that fails", key)
					}
				}
			}
			m := s.becomes(1, markedWithin, c.ends)
			t.Logf("%s after %s: %s", m.State, time.Since(began).Round(time.Millisecond), m.Reason)
			if !strings.Contains(m.Reason, c.reason) {
				t.Errorf("it is %s: %s", m.State, m.Reason)
			}
			s.others(1)
			broken.Clear()
			if c.ends == "disabled" {
				_, err := s.c.get("photos", keys[0])
				if f := s.refused(err); f.status != http.StatusServiceUnavailable || !strings.Contains(f.body, "disabled") {
					t.Errorf("a read of it: %v", f)
				}
				if _, err := s.c.storage.Do(t.Context(), storage.Action{Action: storage.Enable, Path: s.path(1)}); err != nil {
					t.Error(err)
				}
			}
			s.becomes(1, requestTime, "ok")
			s.whole()
			s.close()
		})
	}
}
