package protocol_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/protocol"
	"github.com/troupe-storage/troupe/test/soak"
)

var (
	seedFlag = flag.Uint64("protocol.seed", 0, "play this seed only, and print its trace")
	sliced   = flag.Bool("protocol.slices", false, "with -protocol.seed: the seed is one of runs with slices")
	planned  = flag.Bool("protocol.plans", false, "with -protocol.seed: the seed is one of runs with slices and plans")
	local    = flag.Bool("protocol.local", false, "with -protocol.seed: the seed is one of runs with the mountpaths of a node")
	ruleFlag = flag.String("protocol.without", "", "with -protocol.seed: switch this rule off")
)

// explain returns the shortest trace found of a seed that goes wrong, and the
// command that repeats it.
func explain(of func(uint64) (protocol.Profile, protocol.Schedule), seed uint64, without protocol.Rule, wrong string) string {
	p, s := of(seed)
	rules := protocol.Without(without)
	s = protocol.Shrink(p, s, rules, 2000)
	short := protocol.Run(p, s, rules, true)
	return fmt.Sprintf("seed %d, %+v: %s\nshrunk to %d steps: %s\n%s\nagain: go test ./test/protocol -run TestSeed -protocol.slices=%v -protocol.plans=%v -protocol.local=%v -protocol.seed=%d -protocol.without=%q -v",
		seed, p, wrong, len(s), short.Wrong, strings.Join(short.Trace, "\n"), p.Data > 0 && !p.Plans, p.Data > 0 && p.Plans, p.Local, seed, without)
}

// TestSeed plays the seed of a failure again, and prints its shrunk trace. Without
// a seed it shows that it can: it plays one with a rule switched off.
func TestSeed(t *testing.T) {
	seed, without := *seedFlag, protocol.Rule(*ruleFlag)
	if seed == 0 {
		seed, without = 9, protocol.Settle
	}
	of := protocol.ScheduleOf
	switch {
	case *sliced:
		of = protocol.SlicesOf
	case *planned:
		of = protocol.PlansOf
	case *local:
		of = protocol.LocalOf
	}
	p, s := of(seed)
	v := protocol.Run(p, s, protocol.Without(without), false)
	if *seedFlag != 0 {
		t.Log(explain(of, seed, without, v.Wrong))
		return
	}
	shrunk := protocol.Shrink(p, s, protocol.Without(without), 2000)
	if v.Wrong == "" || len(shrunk)*4 > len(s) {
		t.Fatalf("seed %d without %q: %q, shrunk from %d to %d steps", seed, without, v.Wrong, len(s), len(shrunk))
	}
}

// With all rules on no run goes wrong.
func TestProtocol(t *testing.T) {
	const runs = 800
	var operations, acknowledged int
	var maps uint64
	found := []uint64{13168, 22993, 56442} // what longer searches found in rules that were missing
	for i := range uint64(runs) {
		seed := i
		if int(i) < len(found) {
			seed = found[i]
		}
		p, s := protocol.ScheduleOf(seed)
		v := protocol.Run(p, s, nil, false)
		if v.Wrong != "" {
			t.Fatal(explain(protocol.ScheduleOf, seed, "", v.Wrong))
		}
		if v.Inconclusive {
			t.Errorf("seed %d: the judge took too long", seed)
		}
		operations, acknowledged, maps = operations+v.Operations, acknowledged+v.Acknowledged, maps+v.Maps
	}
	// A cluster that answers nothing is linearizable, too.
	if acknowledged*4 < operations || maps < 10*runs {
		t.Errorf("%d of %d operations were acknowledged, %d maps written: the runs show little", acknowledged, operations, maps)
	}
	t.Logf("%d runs, %d operations, %d acknowledged, %d maps", runs, operations, acknowledged, maps)
}

// With slices, three of data and two of parity on five and six nodes, no run goes wrong either.
func TestSlices(t *testing.T) {
	const runs = 400
	sum := slicesRuns(t, protocol.SlicesOf, 0, runs)
	for _, seed := range []uint64{563, 654, 2580} { // what longer searches found
		v := slicesRuns(t, protocol.SlicesOf, seed, 1)
		sum.Backs, sum.Losses = sum.Backs+v.Backs, sum.Losses+v.Losses
	}
	if sum.Acknowledged*2 < sum.Operations || sum.Backs < runs/100 || sum.Losses == 0 {
		t.Errorf("of %d operations %d were acknowledged, %d records gone back from, %d settled without their payload: the runs show little",
			sum.Operations, sum.Acknowledged, sum.Backs, sum.Losses)
	}
	t.Logf("%d runs, %d operations, %d acknowledged, %d maps, %d times back, %d times lost", runs, sum.Operations, sum.Acknowledged, sum.Maps, sum.Backs, sum.Losses)
}

