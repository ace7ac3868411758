package faults

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/cluster/authority"
	"github.com/troupe-storage/troupe/objects/clock"
)

// twoNodes are node a, which asks, and node b, which answers, over TLS as nodes have
// it. One of them has the desk.
type twoNodes struct {
	*testing.T
	desk  *Desk
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	at    string // b's address
	tls   *tls.Config
	asked chan struct{} // one for each question that b has heard
}

// patience ends a wait that should have ended long ago: only then it is a fault.
const patience = time.Minute

// newTwoNodes starts b. The desk is a's, or b's.
func newTwoNodes(t *testing.T, asks bool) *twoNodes {
	t.Helper()
	made, err := authority.New("cluster", []byte(strings.Repeat("s", authority.MinSecret)))
	if err != nil {
		t.Fatal(err)
	}
	identity := func(node string) *authority.Identity {
		i, err := made.Identity(node, clock.NewSystem())
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &twoNodes{
		T: t, desk: New(Options{}), dial: new(net.Dialer).DialContext, at: socket.Addr().String(),
		tls: identity("a").Client("b"), asked: make(chan struct{}, 1000),
	}
	server := identity("b").Server()
	if asks {
		n.desk.Connect(Network{At: func(address string) string {
			if address == n.at {
				return "b"
			}
			return ""
		}, Peers: func() []string { return []string{"b"} }})
		n.dial = n.desk.Dialer(nil)
	} else {
		socket, server = n.desk.Listener(socket), n.desk.Server(server, authority.PeerOf)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { n.serve(tls.Server(conn, server)) })
		}
	})
	t.Cleanup(func() {
		n.desk.Close()
		if err := socket.Close(); err != nil {
			t.Error(err)
		}
		serving.Wait()
		if left := len(n.desk.connections) + len(n.desk.accepted); left != 0 {
			t.Errorf("the desk knows %d connections that are closed", left)
		}
	})
	return n
}

// serve answers each byte with a byte.
func (n *twoNodes) serve(conn *tls.Conn) {
	defer conn.Close()
	b := make([]byte, 1)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
		n.asked <- struct{}{}
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

// connect makes a connection from a to b, within a time: how long nodes wait.
func (n *twoNodes) connect(within time.Duration) (*tls.Conn, error) {
	ctx, done := context.WithTimeout(context.Background(), within)
	defer done()
	raw, err := n.dial(ctx, "tcp", n.at)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, n.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

func (n *twoNodes) connected() *tls.Conn {
	n.Helper()
	conn, err := n.connect(patience)
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { _ = conn.Close() }) // a fault may have closed it
	return conn
}

// ask asks once, and waits so long for the answer.
func ask(conn *tls.Conn, within time.Duration) error {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("?")); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	return err
}

// silence is how long a test looks whether something comes that must not.
const silence = 100 * time.Millisecond

// Every effect is what it says on connections that are there and on those that are
// made, at the side that asks and at the side that is asked, and is gone with the fault.
// Faults of another node, or of the other direction, do nothing.
func TestLinkEffects(t *testing.T) {
	for _, c := range []struct {
		name  string
		link  Link
		heard bool                   // the question is, on a connection that was there
		err   func(error) bool       // of that question; nil: it is answered
		made  func(error) (bad bool) // of a new connection and a question on it; nil: it is answered
	}{
		{"cut", Link{Do: LinkCut}, false, isCut, isNone},
		{"drop", Link{Do: LinkDrop}, false, isLate, isNone},
		{"drop reply", Link{Do: LinkDropReply}, true, isLate, isNone},
		{"delay", Link{Do: LinkDelay, Delay: 10 * time.Millisecond}, true, nil, nil},
		{"another node", Link{Do: LinkCut, Peers: []string{"c", "d*"}}, true, nil, nil},
		{"another direction", Link{Do: LinkCut}, true, nil, nil},
	} {
		for _, asks := range []bool{true, false} {
			side := map[bool]string{true: " of who asks", false: " of who is asked"}[asks]
			t.Run(c.name+side, func(t *testing.T) {
				n := newTwoNodes(t, asks)
				here, there := "b", Out
				if !asks {
					here, there = "a", In
				}
				link := c.link
				if link.Peers == nil {
					link.Peers = []string{here}
				}
				if link.Direction = there; c.name == "another direction" {
					link.Direction = map[Direction]Direction{Out: In, In: Out}[there]
				}
				conn := n.connected()
				if err := ask(conn, patience); err != nil {
					t.Fatalf("before: %v", err)
				}
				<-n.asked
				i := inject(t, n.desk, Fault{Link: &link})
				within := patience
				if strings.HasPrefix(c.name, "drop") {
					within = silence
				}
				err := ask(conn, within)
				if (c.err == nil) != (err == nil) || err != nil && !c.err(err) {
					t.Errorf("a connection that was there: %v", err)
				}
				if c.heard {
					<-n.asked
				} else if len(n.asked) > 0 {
					t.Error("the question was heard")
				}
				if err := n.again(within); (c.made == nil) != (err == nil) {
					t.Errorf("a connection that is made: %v", err)
				}
				if hit := i.Hits() > 0; hit == strings.HasPrefix(c.name, "another") {
					t.Errorf("%d hits: %+v", i.Hits(), i.Status().Sample)
				}
				i.Clear()
				if c.err != nil { // it has lost bytes, or was cut
					if err := ask(conn, patience); err == nil {
						t.Error("a connection that has lost bytes goes on")
					}
				}
				if err := n.again(patience); err != nil {
					t.Errorf("after the fault: %v", err)
				}
			})
		}
	}
}

