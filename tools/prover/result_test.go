package prover

import (
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
)

// A result says what was found, how to repeat it, and what is not proved; a line of the class
// relaxed is there for that class only.
func TestResultIsTold(t *testing.T) {
	r := &Result{Seed: 7, Durability: objects.Synced}
	for range mostTold + 2 {
		r.Findings = append(r.Findings, Found{Cut: 31, Kind: powerCut, Finding: Finding{Verdict: lost, Cell: "w0/k01", Text: "it holds nothing"}})
		r.of(powerCut).add(lost)
	}
	r.of(kill).answered(1500 * time.Millisecond)
	r.of(kill).answered(time.Second)
	told := func() string {
		var b strings.Builder
		if err := r.write(&b, 0); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	text := told()
	for _, want := range []string{"lost", "22", "1.50 s", "cut 31 (power): lost: w0/k01: it holds nothing", "and 2 more", "--seed 7 --cut 31", "Not proved", "flush"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "undone") {
		t.Errorf("nothing can be undone in the class synced:\n%s", text)
	}
	r.Durability, r.Kept = objects.Relaxed, "/mnt/x/troupe-prove"
	for _, want := range []string{"undone", "/mnt/x/troupe-prove"} {
		if !strings.Contains(told(), want) {
			t.Errorf("%q is not in\n%s", want, told())
		}
	}
}

// A proof that has not looked does not pass for one that has found nothing.
func TestNothingProvedIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		result Result
		one    bool
		want   string // empty: it is proved
	}{
		"no cut":                    {Result{}, false, "no cut"},
		"one cut that was not made": {Result{}, true, "no cut"},
		"nothing acknowledged":      {Result{PowerCuts: Tally{Cuts: 20}}, false, "acknowledged"},
		"nothing looked at":         {Result{Kills: Tally{Cuts: 1, Acknowledged: 1}}, false, "look at"},
		"one cut before all":        {Result{PowerCuts: Tally{Cuts: 1, Acknowledged: 1}}, true, ""},
		"looked":                    {Result{Kills: Tally{Cuts: 1, Acknowledged: 1, Checked: 1}}, false, ""},
		"the node did not start":    {Result{Kills: Tally{Cuts: 1}, Findings: make([]Found, 1)}, false, ""},
	} {
		err := c.result.proved(c.one)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