// Nor do runs with slices in which nodes join, are drained and given up, or the bucket is converted.
func TestPlans(t *testing.T) {
	const runs = 80
	sum := slicesRuns(t, protocol.PlansOf, 0, runs)
	if sum.Acknowledged*2 < sum.Operations || sum.Plans < runs/4 || sum.Conversions < runs/8 || sum.GivenUp == 0 {
		t.Errorf("of %d operations %d were acknowledged, %d plans and %d conversions finished, %d nodes given up: the runs show little",
			sum.Operations, sum.Acknowledged, sum.Plans, sum.Conversions, sum.GivenUp)
	}
	t.Logf("%d runs, %d operations, %d acknowledged, %d plans, %d conversions, %d nodes given up", runs, sum.Operations, sum.Acknowledged, sum.Plans, sum.Conversions, sum.GivenUp)
}

// Nor do runs of the mountpaths of a node, which fail, hang, and start anew together with whichever
// are there.
func TestLocal(t *testing.T) {
	const runs = 150
	sum := slicesRuns(t, protocol.LocalOf, 0, runs)
	if sum.Acknowledged*3 < sum.Operations || sum.Starts < 5*runs || sum.Unserved < runs || sum.Maps < 10*runs {
		t.Errorf("of %d operations %d were acknowledged, %d maps written, %d starts, %d of which served nothing: the runs show little",
			sum.Operations, sum.Acknowledged, sum.Maps, sum.Starts, sum.Unserved)
	}
	t.Logf("%d runs, %d operations, %d acknowledged, %d maps, %d starts, %d of which served nothing at first", runs, sum.Operations, sum.Acknowledged, sum.Maps, sum.Starts, sum.Unserved)
}

// slicesRuns plays so many seeds and sums up what they did; it fails on the first
// that goes wrong.
func slicesRuns(t *testing.T, of func(uint64) (protocol.Profile, protocol.Schedule), from, count uint64) (sum protocol.Verdict) {
	t.Helper()
	for seed := from; seed < from+count; seed++ {
		p, s := of(seed)
		v := protocol.Run(p, s, nil, false)
		if v.Wrong != "" {
			t.Fatal(explain(of, seed, "", v.Wrong))
		}
		if v.Inconclusive {
			t.Errorf("seed %d: the judge took too long", seed)
		}
		sum.Operations, sum.Acknowledged, sum.Maps = sum.Operations+v.Operations, sum.Acknowledged+v.Acknowledged, sum.Maps+v.Maps
		sum.Backs, sum.Losses = sum.Backs+v.Backs, sum.Losses+v.Losses
		sum.Starts, sum.Unserved = sum.Starts+v.Starts, sum.Unserved+v.Unserved
		sum.Plans, sum.Conversions, sum.GivenUp = sum.Plans+v.Plans, sum.Conversions+v.Conversions, sum.GivenUp+v.GivenUp
	}
	return sum
}

// TestSlicesSoak plays a million schedules with slices and all rules on.
func TestSlicesSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "protocol-slices", Unit: "schedules of the protocol's model with slices", Goal: 1_000_000})
	for slice.More() {
		const batch = 200
		sum := slicesRuns(t, protocol.SlicesOf, slice.Next()+10_000, batch) // the others are the short form's, and the witnesses'
		slice.Count("operations", int64(sum.Operations))
		slice.Count("acknowledged", int64(sum.Acknowledged))
		slice.Count("times back", int64(sum.Backs))
		slice.Count("times lost", int64(sum.Losses))
		slice.Add(batch, slice.Next()+batch)
	}
}

// TestPlansSoak plays a million schedules with slices and plans, and all rules on.
func TestPlansSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "protocol-plans", Unit: "schedules of the protocol's model with slices and plans", Goal: 1_000_000})
	for slice.More() {
		const batch = 200
		sum := slicesRuns(t, protocol.PlansOf, slice.Next()+10_000, batch) // as above
		slice.Count("operations", int64(sum.Operations))
		slice.Count("acknowledged", int64(sum.Acknowledged))
		slice.Count("plans", int64(sum.Plans))
		slice.Count("conversions", int64(sum.Conversions))
		slice.Count("nodes given up", int64(sum.GivenUp))
		slice.Add(batch, slice.Next()+batch)
	}
}

// TestLocalSoak plays a million schedules with the mountpaths of a node, and all rules on.
func TestLocalSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "protocol-local", Unit: "schedules of the protocol's model with the mountpaths of a node", Goal: 1_000_000})
	for slice.More() {
		const batch = 500
		sum := slicesRuns(t, protocol.LocalOf, slice.Next()+10_000, batch) // as above
		slice.Count("operations", int64(sum.Operations))
		slice.Count("acknowledged", int64(sum.Acknowledged))
		slice.Count("starts", int64(sum.Starts))
		slice.Count("starts that served nothing at first", int64(sum.Unserved))
		slice.Add(batch, slice.Next()+batch)
	}
}

