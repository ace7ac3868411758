package mountpath

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/mountpath/store"
)

// When a disk is judged. A hang is marked after suspectAfter, the wait for the next
// tick and hungAfter, within ten seconds of its first call.
const (
	// errorLimit is how many disk errors within errorWindow make a disk failing, and
	// how many more while it is failing disable it: a single one may be a bad block,
	// five in ten seconds are a disk. Errors of one key count once.
	errorLimit  = 5
	errorWindow = 10 * time.Second
	// suspectAfter is how long a call may take before the disk is probed.
	suspectAfter = 2 * time.Second
	// hungAfter is how long a call of a probe, or a read while a probe does not
	// return, may take before the disk is taken for one that does not answer.
	hungAfter = 4 * time.Second
	// probePause lies between the end of a probe and the next.
	probePause = time.Second
	// slowFrom is what a call of a probe takes on a slow disk, or a read of at most a
	// slab: a sync of 4 KiB beside other writes takes some 50 ms, and a read behind
	// thirty others on a spinning disk 300.
	slowFrom = time.Second
	// quickBelow is what it takes on a disk that is slow no more.
	quickBelow = 250 * time.Millisecond
	// slowRate is how many bytes a second a slow disk moves at most, measured once it
	// was waited for so long within a window. A spinning disk that does nothing but
	// seek, for requests that count for 128 KiB, moves ten times that.
	slowRate   = 3 << 19
	rateOver   = 2 * time.Second
	rateWindow = 8 * time.Second
	// goodProbes in a row end slow and failing, slow only once reads and rate have
	// given no cause for errorWindow; badProbes in a row disable.
	goodProbes = 3
	badProbes  = 3
)

// readOnlyReason is the reason of a mountpath that is read-only.
const readOnlyReason = "the filesystem takes no writes"

// report is what a mountpath's health comes to.
type report struct {
	state    messages.MountpathState
	reason   string
	writable bool // writes are let in
	readable bool
	reopen   bool // the index died, and another one may be opened in its place
	probe    time.Duration
	errors   uint64
}

// health judges one disk by its errors, its latency, its room and its index. It is
// arithmetic: it knows no actor and no clock; now is what has elapsed. Its owner
// tells it what happens, probes when it asks for that, and takes its report.
type health struct {
	recent []diskError // within errorWindow
	errors uint64      // since the start

	failing   string        // why; empty: it is not
	since     uint64        // errors when it began to fail
	good, bad int           // probes in a row; a probe that was slow and right is neither
	quick     int           // probes in a row that were right and quick
	slow      string        // why; empty: it is not
	slowRead  time.Duration // when reads or rate last said so; 0: never
	measuring time.Duration // when the window of moving and moved began
	moving    time.Duration
	moved     int64
	readOnly  bool
	gone      string // why it is disabled; empty: it is not

	died  error // what the index died of; nil: it lives
	chain int   // reopenings left
	// viewed says that the store was opened to be read only, because the filesystem took
	// no writes: another one follows when it does.
	viewed bool

	fullness store.Fullness
	damaged  string // why so much of what is stored is damaged that it is the disk; empty: it is not

	probing  bool
	ended    time.Duration // when the last probe ended
	probed   time.Duration // how long the longest of its calls took
	full     bool          // it found no room
	oldest   time.Duration // how long the oldest call has been under way
	hung     bool          // the probe does not return
	hungRead bool          // nor does a read
}

// waits is for how long the oldest calls have been under way; 0: there is none.
type waits struct {
	call  time.Duration // of anybody but the prober: a call may be many of the disk
	read  time.Duration // of a reader
	ended time.Duration // the longest read that has ended since the last tick
	// moving is how long somebody has waited since the last tick for payloads that the
	// disk moves, and moved how many bytes it has moved in that time.
	moving time.Duration
	moved  int64
	probe  time.Duration // of the prober, one call of the disk
}

// diskError is one error that speaks against the disk.
type diskError struct {
	at  time.Duration
	key string // of the object; empty: about the whole disk
}

