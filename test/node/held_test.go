package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/supervisors/faults"
)

// heldWithin is how soon after a disk was marked as hanging its requests must be
// answered: the coordinator looks four times a second.
func heldWithin() time.Duration {
	if raceDetector {
		return 10 * time.Second
	}
	return time.Second
}

// bodyOf is a payload of so many bytes that another seed does not make.
func bodyOf(seed uint64, size int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	body := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(body) // never fails
	return body
}

// heldRequest is a request that a hanging disk holds, and how it was answered.
type heldRequest struct {
	what   string
	key    string
	body   []byte // of a write; nil: a read
	err    error
	answer time.Time
}

// held are requests that were sent before a disk was marked.
type held struct {
	mu       sync.Mutex
	answered []*heldRequest
	clients  sync.WaitGroup
}

func (h *held) send(what, key string, body []byte, do func() error) {
	r := &heldRequest{what: what, key: key, body: body}
	h.clients.Go(func() {
		r.err = do()
		r.answer = time.Now()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.answered = append(h.answered, r)
	})
}

// Requests that a hanging disk holds are answered when it is marked, and not when it
// answers or their deadline has passed: those that were in a call, those that waited
// behind them, uploads half way and at their end, reads and listings. What the calls
// have of their memory stays theirs until they come back, and then all of it is back;
// what is written afterwards is never overtaken by what they were about, and no
// object is torn.
func TestHungDiskAnswersWhatItHolds(t *testing.T) {
	for name, fault := range map[string]faults.Disk{
		"everything hangs": {Do: faults.Stall},
		"syncs hang":       {Do: faults.Stall, Calls: []string{"sync", "syncdata", "syncdir"}},
	} {
		t.Run(name, func(t *testing.T) { answersWhatItHolds(t, fault) })
	}
}

func answersWhatItHolds(t *testing.T, fault faults.Disk) {
	s := newShelter(t, 2)
	var keys []string
	for key, on := range s.on {
		if on == 1 {
			keys = append(keys, key)
		}
	}
	everything := len(fault.Calls) == 0
	hung := s.breaks(1, fault)
	h := new(held)
	for i, key := range keys {
		for version, size := range []int{100, 101, inlineBytes + 1, 3 << 20} { // in the index, behind that one, a file at its end, a file half way
			body := bodyOf(uint64(8*i+version), size)
			h.send(fmt.Sprintf("put of %d bytes", size), key, body, func() error { return s.c.put("photos", key, body) })
		}
	}
	if everything {
		for _, key := range keys {
			h.send("get", key, nil, func() error { _, err := s.c.get("photos", key); return err })
		}
	}
	<-hung.Reached()
	if s.node.Slabs().InUse() == 0 {
		t.Error("the requests hold no memory: nothing is shown about it")
	}
	s.becomes(1, markedWithin, "failing")
	marked := time.Now()
	answers := make(chan struct{})
	go func() { h.clients.Wait(); close(answers) }()
	select {
	case <-answers:
	case <-time.After(requestTime):
		t.Fatal("requests of the hung disk are not answered")
	}
	var unknown, refused int
	for _, r := range h.answered {
		f := s.refused(r.err)
		if f.status != http.StatusServiceUnavailable || !strings.Contains(f.body, "failing") {
			t.Errorf("%s of %s was answered with %v", r.what, r.key, f)
		}
		if took := r.answer.Sub(marked); took > heldWithin() {
			t.Errorf("%s of %s was answered %s after the mark", r.what, r.key, took)
		}
		if strings.Contains(f.body, "may or may not") {
			unknown++
		} else {
			refused++
		}
	}
	if unknown == 0 || refused == 0 {
		t.Errorf("%d requests were told that their outcome is unknown, %d that they were not done: both kinds were to be met", unknown, refused)
	}
	t.Logf("%d requests with an unknown outcome and %d others were answered %s after the mark at the latest; %d slabs stay with the disk",
		unknown, refused, h.last().Sub(marked).Round(time.Millisecond), s.node.Slabs().InUse())
	if s.node.Slabs().InUse() == 0 {
		t.Error("memory came back that calls of the disk may still read")
	}
	s.others(1)

	hung.Clear()
	s.becomes(1, markedWithin, "ok", "slow")
	written := make(map[string][]byte)
	for i, key := range keys[:len(keys)/2+1] { // these are written anew while the old calls end
		body := bodyOf(uint64(1000+i), 100+i*inlineBytes)
		eventually(t, requestTime, func() (struct{}, error) { return struct{}{}, s.c.put("photos", key, body) })
		written[key] = body
	}
	slabsComeBack(t, s.node)
	for _, key := range keys {
		got := eventually(t, requestTime, func() ([]byte, error) { return s.c.get("photos", key) }) // it fails on a torn one
		if want, ok := written[key]; ok && !bytes.Equal(got, want) {
			t.Errorf("%s was acknowledged, and %d other bytes are there", key, len(got))
		} else if !ok && !s.isOneOf(h, key, got) {
			t.Errorf("%s holds %d bytes that nobody wrote", key, len(got))
		}
		s.held[key] = got
	}
	s.whole()
	slabsComeBack(t, s.node)
	s.close()
}

// last is when the last answer came.
func (h *held) last() (last time.Time) {
	for _, r := range h.answered {
		if r.answer.After(last) {
			last = r.answer
		}
	}
	return last
}

// isOneOf reports whether a body is what the key had, or what a request may have
// made of it.
func (s *shelter) isOneOf(h *held, key string, got []byte) bool {
	if bytes.Equal(got, s.held[key]) {
		return true
	}
	for _, r := range h.answered {
		if r.key == key && r.body != nil && bytes.Equal(got, r.body) {
			return true
		}
	}
	return false
}
