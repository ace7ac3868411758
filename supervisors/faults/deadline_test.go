package faults

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// Deadlines hold on a link that is slower than they are, also those that are set while
// somebody waits; and what came too late for a read is there for the next one, whole, no
// sooner than the link lets it.
func TestDeadlinesHoldOnSlowLinks(t *testing.T) {
	bubble(t, func(t *testing.T, d *Desk) {
		here, there := net.Pipe()
		conn, err := d.Dialer(func(context.Context, string, string) (net.Conn, error) { return here, nil })(t.Context(), "tcp", "b")
		if err != nil {
			t.Fatal(err)
		}
		defer there.Close()
		defer conn.Close()
		i := inject(t, d, Fault{Link: &Link{Do: LinkDelay, Delay: time.Hour}, Expiry: 3 * time.Hour})
		began := time.Now()
		took := func(what string, want time.Duration) {
			t.Helper()
			if got := time.Since(began); got != want {
				t.Errorf("%s: after %s, want %s", what, got, want)
			}
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}

		must(conn.SetWriteDeadline(began.Add(time.Second)))
		if n, err := conn.Write([]byte("?")); n != 0 || !isLate(err) {
			t.Errorf("a write: %d, %v", n, err)
		}
		took("a write", time.Second)

		go func() { _, _ = there.Write([]byte("answer")) }()
		p := make([]byte, 8)
		must(conn.SetReadDeadline(began.Add(time.Minute)))
		for range 2 { // before bytes have come, and when they are kept
			if n, err := conn.Read(p); n != 0 || !isLate(err) {
				t.Errorf("a read: %d, %v", n, err)
			}
			took("a read", time.Minute)
		}
		must(conn.SetReadDeadline(time.Time{}))
		cut := time.AfterFunc(time.Minute, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
		if n, err := conn.Read(p); n != 0 || !isLate(err) {
			t.Errorf("a read that is cut: %d, %v", n, err)
		}
		took("a read that is cut", 2*time.Minute)
		cut.Stop()
		must(conn.SetReadDeadline(time.Time{}))
		for _, want := range []string{"answ", "er"} {
			if n, err := conn.Read(p[:4]); err != nil || string(p[:n]) != want {
				t.Errorf("%q, %v, want %q", p[:n], err, want)
			}
			took("what was kept", time.Hour+time.Second)
		}

		// The end of the fault, and of the connection, ends a wait.
		go func() { _, _ = there.Write([]byte("more")) }()
		time.AfterFunc(time.Minute, i.Clear)
		if n, err := conn.Read(p); err != nil || string(p[:n]) != "more" {
			t.Errorf("%q, %v", p[:n], err)
		}
		took("the end of the fault", time.Hour+time.Second+time.Minute)
		inject(t, d, Fault{Link: &Link{Do: LinkDelay, Delay: time.Hour}})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if _, err := conn.Write([]byte("?")); err == nil {
				t.Error("a write ended well on a connection that is closed")
			}
		}()
		synctest.Wait()
		must(conn.Close())
		<-ended
	})
}