// fault notes an error of the disk.
func (h *health) fault(now time.Duration, key string, err error) {
	h.errors++
	h.forget(now)
	for _, e := range h.recent {
		if key != "" && e.key == key {
			return
		}
	}
	h.recent = append(h.recent, diskError{now, key})
	if len(h.recent) < errorLimit {
		return
	}
	reason := fmt.Sprintf("%d disk errors within %s, the last: %v", len(h.recent), errorWindow, err)
	h.recent = nil
	if h.failing != "" && h.since > 0 {
		h.disable(reason + "; it was failing already")
		return
	}
	h.fail(reason)
	h.since = h.errors
}

// fail makes the disk failing, unless it is.
func (h *health) fail(reason string) {
	if h.failing == "" {
		h.failing, h.good, h.bad, h.since = reason, 0, 0, 0
	}
}

// disable is the end, until somebody enables it.
func (h *health) disable(reason string) {
	if h.gone == "" {
		h.gone = reason
	}
}

func (h *health) forget(now time.Duration) {
	for len(h.recent) > 0 && now-h.recent[0].at > errorWindow {
		h.recent = h.recent[1:]
	}
}

// newHealth judges the disk of a store that has just been opened.
func newHealth(s *store.Store) health {
	return health{viewed: s.ReadOnly(), readOnly: s.ReadOnly()}
}

// turnedReadOnly notes that the filesystem refused a write as one that takes none.
func (h *health) turnedReadOnly() { h.readOnly, h.good = true, 0 }

// indexDied notes what the index died of, and how often another may still follow.
func (h *health) indexDied(cause error, left int) {
	if h.died != nil {
		return
	}
	h.died, h.chain, h.good = cause, left, 0
	switch {
	case errors.Is(cause, syscall.EROFS):
		h.readOnly = true
	case errors.Is(cause, syscall.ENOSPC), errors.Is(cause, syscall.EDQUOT):
	default:
		h.fail(fmt.Sprintf("its index stopped: %v", cause))
	}
}

// measured notes how much room there is.
func (h *health) measured(fullness store.Fullness) { h.fullness = fullness }

// waits notes for how long calls have been under way.
func (h *health) waits(now time.Duration, w waits) {
	h.forget(now)
	h.oldest = w.call
	h.hung = h.probing && w.probe >= hungAfter
	h.hungRead = h.hung && w.read >= hungAfter
	if w.ended >= slowFrom {
		h.slow, h.quick, h.slowRead = fmt.Sprintf("a read took %s", w.ended.Round(100*time.Millisecond)), 0, now
	}
	h.rate(now, w.moving, w.moved)
	if h.probing && w.probe >= slowFrom {
		h.slow, h.quick = fmt.Sprintf("a small write has been under way for %s", w.probe.Round(time.Second)), 0
	}
}

// rate notes what the disk moved while somebody waited for it.
func (h *health) rate(now, moving time.Duration, moved int64) {
	if moving == 0 {
		return
	}
	if now-h.measuring > rateWindow {
		h.measuring, h.moving, h.moved = now, 0, 0
	}
	h.moving += moving
	h.moved += moved
	if h.moving < rateOver {
		return
	}
	if perSecond := int64(float64(h.moved) / h.moving.Seconds()); perSecond < slowRate {
		h.slow, h.quick, h.slowRead = fmt.Sprintf("it moves %d KiB in each second that is waited for it", perSecond>>10), 0, now
	}
	h.measuring, h.moving, h.moved = now, 0, 0
}

// suspicious reports whether there is a reason to probe.
func (h *health) suspicious() bool {
	return len(h.recent) > 0 || h.oldest >= suspectAfter || h.failing != "" || h.slow != "" || h.readOnly || h.viewed || h.died != nil
}

// probeDue reports whether to probe now, and takes it that it is done.
func (h *health) probeDue(now time.Duration) bool {
	if h.gone != "" || h.probing || !h.suspicious() || h.ended > 0 && now-h.ended < probePause {
		return false
	}
	h.probing = true
	return true
}

