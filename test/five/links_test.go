package five

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// links are the ways between nodes: each can lose what is sent, late or for good, and
// break connections at any byte. Safe for concurrent use.
type links struct {
	mu      sync.Mutex
	random  *rand.Rand
	places  map[string]int // of the listeners for nodes, by address
	lost    map[[2]int]bool
	changed chan struct{}  // closed and replaced when lost changes
	wires   map[*wire]bool // connections that are open
	noise   noise
}

// noise is what happens to connections that are not cut.
type noise struct {
	delay time.Duration // each piece that is sent takes up to so long
	// breaks is how many of a hundred new connections break, after up to breakBytes in
	// both directions together.
	breaks int
}

const breakBytes = 60 << 10

var errBroken = errors.New("the link broke on purpose")

func newLinks(seed uint64) *links {
	return &links{
		random: rand.New(rand.NewPCG(seed, 99)), places: make(map[string]int), lost: make(map[[2]int]bool),
		changed: make(chan struct{}), wires: make(map[*wire]bool),
	}
}

// listens says where a node is.
func (l *links) listens(node int, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.places[address] = node
}

// lose makes what one node sends to another get lost, or arrive again. Connections on
// which something was lost are broken then: what follows would make no sense.
func (l *links) lose(from, to int, is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost[[2]int{from, to}] = is
	close(l.changed)
	l.changed = make(chan struct{})
	if is {
		return
	}
	for w := range l.wires {
		if w.lossy.Load() {
			w.broken.Store(true)
			_ = w.Conn.Close() // who uses it is told
		}
	}
}

// mend makes all links whole.
func (l *links) mend(nodes int) {
	for a := range nodes {
		for b := range nodes {
			l.lose(a, b, false)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noise = noise{}
}

func (l *links) disturb(n noise) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noise = n
}

// dial makes a connection from a node to an address.
func (l *links) dial(from int) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		l.mu.Lock()
		to, known := l.places[address]
		for known && (l.lost[[2]int{from, to}] || l.lost[[2]int{to, from}]) { // no answer to a SYN
			changed := l.changed
			l.mu.Unlock()
			select {
			case <-changed:
			case <-ctx.Done():
				return nil, fmt.Errorf("node %d to node %d: %w", from, to, ctx.Err())
			}
			l.mu.Lock()
		}
		w := &wire{links: l, from: from, to: to}
		w.left.Store(1 << 62)
		if l.random.IntN(100) < l.noise.breaks {
			w.left.Store(l.random.Int64N(breakBytes))
		}
		l.mu.Unlock()
		raw, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		w.Conn = raw
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wires[w] = true
		return w, nil
	}
}

// wire is a connection from one node to another.
type wire struct {
	net.Conn
	links    *links
	from, to int
	left     atomic.Int64 // bytes until it breaks
	lossy    atomic.Bool  // something was lost on it
	broken   atomic.Bool
}

// pass is what happens to some bytes from one node to another: how long they take, and
// whether they get lost.
func (w *wire) pass(from, to, size int) (late time.Duration, lost bool, err error) {
	if w.left.Add(-int64(size)) < 0 {
		w.broken.Store(true)
		_ = w.Conn.Close() // it breaks
		return 0, false, errBroken
	}
	w.links.mu.Lock()
	defer w.links.mu.Unlock()
	if lost = w.links.lost[[2]int{from, to}]; lost {
		w.lossy.Store(true)
	}
	if d := w.links.noise.delay; d > 0 {
		late = time.Duration(w.links.random.Int64N(int64(d)))
	}
	return late, lost, nil
}

// wait is how a link is slow.
func wait(late time.Duration) {
	if late > 0 {
		<-time.After(late)
	}
}

// Write sends, or seems to.
func (w *wire) Write(p []byte) (int, error) {
	late, lost, err := w.pass(w.from, w.to, len(p))
	if err != nil {
		return 0, err
	}
	wait(late)
	if lost {
		return len(p), nil
	}
	return w.Conn.Write(p)
}

// Read takes what arrives; what is lost never does.
func (w *wire) Read(p []byte) (int, error) {
	for {
		n, err := w.Conn.Read(p)
		if err != nil || n == 0 {
			return n, err
		}
		late, lost, err := w.pass(w.to, w.from, n)
		if err != nil {
			return 0, err
		}
		wait(late)
		if !lost {
			return n, nil
		}
	}
}

// Close implements net.Conn.
func (w *wire) Close() error {
	w.links.mu.Lock()
	delete(w.links.wires, w)
	w.links.mu.Unlock()
	if w.broken.Load() {
		return nil // it is closed
	}
	return w.Conn.Close()
}
