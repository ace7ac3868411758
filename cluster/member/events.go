package member

import (
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/messages"
)

// eventRoom is how many events wait for a listener that is slow; then the oldest of
// them is left out.
const eventRoom = 256

// Events hands what happens in the cluster on to the log and to whoever listens. Safe
// for concurrent use.
type Events struct {
	log *logrus.Entry

	mu        sync.Mutex
	listeners map[*Listener]bool
}

// NewEvents makes a stream that logs what it is told.
func NewEvents(log *logrus.Entry) *Events {
	return &Events{log: log, listeners: make(map[*Listener]bool)}
}

// Listener hears of events from when it was made until it is closed.
type Listener struct {
	// C has the events, in their order. It is never closed.
	C      <-chan messages.ClusterEvent
	in     chan messages.ClusterEvent
	events *Events
}

// Listen begins to listen. The caller closes the listener.
func (e *Events) Listen() *Listener {
	in := make(chan messages.ClusterEvent, eventRoom)
	l := &Listener{C: in, in: in, events: e}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listeners[l] = true
	return l
}

// Close ends listening. More than once is no failure.
func (l *Listener) Close() {
	l.events.mu.Lock()
	defer l.events.mu.Unlock()
	delete(l.events.listeners, l)
}

// tell hands an event on. It never blocks.
func (e *Events) tell(event messages.ClusterEvent) {
	fields := logrus.Fields{"event": string(event.Kind)}
	for name, value := range map[string]string{"node": string(event.Node), "state": string(event.State), "reason": event.Reason} {
		if value != "" {
			fields[name] = value
		}
	}
	if event.Version != 0 {
		fields["smap"] = event.Version
	}
	level := logrus.InfoLevel
	switch event.Kind {
	case messages.ClusterNodeSilent, messages.ClusterUnconfirmed, messages.ClusterMapRefused, messages.ClusterMapRestored:
		level = logrus.WarnLevel
	}
	e.log.WithFields(fields).Log(level, "cluster")
	e.mu.Lock()
	defer e.mu.Unlock()
	for l := range e.listeners {
		select {
		case l.in <- event:
			continue
		default:
		}
		select { // it is slow: the oldest makes room, and only who tells fills it
		case <-l.in:
		default:
		}
		l.in <- event
	}
}