// probeEnded notes how a probe went, whose longest call took so long. A full disk
// has answered.
func (h *health) probeEnded(now, longest time.Duration, err error) {
	h.probing, h.hung, h.hungRead = false, false, false
	h.ended, h.probed = now, longest
	h.full = errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	switch {
	case errors.Is(err, syscall.EROFS):
		h.turnedReadOnly()
		h.bad, h.quick = 0, 0
		return
	case err != nil && !h.full:
		h.good, h.quick = 0, 0
		h.fail(fmt.Sprintf("a probe failed: %v", err))
		if h.bad++; h.bad >= badProbes {
			h.disable(fmt.Sprintf("%s; %d probes in a row failed, the last: %v", h.failing, h.bad, err))
		}
		return
	}
	h.good, h.bad = h.good+1, 0
	switch {
	case h.probed >= slowFrom:
		h.slow, h.quick = fmt.Sprintf("a call of a small write took %s", h.probed.Round(100*time.Millisecond)), 0
	case h.probed < quickBelow && h.oldest < suspectAfter:
		h.quick++
	default:
		h.quick = 0
	}
	if h.quick >= goodProbes && (h.slowRead == 0 || now-h.slowRead >= errorWindow) {
		h.slow, h.slowRead = "", 0
	}
	if !h.full {
		h.readOnly = false
	}
	if h.died == nil && h.good >= goodProbes && len(h.recent) == 0 {
		h.failing, h.since = "", 0
	}
}

// reopens reports whether the index may be opened again: the disk has answered
// since, and what stopped it, or kept it from being written, has passed.
func (h *health) reopens() bool {
	if h.died == nil && !h.viewed || h.good == 0 || h.full || h.readOnly || h.gone != "" {
		return false
	}
	if h.failing != "" {
		return h.good >= goodProbes && len(h.recent) == 0
	}
	return h.fullness != store.Exhausted
}

// report says what all of it comes to.
func (h *health) report() report {
	r := report{state: messages.MountpathOK, writable: h.died == nil && !h.viewed, readable: true, probe: h.probed, errors: h.errors}
	reopens := h.reopens()
	if reopens && h.died != nil && h.chain == 0 {
		h.disable(fmt.Sprintf("its index stopped (%v), and has been opened again as often as one process may; restart the node", h.died))
		reopens = false
	}
	switch {
	case h.gone != "":
		r.state, r.reason, r.writable, r.readable = messages.MountpathDisabled, h.gone, false, false
	case h.hungRead:
		r.state, r.reason, r.writable, r.readable = messages.MountpathFailing, "it does not answer: reads and a probe do not return", false, false
	case h.hung:
		r.state, r.reason, r.writable = messages.MountpathFailing, "it does not answer: a probe does not return", false
	case h.readOnly:
		r.state, r.reason, r.writable = messages.MountpathReadOnly, readOnlyReason, false
		if h.viewed && h.full {
			r.reason = "the filesystem has no room for any write"
		}
	case h.failing != "":
		r.state, r.reason = messages.MountpathFailing, h.failing
	case h.damaged != "":
		r.state, r.reason = messages.MountpathFailing, h.damaged
	case h.viewed && h.fullness == store.Exhausted:
		r.state, r.reason = messages.MountpathFull, "writes and deletes wait for room"
	case h.viewed:
		r.state, r.reason = messages.MountpathReadOnly, "the filesystem takes writes again; the mountpath is being opened for them"
	case h.died != nil: // for want of room
		r.state, r.reason = messages.MountpathFull, fmt.Sprintf("its index stopped: %v", h.died)
	case h.slow != "":
		r.state, r.reason = messages.MountpathSlow, h.slow
	case h.fullness == store.Full:
		r.state, r.reason = messages.MountpathFull, "writes wait for room"
	case h.fullness == store.Exhausted:
		r.state, r.reason = messages.MountpathFull, "writes and deletes wait for room"
	}
	r.reopen = reopens
	return r
}
