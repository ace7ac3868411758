package prover

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/tools/terminal"
)

// Result is what a proof came to.
type Result struct {
	Seed       uint64             `json:"seed"`
	Durability objects.Durability `json:"durability"`
	Kills      Tally              `json:"kills"`
	PowerCuts  Tally              `json:"power_cuts"`
	Findings   []Found            `json:"findings"`
	Kept       string             `json:"kept,omitempty"` // the directory of a failure that was kept
	Seconds    float64            `json:"seconds"`
	Stopped    string             `json:"stopped,omitempty"` // why it ended before its time
	NotProved  string             `json:"not_proved"`
}

// Tally is what one kind of cut came to.
type Tally struct {
	Cuts         int     `json:"cuts"`
	Again        int     `json:"again"`        // of these, how many were followed by one in the recovery from it
	Acknowledged int64   `json:"acknowledged"` // requests that changed something
	Checked      int     `json:"checked"`      // what was looked at after cuts because something was acknowledged or there
	Lost         int     `json:"lost"`
	Torn         int     `json:"torn"`
	Resurrected  int     `json:"resurrected"`
	Wrong        int     `json:"wrong"`
	Undone       int     `json:"undone"`       // by power cuts, of the class relaxed, which allows it
	FirstAnswer  float64 `json:"first_answer"` // the longest that a node took to it, in seconds
}

// Found is a finding, and the cut after which it was made.
type Found struct {
	Cut  int     `json:"cut"`
	Kind cutKind `json:"kind"`
	Finding
}

// of returns the tally of a kind of cut.
func (r *Result) of(kind cutKind) *Tally {
	if kind == kill {
		return &r.Kills
	}
	return &r.PowerCuts
}

// add counts a finding.
func (t *Tally) add(v verdict) {
	switch v {
	case lost:
		t.Lost++
	case torn:
		t.Torn++
	case resurrected:
		t.Resurrected++
	default:
		t.Wrong++
	}
}

// answered takes note of how long a node took to its first answer.
func (t *Tally) answered(took time.Duration) { t.FirstAnswer = max(t.FirstAnswer, took.Seconds()) }

// faults is how many findings there are.
func (r *Result) faults() int { return len(r.Findings) }

// proved is an error if nothing was: a proof that has not looked must not pass for one
// that has found nothing. one: it was of one cut, before which there may have been nothing.
func (r *Result) proved(one bool) error {
	switch k, c := &r.Kills, &r.PowerCuts; {
	case k.Cuts+c.Cuts == 0:
		return errors.New("nothing was proved: no cut was made; give it more time")
	case k.Acknowledged+c.Acknowledged == 0 && len(r.Findings) == 0:
		return errors.New("nothing was proved: nothing was acknowledged")
	case k.Checked+c.Checked == 0 && len(r.Findings) == 0 && !one:
		return errors.New("nothing was proved: no object was there to look at; make more cuts")
	}
	return nil
}

// notProved is what no result says, and must not be taken to say.
const notProved = "that the disk keeps what it says it has synced. Power cuts are played from what the node did: a drive or a " +
	"controller that answers a flush before its cache is safe loses data whatever a program does, and only a real power cut shows it. " +
	"Nor what hours of other loads would show: a proof is as long as its cuts."

// relaxedMay is what the class relaxed allows.
const relaxedMay = "a kill may undo nothing. A power cut may undo what was written since the last checkpoint, a few seconds before; " +
	"it is not to tear it."

// mostTold is how many findings are listed for people; the others are in the JSON.
const mostTold = 20

// write writes a result for people, on a screen of so many columns; 0: there is none.
func (r *Result) write(w io.Writer, width int) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tkill -9\tpower cut\t")
	for _, row := range []struct {
		name string
		of   func(*Tally) string
	}{
		{"cuts", func(t *Tally) string { return fmt.Sprint(t.Cuts) }},
		{"cut again in recovery", func(t *Tally) string { return fmt.Sprint(t.Again) }},
		{"acknowledged", func(t *Tally) string { return fmt.Sprint(t.Acknowledged) }},
		{"checked", func(t *Tally) string { return fmt.Sprint(t.Checked) }},
		{"lost", func(t *Tally) string { return fmt.Sprint(t.Lost) }},
		{"torn", func(t *Tally) string { return fmt.Sprint(t.Torn) }},
		{"resurrected", func(t *Tally) string { return fmt.Sprint(t.Resurrected) }},
		{"wrong", func(t *Tally) string { return fmt.Sprint(t.Wrong) }},
		{"undone (relaxed)", func(t *Tally) string { return fmt.Sprint(t.Undone) }},
		{"first answer, at most", func(t *Tally) string { return fmt.Sprintf("%.2f s", t.FirstAnswer) }},
	} {
		if row.name == "undone (relaxed)" && r.Durability != objects.Relaxed {
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t\n", row.name, row.of(&r.Kills), row.of(&r.PowerCuts))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nSeed %d, class %s, %.0f s.", r.Seed, r.Durability, r.Seconds)
	if r.Stopped != "" {
		fmt.Fprintf(w, " Ended early: %s.", r.Stopped)
	}
	fmt.Fprintln(w)
	for i, f := range r.Findings {
		if i == mostTold {
			fmt.Fprintf(w, "  and %d more\n", len(r.Findings)-i)
			break
		}
		fmt.Fprintf(w, "  cut %d (%s): %s: %s: %s\n", f.Cut, f.Kind, f.Verdict, f.Cell, f.Text)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintf(w, "Repeat a cut with --seed %d --cut %d%s.\n", r.Seed, r.Findings[0].Cut, r.how())
	}
	if r.Durability == objects.Relaxed {
		fmt.Fprintln(w, terminal.Fold("Relaxed: "+relaxedMay, 0, width))
	}
	_, err := fmt.Fprintln(w, terminal.Fold("Not proved: "+notProved, 0, width))
	return err
}

// how says how exactly a cut is repeated.
func (r *Result) how() string {
	if r.Kept != "" {
		return ", exactly as it was: its recording is in " + r.Kept
	}
	return ": the same requests at other moments; with --keep the recording of a power cut stays, and is repeated exactly"
}
