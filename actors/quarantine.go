package actors

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// keptQuarantines bounds how many handlings are refused at a time: beyond it the one
	// that was met longest ago gives way, and if all of them are met, none is added.
	keptQuarantines = 256
	// keptStrikes bounds how many handlings are remembered that have panicked and are
	// not refused: those that did so longest ago are forgotten.
	keptStrikes = 1024
	// mostStack bounds the text of a stack, in bytes: some thirty calls.
	mostStack = 8 << 10
)

// QuarantineLimits says when a handling is quarantined.
type QuarantineLimits struct {
	Panics int           // so many; 0: 3; below 0: none ever is
	Within time.Duration // within so long; 0: an hour
}

// WithDefaults fills in what is not set.
func (l QuarantineLimits) WithDefaults() QuarantineLimits {
	l.Panics = cmp.Or(l.Panics, 3)
	l.Within = cmp.Or(l.Within, time.Hour)
	return l
}

// Quarantine keeps from actors what they have panicked on again and again. It counts
// panics by what was handled (messages.Handled, Spec.Handles), and requests about a
// handling that is quarantined are refused before their actor sees them, until it is
// released. While there is none, that costs an atomic load for each request.
//
// It is a system's, and in memory: what is to be kept over a restart it tells its
// keeper. Safe for concurrent use.
type Quarantine struct {
	limits  QuarantineLimits
	clock   clock.Clock
	log     *logrus.Entry
	version string
	node    string

	shown      atomic.Pointer[map[messages.Handling]*confined] // nil: nothing is quarantined
	panics     atomic.Int64
	begun      atomic.Int64
	refused    atomic.Int64
	turnedAway atomic.Int64

	mu      sync.Mutex
	strikes map[messages.Handling]*strikes
	held    map[messages.Handling]*confined
	gone    []string // ids that their keeper has not dropped yet
	changed func()
}

// strikes are the panics of one handling that count.
type strikes struct{ at []time.Duration } // of the clock's Elapsed, in order

// confined is one quarantine.
type confined struct {
	messages.Quarantine
	refusal *messages.Quarantined
	refused atomic.Int64
	met     atomic.Int64 // when it was met last, of the clock's Elapsed, in ns
	last    atomic.Int64 // when it was refused last, in ns since 1970; 0: never
	kept    bool         // guarded by Quarantine.mu
}

func newQuarantine(o Options) *Quarantine {
	return &Quarantine{
		limits: o.Quarantine.WithDefaults(), clock: o.Clock, log: o.Log, version: o.Version, node: o.Node, changed: func() {},
		strikes: make(map[messages.Handling]*strikes), held: make(map[messages.Handling]*confined),
	}
}

// Quarantine returns what the system keeps from its actors.
func (s *System) Quarantine() *Quarantine { return s.quarantine }

// refuses says why an actor is not to see a request; nil: it is.
func (q *Quarantine) refuses(request any) *messages.Quarantined {
	shown := q.shown.Load()
	if shown == nil {
		return nil
	}
	h, says := handlesOf(request)
	if !says {
		return nil
	}
	c := (*shown)[h]
	if c == nil {
		return nil
	}
	return q.refuse(c)
}

func (q *Quarantine) refuse(c *confined) *messages.Quarantined {
	q.refused.Add(1)
	c.refused.Add(1)
	c.met.Store(int64(q.clock.Elapsed()))
	c.last.Store(q.clock.Now().UnixNano())
	return c.refusal
}

// Refuses says why a handling is not to be begun, for coordinators that know better
// than a message what it is about; nil: it may be.
func (q *Quarantine) Refuses(op errs.Op, h messages.Handling) error {
	shown := q.shown.Load()
	if shown == nil {
		return nil
	}
	if c := (*shown)[h]; c != nil {
		return errs.E(op, errs.Offline, q.refuse(c))
	}
	return nil
}

// Holds reports whether a handling is quarantined, for those who would begin it by
// themselves.
func (q *Quarantine) Holds(h messages.Handling) bool {
	shown := q.shown.Load()
	return shown != nil && (*shown)[h] != nil
}

// Panicked notes a panic that somebody recovered from in place of an actor, who goes on:
// it is listed and counted as one of the actor would be. What says in a word what was
// done.
func (s *System) Panicked(address, what string, handles messages.Handling, r Recovered) {
	evidence := messages.ActorPanic{
		Address: address, Message: what, Subject: handles.Subject(), Cause: causeText(r), Count: 1, Last: s.clock.Now(),
		Stack: stackText(r, nil), Version: s.quarantine.version,
	}
	s.panics.note(evidence)
	s.quarantine.strike(handles, evidence)
}

// strike counts a panic of a handling, and quarantines it if there have been too many.
func (q *Quarantine) strike(h messages.Handling, evidence messages.ActorPanic) {
	q.panics.Add(1)
	if q.limits.Panics < 0 || !h.CanBeKept() {
		return
	}
	now := q.clock.Elapsed()
	q.mu.Lock()
	if c := q.held[h]; c != nil { // it was under way already
		c.met.Store(int64(now))
		q.mu.Unlock()
		return
	}
	n := q.count(h, now)
	if n < q.limits.Panics {
		q.mu.Unlock()
		return
	}
	q.begin(h, n, evidence, now)
	changed := q.changed
	q.mu.Unlock()
	changed()
}