// A seed gives the same trace every time.
func TestRunsRepeat(t *testing.T) {
	for seed := range uint64(40) {
		p, s := protocol.ScheduleOf(seed)
		if seed%2 == 1 {
			p, s = protocol.SlicesOf(seed)
		}
		if seed%4 == 3 {
			p, s = protocol.PlansOf(seed)
		}
		if seed%8 == 4 {
			p, s = protocol.LocalOf(seed)
		}
		first, second := protocol.Run(p, s, nil, true), protocol.Run(p, s, nil, true)
		if !slices.Equal(first.Trace, second.Trace) {
			t.Fatalf("seed %d has two traces", seed)
		}
	}
}

// Each rule is needed: with it switched off, its seed goes wrong, and with all
// rules on the same seed does not; or it has a scenario (TestScenarios). After a change of the model the seeds
// are others; TestRulesSoak finds them.
func TestRules(t *testing.T) {
	elsewhere, unshown := elsewhere(), unshown()
	for _, rule := range slices.Concat(protocol.All(), protocol.OfSlices(), protocol.OfPlans(), protocol.OfMounts()) {
		of, witnesses := protocol.ScheduleOf, witnesses()
		if slices.Contains(protocol.OfSlices(), rule) {
			of, witnesses = protocol.SlicesOf, sliceWitnesses()
		}
		if slices.Contains(protocol.OfPlans(), rule) {
			of, witnesses = protocol.PlansOf, planWitnesses()
		}
		if slices.Contains(protocol.OfMounts(), rule) {
			of, witnesses = protocol.LocalOf, localWitnesses()
		}
		seed, ok := witnesses[rule]
		if _, known := unshown[rule]; !ok && !known && !slices.Contains(elsewhere, rule) {
			t.Errorf("%q has no seed, no scenario, and no reason why there is none", rule)
		}
		if !ok {
			continue
		}
		p, s := of(seed)
		if v := protocol.Run(p, s, protocol.Without(rule), false); v.Wrong == "" {
			t.Errorf("without %q seed %d goes well", rule, seed)
		} else {
			t.Logf("without %q: %s", rule, v.Wrong)
		}
		if v := protocol.Run(p, s, nil, false); v.Wrong != "" {
			t.Error(explain(of, seed, "", v.Wrong))
		}
	}
}

// TestProtocolSoak plays a million schedules with all rules on.
func TestProtocolSoak(t *testing.T) {
	slice := soak.Begin(t, soak.Row{Name: "protocol", Unit: "schedules of the protocol's model", Goal: 1_000_000})
	for slice.More() {
		const batch = 500
		from := slice.Next() + 10_000 // the others are the short form's, and the witnesses'
		for seed := from; seed < from+batch; seed++ {
			p, s := protocol.ScheduleOf(seed)
			v := protocol.Run(p, s, nil, false)
			if v.Wrong != "" {
				slice.Fail(explain(protocol.ScheduleOf, seed, "", v.Wrong))
			}
			if v.Inconclusive {
				slice.Count("judged inconclusively", 1)
			}
			slice.Count("operations", int64(v.Operations))
			slice.Count("acknowledged", int64(v.Acknowledged))
		}
		slice.Add(batch, slice.Next()+batch)
	}
}

// TestRulesSoak looks for seeds that go wrong without a rule, for every rule in
// turn, and counts what it finds. The seeds are in its output.
func TestRulesSoak(t *testing.T) {
	rules := slices.Concat(protocol.All(), protocol.OfSlices(), protocol.OfPlans(), protocol.OfMounts())
	slice := soak.Begin(t, soak.Row{Name: "protocol-rules", Unit: "searches for a violation with a rule switched off", Goal: int64(len(rules))})
	for slice.More() {
		rule := rules[slice.Next()%uint64(len(rules))]
		until := time.Now().Add(max(10*time.Second, slice.Time()/time.Duration(max(1, slice.Left()))))
		for seed := uint64(0); time.Now().Before(until); seed++ {
			p, s := protocol.ScheduleOf(seed)
			if slices.Contains(protocol.OfSlices(), rule) {
				p, s = protocol.SlicesOf(seed)
			}
			if slices.Contains(protocol.OfPlans(), rule) {
				p, s = protocol.PlansOf(seed)
			}
			if slices.Contains(protocol.OfMounts(), rule) {
				p, s = protocol.LocalOf(seed)
			}
			if v := protocol.Run(p, s, protocol.Without(rule), false); v.Wrong != "" {
				t.Logf("without %q seed %d goes wrong: %s", rule, seed, v.Wrong)
				slice.Count("found", 1)
				break
			}
		}
		slice.Add(1, slice.Next()+1)
	}
}
