package actors

import (
	"slices"
	"strings"
	"sync"

	"github.com/troupe-storage/troupe/messages"
)

const (
	// keptPanics bounds the list of panics: those that are longest ago are forgotten.
	keptPanics = 64
	// mostCause bounds the text of a cause, in bytes.
	mostCause = 300
)

// panics is what the actors of a system have panicked on, each message about the same
// thing once: who looks for what is wrong with a key finds it here after the actors
// have been made anew, or are gone. Safe for concurrent use; the zero value is ready.
type panics struct {
	mu   sync.Mutex
	list []messages.ActorPanic // by Last, the latest at the end
}

// evidence is what is told of one panic.
func (s *System) evidence(e *entry, message, reason any, stack []byte) messages.ActorPanic {
	found := messages.ActorPanic{
		Address: e.address, Message: nameOf(message), Subject: e.spec.Subject, Cause: causeText(reason), Count: 1, Last: s.clock.Now(),
		Stack: stackText(reason, stack), Version: s.quarantine.version,
	}
	if about, ok := message.(messages.Subjected); ok {
		found.Subject = about.Subject()
	}
	return found
}

// note counts a panic.
func (p *panics) note(next messages.ActorPanic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	same := func(m messages.ActorPanic) bool {
		return m.Message == next.Message && m.Subject == next.Subject && (m.Subject != "" || m.Address == next.Address)
	}
	if i := slices.IndexFunc(p.list, same); i >= 0 {
		next.Count += p.list[i].Count
		p.list = slices.Delete(p.list, i, i+1)
	}
	p.list = append(p.list, next)
	if extra := len(p.list) - keptPanics; extra > 0 {
		p.list = slices.Delete(p.list, 0, extra)
	}
}

// of returns the panics of an actor and of those below it, the latest first.
func (p *panics) of(address string) []messages.ActorPanic {
	p.mu.Lock()
	defer p.mu.Unlock()
	var of []messages.ActorPanic
	for _, m := range slices.Backward(p.list) {
		if m.Address == address || strings.HasPrefix(m.Address, address+"/") {
			of = append(of, m)
		}
	}
	return of
}