// count adds a panic to those of a handling, and returns how many count. With mu held.
func (q *Quarantine) count(h messages.Handling, now time.Duration) int {
	s := q.strikes[h]
	if s == nil {
		if len(q.strikes) >= keptStrikes {
			q.forgetOldest()
		}
		s = &strikes{}
		q.strikes[h] = s
	}
	s.at = slices.DeleteFunc(s.at, func(at time.Duration) bool { return now-at > q.limits.Within })
	s.at = append(s.at, now)
	return len(s.at)
}

// forgetOldest forgets the panics of the handling that panicked longest ago.
func (q *Quarantine) forgetOldest() {
	var oldest messages.Handling
	var at time.Duration = -1
	for h, s := range q.strikes {
		if last := s.at[len(s.at)-1]; at < 0 || last < at {
			oldest, at = h, last
		}
	}
	delete(q.strikes, oldest)
}

// begin quarantines a handling, if there is room. With mu held.
func (q *Quarantine) begin(h messages.Handling, panics int, evidence messages.ActorPanic, now time.Duration) {
	delete(q.strikes, h)
	log := q.log.WithFields(logrus.Fields{"thing": string(h.Thing), "subject": h.Subject(), "access": string(h.Does), "panics": panics, "cause": evidence.Cause})
	if !q.makeRoom(now) {
		q.turnedAway.Add(1)
		log.WithField("quarantined", len(q.held)).Error("what panics again and again is not quarantined: so many others are, and are asked for; release some")
		return
	}
	c := q.confine(messages.Quarantine{
		ID: newQuarantineID(), Handling: h, Since: q.clock.Now().UTC().Round(0), Panics: panics,
		Address: evidence.Address, Message: evidence.Message, Cause: evidence.Cause, Stack: evidence.Stack, Version: evidence.Version,
	})
	c.met.Store(int64(now))
	q.held[h] = c
	q.begun.Add(1)
	q.publish()
	log.WithFields(logrus.Fields{"quarantine": c.ID, "actor": c.Address, "message": c.Message}).
		Error("quarantined: requests about it are refused until it is released")
}

func (q *Quarantine) confine(what messages.Quarantine) *confined {
	return &confined{Quarantine: what, refusal: what.Refusal(q.node)}
}

// newQuarantineID makes an id that nobody has had: another quarantine of the same thing
// is not released by mistake for this one.
func newQuarantineID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// makeRoom lets the quarantine give way that was met longest ago, if there are too many;
// false: all were met within the time that counts. With mu held.
func (q *Quarantine) makeRoom(now time.Duration) bool {
	if len(q.held) < keptQuarantines {
		return true
	}
	var idle *confined
	for _, c := range q.held {
		if idle == nil || c.met.Load() < idle.met.Load() {
			idle = c
		}
	}
	if now-time.Duration(idle.met.Load()) < q.limits.Within {
		return false
	}
	q.remove(idle)
	q.log.WithFields(logrus.Fields{"quarantine": idle.ID, "thing": string(idle.Handling.Thing), "subject": idle.Handling.Subject()}).
		Warn("a quarantine that nobody asked for makes room for another one")
	return true
}

// remove ends a quarantine. With mu held.
func (q *Quarantine) remove(c *confined) {
	delete(q.held, c.Handling)
	q.gone = append(q.gone, c.ID)
	q.publish()
}

// publish shows to those who refuse what is held. With mu held.
func (q *Quarantine) publish() {
	if len(q.held) == 0 {
		q.shown.Store(nil)
		return
	}
	shown := make(map[messages.Handling]*confined, len(q.held))
	for h, c := range q.held {
		shown[h] = c
	}
	q.shown.Store(&shown)
}

// Restore takes up what an earlier process had quarantined, once, before there are
// actors. The newest are taken if there are too many. Where nothing is to be
// quarantined, what was is neither refused nor forgotten.
func (q *Quarantine) Restore(list []messages.Quarantine) {
	if q.limits.Panics < 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b messages.Quarantine) int { return b.Since.Compare(a.Since) })
	for _, what := range list {
		if len(q.held) >= keptQuarantines || q.held[what.Handling] != nil {
			q.gone = append(q.gone, what.ID)
			continue
		}
		c := q.confine(what)
		c.kept = true
		c.met.Store(int64(q.clock.Elapsed()))
		q.held[what.Handling] = c
	}
	q.publish()
}

// OnChange has somebody told that there may be something to keep or to drop: see
// Pending. The call must not block. Before there are actors.
func (q *Quarantine) OnChange(call func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed = call
}

// Pending returns what is to be written for the next start, and the ids of what is to
// be removed.
func (q *Quarantine) Pending() (keep []messages.Quarantine, drop []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.held {
		if !c.kept {
			keep = append(keep, c.Quarantine)
		}
	}
	return keep, slices.Clone(q.gone)
}

