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
	ruleFlag = flag.String("protocol.without", "", "with -protocol.seed: switch this rule off")
)

// explain returns the shortest trace found of a seed that goes wrong, and the
// command that repeats it.
func explain(seed uint64, without protocol.Rule, wrong string) string {
	p, s := protocol.ScheduleOf(seed)
	rules := protocol.Without(without)
	s = protocol.Shrink(p, s, rules, 2000)
	short := protocol.Run(p, s, rules, true)
	return fmt.Sprintf("seed %d, %+v: %s\nshrunk to %d steps: %s\n%s\nagain: go test ./test/protocol -run TestSeed -protocol.seed=%d -protocol.without=%q -v",
		seed, p, wrong, len(s), short.Wrong, strings.Join(short.Trace, "\n"), seed, without)
}

// TestSeed plays the seed of a failure again, and prints its shrunk trace. Without
// a seed it shows that it can: it plays one with a rule switched off.
func TestSeed(t *testing.T) {
	seed, without := *seedFlag, protocol.Rule(*ruleFlag)
	if seed == 0 {
		seed, without = 9, protocol.Settle
	}
	p, s := protocol.ScheduleOf(seed)
	v := protocol.Run(p, s, protocol.Without(without), false)
	if *seedFlag != 0 {
		t.Log(explain(seed, without, v.Wrong))
		return
	}
	shrunk := protocol.Shrink(p, s, protocol.Without(without), 2000)
	if v.Wrong == "" || len(shrunk)*4 > len(s) {
		t.Fatalf("seed %d without %q: %q, shrunk from %d to %d steps", seed, without, v.Wrong, len(s), len(shrunk))
	}
}

// With all rules on no run goes wrong.
func TestProtocol(t *testing.T) {
	const runs = 1500
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
			t.Fatal(explain(seed, "", v.Wrong))
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

// A seed gives the same trace every time.
func TestRunsRepeat(t *testing.T) {
	for seed := range uint64(40) {
		p, s := protocol.ScheduleOf(seed)
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
	witnesses, elsewhere, unshown := witnesses(), elsewhere(), unshown()
	for _, rule := range protocol.All() {
		seed, ok := witnesses[rule]
		if _, known := unshown[rule]; !ok && !known && !slices.Contains(elsewhere, rule) {
			t.Errorf("%q has no seed, no scenario, and no reason why there is none", rule)
		}
		if !ok {
			continue
		}
		p, s := protocol.ScheduleOf(seed)
		if v := protocol.Run(p, s, protocol.Without(rule), false); v.Wrong == "" {
			t.Errorf("without %q seed %d goes well", rule, seed)
		} else {
			t.Logf("without %q: %s", rule, v.Wrong)
		}
		if v := protocol.Run(p, s, nil, false); v.Wrong != "" {
			t.Error(explain(seed, "", v.Wrong))
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
				slice.Fail(explain(seed, "", v.Wrong))
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
	rules := protocol.All()
	slice := soak.Begin(t, soak.Row{Name: "protocol-rules", Unit: "searches for a violation with a rule switched off", Goal: int64(len(rules))})
	for slice.More() {
		rule := rules[slice.Next()%uint64(len(rules))]
		until := time.Now().Add(max(10*time.Second, slice.Time()/time.Duration(max(1, slice.Left()))))
		for seed := uint64(0); time.Now().Before(until); seed++ {
			p, s := protocol.ScheduleOf(seed)
			if v := protocol.Run(p, s, protocol.Without(rule), false); v.Wrong != "" {
				t.Logf("without %q seed %d goes wrong: %s", rule, seed, v.Wrong)
				slice.Count("found", 1)
				break
			}
		}
		slice.Add(1, slice.Next()+1)
	}
}
