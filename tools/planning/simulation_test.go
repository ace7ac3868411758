package planning

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/troupe-storage/troupe/objects/errs"
)

func run(t *testing.T, s Simulation) *Result {
	t.Helper()
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What has to hold for any cluster: nothing is lost, loads are even, and no more moves
// than must.
func TestChangesAreEvenAndSmall(t *testing.T) {
	for name, s := range map[string]Simulation{
		"one joins three":      {Nodes: 3, Keys: 50_000, Copies: 1, Join: 1},
		"with two copies":      {Nodes: 3, Keys: 50_000, Copies: 2, Join: 1},
		"one of four leaves":   {Nodes: 4, Keys: 50_000, Copies: 2, Leave: 1},
		"ten join fifty":       {Nodes: 50, Keys: 300_000, Copies: 1, Join: 10},
		"copies become fewer":  {Nodes: 2, Keys: 50_000, Copies: 2, Leave: 1},
		"first gets a partner": {Nodes: 1, Keys: 50_000, Copies: 2, Join: 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, s)
			if got, want := r.Before.Mean*float64(r.Before.Nodes), float64(s.Keys)*float64(min(s.Copies, s.Nodes)); math.Abs(got-want) > 0.5 {
				t.Errorf("%.0f copies before, want %.0f", got, want)
			}
			if got, want := r.After.Mean*float64(r.After.Nodes), float64(s.Keys)*float64(min(s.Copies, s.Nodes+s.Join-s.Leave)); math.Abs(got-want) > 0.5 {
				t.Errorf("%.0f copies after, want %.0f", got, want)
			}
			if r.Before.Off > 5 || r.After.Off > 5 {
				t.Errorf("not even: %.2f%% before, %.2f%% after", r.Before.Off, r.After.Off)
			}
			if math.Abs(r.Moves.Excess) > 5 {
				t.Errorf("%d copies move, %.2f%% from the fewest possible, %.0f", r.Moves.Copies, r.Moves.Excess, r.Moves.Minimum)
			}
		})
	}
}

// The control: with a placement that moves what need not, the excess shows it.
func TestExcessIsSeen(t *testing.T) {
	s := Simulation{Nodes: 10, Keys: 10_000, Copies: 1, Join: 1}
	counts := []count{{before: make([]int64, 11), after: make([]int64, 11)}}
	for key := range s.Keys { // by remainder: almost everything moves
		was, is := key%10, key%11
		counts[0].before[was]++
		counts[0].after[is]++
		if was != is {
			counts[0].moved++
		}
	}
	if r := s.sum(counts); r.Moves.Excess < 500 {
		t.Errorf("placement by remainder moves only %.0f%% more than must", r.Moves.Excess)
	}
}

// Maps stay within what a value of Consul takes, also in the middle of a plan.
func TestMapsStaySmall(t *testing.T) {
	r := run(t, Simulation{Nodes: 1000, Keys: 1000, Copies: 1, Join: 10, Leave: 10})
	if r.MapBytes > 512<<10 {
		t.Errorf("a map of %d nodes has %d bytes", 1010, r.MapBytes)
	}
}

func TestSimulationIsBoundAndStops(t *testing.T) {
	for _, s := range []Simulation{{}, {Nodes: 1, Keys: 1}, {Nodes: 3, Keys: 1, Copies: 1, Leave: 3}, {Nodes: MaxNodes, Keys: 1, Copies: 1, Join: 1}, {Nodes: 1, Keys: 0, Copies: 1}} {
		if _, err := s.Run(t.Context()); !errs.Is(errs.Invalid, err) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	ctx, done := context.WithCancel(t.Context())
	s := Simulation{Nodes: 100, Keys: math.MaxInt64, Copies: 1, Progress: func(int64) { done() }}
	if _, err := s.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled simulation: %v", err)
	}
}

func TestCommand(t *testing.T) {
	command := Command()
	var out strings.Builder
	command.SetOut(&out)
	command.SetArgs([]string{"simulate", "--nodes", "4", "--keys", "50000", "--copies", "2", "--drain", "1"})
	if err := command.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4 nodes, 25000 copies each", "3 nodes, 33333 copies each", "of the fewest possible"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