// Kept says that a quarantine was written.
func (q *Quarantine) Kept(id string) { q.setKept(id, true) }

// Unkept says that nobody knows whether a quarantine would be there after a crash: it is
// written again.
func (q *Quarantine) Unkept(id string) { q.setKept(id, false) }

func (q *Quarantine) setKept(id string, is bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c := q.find(id); c != nil {
		c.kept = is
	}
}

// Dropped says that nothing is kept of a quarantine any more.
func (q *Quarantine) Dropped(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gone = slices.DeleteFunc(q.gone, func(gone string) bool { return gone == id })
}

// Find returns a quarantine; errs.NotFound if there is none of that id.
func (q *Quarantine) Find(id string) (messages.QuarantineState, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.find(id)
	if c == nil {
		return messages.QuarantineState{}, errs.E("actors.Quarantine", id, errs.NotFound, fmt.Errorf("no quarantine has the id %q", id))
	}
	return c.state(), nil
}

// find returns a quarantine by its id; nil if there is none. With mu held.
func (q *Quarantine) find(id string) *confined {
	for _, c := range q.held {
		if c.ID == id {
			return c
		}
	}
	return nil
}

// Release ends a quarantine: its handling is tried again, and its panics are counted
// anew. errs.NotFound if there is none of that id.
func (q *Quarantine) Release(id string) (messages.Quarantine, error) {
	q.mu.Lock()
	c := q.find(id)
	if c == nil {
		q.mu.Unlock()
		return messages.Quarantine{}, errs.E("actors.Quarantine", id, errs.NotFound, fmt.Errorf("no quarantine has the id %q", id))
	}
	q.remove(c)
	changed := q.changed
	q.mu.Unlock()
	q.log.WithFields(logrus.Fields{"quarantine": id, "thing": string(c.Handling.Thing), "subject": c.Handling.Subject(), "access": string(c.Handling.Does), "refused": c.refused.Load()}).
		Warn("released from quarantine")
	changed()
	return c.Quarantine, nil
}

// List returns the quarantines, the newest first.
func (q *Quarantine) List() []messages.QuarantineState {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := make([]messages.QuarantineState, 0, len(q.held))
	for _, c := range q.held {
		list = append(list, c.state())
	}
	slices.SortFunc(list, func(a, b messages.QuarantineState) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// state returns what is seen of a quarantine. With mu held.
func (c *confined) state() messages.QuarantineState {
	s := messages.QuarantineState{Quarantine: c.Quarantine, Refused: c.refused.Load(), Kept: c.kept}
	if last := c.last.Load(); last != 0 {
		s.LastRefused = time.Unix(0, last).UTC()
	}
	return s
}

// QuarantineCensus is what metrics show of quarantines. The sums never fall.
type QuarantineCensus struct {
	Now        map[messages.Thing]int // by what is quarantined
	Panics     int64                  // of actors, all there were
	Begun      int64                  // quarantines
	Refused    int64                  // requests
	TurnedAway int64                  // handlings that there was no room for
}

// Census counts.
func (q *Quarantine) Census() QuarantineCensus {
	c := QuarantineCensus{
		Now:    map[messages.Thing]int{messages.KeyThing: 0, messages.BucketThing: 0, messages.JobThing: 0},
		Panics: q.panics.Load(), Begun: q.begun.Load(), Refused: q.refused.Load(), TurnedAway: q.turnedAway.Load(),
	}
	if shown := q.shown.Load(); shown != nil {
		for h := range *shown {
			c.Now[h.Thing]++
		}
	}
	return c
}

// handled returns what a message handles, or else the actor that it came to.
func handled(e *entry, message any) messages.Handling {
	if h, says := handlesOf(message); says {
		return h
	}
	return e.spec.Handles
}

// handlesOf returns what a message says that it handles. One of an extension that panics
// instead says nothing: this is asked where nobody guards it.
func handlesOf(message any) (h messages.Handling, says bool) {
	about, says := message.(messages.Handled)
	if !says {
		return h, false
	}
	defer func() {
		if recover() != nil {
			h, says = messages.Handling{}, false
		}
	}()
	return about.Handles(), true
}

// Recovered is a panic of a goroutine that works for an actor, which that goes on with:
// panic(Recovered{…}). Reason and Stack are of the goroutine.
type Recovered struct {
	Reason any
	Stack  []byte
}

// String is the reason.
func (r Recovered) String() string { return fmt.Sprint(r.Reason) }

// stackText is the stack of a panic from where it came up, bounded.
func stackText(reason any, here []byte) string {
	stack := here
	if r, ok := reason.(Recovered); ok {
		stack = r.Stack
	}
	if at := bytes.Index(stack, []byte("\npanic(")); at >= 0 { // above are those who deal with it
		stack = stack[at+1:]
	}
	return bounded(strings.ToValidUTF8(string(stack), "?"), mostStack)
}

// causeText is what an actor panicked with, in one line.
func causeText(reason any) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(fmt.Sprint(reason), "?"))
	return bounded(text, mostCause)
}

// bounded cuts a text to so many bytes, at a rune.
func bounded(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
