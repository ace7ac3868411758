package faults

import (
	"context"
	"net"
	"testing"
)

// swallowed is a connection that takes everything at once: what is left is the desk's.
type swallowed struct{ net.Conn }

func (swallowed) Write(p []byte) (int, error) { return len(p), nil }

func (swallowed) Close() error { return nil }

// BenchmarkIdleLink tells what a desk with no fault costs a write between nodes, beside
// one without a desk; a write of a real socket takes microseconds.
func BenchmarkIdleLink(b *testing.B) {
	d := New(Options{})
	defer d.Close()
	dial := func(context.Context, string, string) (net.Conn, error) { return swallowed{}, nil }
	p := make([]byte, 16<<10)
	for _, c := range []struct {
		name string
		dial func(context.Context, string, string) (net.Conn, error)
	}{{"without", dial}, {"idle", d.Dialer(dial)}} {
		b.Run(c.name, func(b *testing.B) {
			conn, err := c.dial(b.Context(), "tcp", "127.0.0.1:1")
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			for b.Loop() {
				if _, err := conn.Write(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkIdleStep tells what a desk with no fault costs a step of a job.
func BenchmarkIdleStep(b *testing.B) {
	d := New(Options{})
	defer d.Close()
	for b.Loop() {
		if err := d.Step(b.Context(), "move", "id"); err != nil {
			b.Fatal(err)
		}
	}
}
