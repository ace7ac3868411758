package actors

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/clock"
)

// echo answers every ask.
type echo struct{}

func (echo) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*ask); ok {
		m.reply.Send(1, nil)
	}
}

// BenchmarkHop is one request to an actor and its answer, as the data path pays
// it once per object: guard, mailbox, reply channel and deadline. It reports the
// CPU of the whole process for each; the figure to stay below is 5 µs.
func BenchmarkHop(b *testing.B) {
	s := NewSystem(quietLog())
	pid, err := s.Spawn(s.Root(), Spec{Name: "echo", New: func() actor.Actor { return echo{} }})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	before := processTime(b)
	for b.Loop() {
		m := &ask{reply: messages.NewReply[int64]()}
		s.Root().Send(pid, m)
		if _, err := m.reply.Wait("bench", time.Minute); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processTime(b)-before)/1e3/float64(b.N), "cpu-µs/op")
	if err := s.Stop(pid); err != nil {
		b.Fatal(err)
	}
	s.Shutdown()
}

func processTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkQuarantine is what each request costs that no quarantine is about: without
// one, and with as many as there can be.
func BenchmarkQuarantine(b *testing.B) {
	for _, held := range []int{0, keptQuarantines} {
		b.Run(fmt.Sprint(held), func(b *testing.B) {
			q := newQuarantine(Options{Clock: clock.NewSystem(), Log: quietLog(), Quarantine: QuarantineLimits{Panics: 1}})
			for i := range held {
				q.strike(handlingOf(fmt.Sprint("bad", i), messages.ReadAccess), messages.ActorPanic{})
			}
			var m any = &touch{key: "photos/2026/11/cat.jpg", does: messages.ReadAccess}
			b.ReportAllocs()
			for b.Loop() {
				if q.refuses(m) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}