// again makes a connection and asks on it.
func (n *twoNodes) again(within time.Duration) error {
	conn, err := n.connect(within)
	if err != nil {
		return err
	}
	defer conn.Close()
	return ask(conn, within)
}

func isLate(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// isCut is what either side reads of a connection that the other, or it itself, has cut.
func isCut(err error) bool { return err != nil && !isLate(err) }

func isNone(err error) bool { return err != nil }

// Who waits on a connection that is cut, or that has lost bytes, is told when that is so,
// and not at the next byte; and one that is dialled while nobody answers is made when the
// fault is lifted.
func TestWhoWaitsOnALinkIsTold(t *testing.T) {
	n := newTwoNodes(t, true)
	waiting := func(conn *tls.Conn) <-chan error {
		answer := make(chan error, 1)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			answer <- err
		}()
		return answer
	}
	answer := waiting(n.connected())
	cut := inject(t, n.desk, Fault{Link: &Link{Do: LinkCut}})
	if err := <-answer; err == nil {
		t.Error("a read ended well on a connection that was cut")
	}
	if _, err := n.connect(patience); !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, ErrInjected) {
		t.Errorf("a connection while links are cut: %v", err)
	}
	cut.Clear()

	second := n.connected()
	drop := inject(t, n.desk, Fault{Link: &Link{Do: LinkDrop}})
	answer = waiting(second)
	dialled := make(chan error, 1)
	go func() { dialled <- n.again(patience) }()
	<-drop.Reached()
	if _, err := second.Write([]byte("?")); err != nil {
		t.Error(err)
	}
	select {
	case err := <-answer:
		t.Errorf("told while bytes are lost: %v", err)
	case err := <-dialled:
		t.Errorf("connected while bytes are lost: %v", err)
	default:
	}
	drop.Clear()
	if err := <-answer; err == nil {
		t.Error("a read ended well on a connection that has lost bytes")
	}
	if err := <-dialled; err != nil {
		t.Errorf("who dialled meanwhile: %v", err)
	}
}

// Count says how many pieces are hit: a few single cuts pass.
func TestAFewCuts(t *testing.T) {
	n := newTwoNodes(t, true)
	i := inject(t, n.desk, Fault{Link: &Link{Do: LinkCut}, When: When{Count: 2}})
	for range 2 {
		if err := n.again(patience); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a connection while links are cut: %v", err)
		}
	}
	if err := n.again(patience); err != nil || i.Hits() != 2 {
		t.Errorf("after two: %v; %d hits", err, i.Hits())
	}
}

// Until the other side has shown who it is, faults about some nodes do nothing; then they
// do.
func TestNobodyIsMistakenForAPeer(t *testing.T) {
	n := newTwoNodes(t, false)
	i := inject(t, n.desk, Fault{Link: &Link{Do: LinkCut, Peers: []string{"*"}, Direction: In}})
	raw, err := net.Dial("tcp", n.at)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Read(make([]byte, 1)); err == nil {
		t.Error("a stranger was answered")
	}
	if i.Hits() != 0 {
		t.Errorf("a stranger was hit: %+v", i.Status().Sample)
	}
	if err := n.again(patience); err == nil || i.Hits() == 0 || !strings.HasSuffix(i.Status().Sample[0].What, " from a") {
		t.Errorf("a node: %v, %+v", err, i.Status().Sample)
	}
}
