package consul

import (
	"net"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/process"
)

// A server whose port somebody else has taken while it was down comes back when that
// has ended: suites beside this one take ports all the time.
func TestRestartWaitsForItsPort(t *testing.T) {
	program, err := Binary()
	if err != nil {
		process.Missing(t, "there is no Consul: %v", err)
	}
	s, err := Start(t.Context(), Config{Binary: program, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	squatter, err := net.Listen("tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	before := len(s.Log())
	ended := make(chan error, 1)
	go func() { ended <- s.Restart(t.Context()) }()
	deadline := time.After(time.Minute)
	for probe := time.NewTicker(readyProbe); len(s.Log()) == before; {
		select {
		case <-probe.C:
		case err := <-ended:
			t.Fatalf("it came back on a port that is taken: %v", err)
		case <-deadline:
			t.Fatal("it did not try")
		}
	}
	if err := squatter.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
