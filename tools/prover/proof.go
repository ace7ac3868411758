package prover

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/objects"
)

// Options say what to prove.
type Options struct {
	Dir        string             // where: a directory on the disk that is meant
	Cuts       int                // how many cuts to make; 0: until the time is over
	Time       time.Duration      // how long to go on; 0: until the cuts are made
	Seed       uint64             // decides everything that chance does
	Only       int                // the one cut to make, counted from 1; 0: all
	Durability objects.Durability // class of the bucket
	Keep       bool               // the recording of a failure stays
}

// A round has so many cuts. A kill needs a load of its own, and power cuts share one.
const (
	killsOfRound  = 4
	cutsOfRound   = 20
	killAcks      = 100      // acknowledgements of a load that is killed, at most
	recordedAcks  = 300      // of a load that is recorded
	mostRecorded  = 64 << 20 // bytes of a journal: a load ends there
	afterRecovery = 4        // of so many power cuts, one cuts the recovery from it, too
)

// Recording is the life of a node's disks, from a journal. It goes forward only.
type Recording interface {
	// Advance goes to a position in the journal, as far as whole entries lead there.
	Advance(to int64) error
	// Cut makes the directories of the mountpaths as a power cut at this position may
	// have left them: what was synced, and with chance a part of the rest; torn: of
	// blocks, too.
	Cut(chance *rand.Rand, torn bool) error
	// Compare says where the directories differ from what the journal says.
	Compare() error
	io.Closer
}

// Open opens the journal of a node that has ended; on is the recording whose last cut it
// began on, nil where that was empty directories.
type Open func(journal string, on Recording) (Recording, error)

// proof is one run.
type proof struct {
	Options
	flags   TrialFlags
	open    Open
	program string // whose serve is a node
	ground  *ground
	result  *Result
	meter   *meter
	until   time.Time // zero: no end

	failed *failure // the first power cut that showed a finding; nil: none
}

// run proves for as long as the options say, and returns what it came to; also where it
// was interrupted or could not go on.
func (p *proof) run(ctx context.Context) (err error) {
	if p.ground, err = claim(p.Dir, p.Only > 0); err != nil {
		return err
	}
	keep := false
	defer func() { err = errors.Join(err, p.ground.release(keep)) }()
	began := time.Now()
	if p.Time > 0 {
		p.until = began.Add(p.Time)
	}
	defer func() { p.result.Seconds = time.Since(began).Seconds() }()
	if kept, err := p.again(ctx); kept || err != nil {
		keep = kept
		return err
	}
	for round := 0; ; round++ {
		first := round*(killsOfRound+cutsOfRound) + 1
		if p.ends(first) || len(p.result.Findings) > 0 {
			break
		}
		if p.Only >= first+killsOfRound+cutsOfRound {
			continue // another round's
		}
		if err := p.kills(ctx, round, first); err != nil {
			return err
		}
		if err := p.powerCuts(ctx, round, first+killsOfRound); err != nil {
			return err
		}
	}
	if p.failed != nil && p.Keep {
		keep, p.result.Kept = true, p.ground.dir
		return p.keepFailure()
	}
	return nil
}

// ends reports whether the cut of this number is not to be made any more.
func (p *proof) ends(number int) bool {
	return p.Cuts > 0 && number > p.Cuts || p.Only > 0 && number > p.Only ||
		!p.until.IsZero() && time.Now().After(p.until)
}

// skips reports whether the cut is left out: another one is asked for.
func (p *proof) skips(number int) bool { return p.Only > 0 && number != p.Only }

// chance is what decides about a cut.
func (p *proof) chance(number int) *rand.Rand {
	return rand.New(rand.NewPCG(p.Seed, 1<<63|uint64(number)))
}

// isRelaxed reports whether the bucket is of the class relaxed.
func (p *proof) isRelaxed() bool { return p.Durability == objects.Relaxed }

// prepare makes the bucket on a new node.
func (p *proof) prepare(ctx context.Context, n *node) error {
	if err := n.s3.CreateBucket(ctx, bucket); err != nil {
		return err
	}
	if !p.isRelaxed() {
		return nil
	}
	native, err := client.New(client.Config{Endpoint: n.native, Patience: patience})
	if err != nil {
		return err
	}
	defer native.Close()
	var change struct {
		Troupe objects.BucketProps `json:"troupe"`
	}
	change.Troupe.Durability = objects.Relaxed
	value, err := json.Marshal(change)
	if err != nil {
		return err
	}
	message := ais.Action{Action: ais.ActionSetProps, Value: value}
	return client.Control{Connection: native}.Do(ctx, "PATCH", "/v1/buckets/"+bucket, nil, message, nil)
}

// check looks at a node after a cut, and counts what it finds. The error says that it
// could not be looked at.
func (p *proof) check(ctx context.Context, n *node, number int, h *history, kind cutKind, at int64) (*inspection, error) {
	x, err := inspect(ctx, n.s3, h)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := p.ground.left(); err != nil {
			return nil, err
		}
		x = &inspection{}
		x.find(wrong, "the node", "it cannot be asked: %v%s", err, p.logTail())
		p.count(number, kind, x.findings)
		return x, nil
	}
	checked, undoable := x.judge(h, kind, at)
	if err := x.tryWrite(ctx); err != nil {
		return nil, err
	}
	if err := p.starved(x.findings); err != nil {
		return nil, err
	}
	tally := p.result.of(kind)
	tally.Checked += checked
	tally.Undone += undoable
	p.count(number, kind, x.findings)
	return x, nil
}

// starved is an error if nothing was found but what a disk that has become full explains:
// a node on it takes no writes, and is not to blame.
func (p *proof) starved(findings []Finding) error {
	if len(findings) == 0 || slices.ContainsFunc(findings, func(f Finding) bool { return f.Verdict != wrong }) {
		return nil
	}
	return p.ground.left()
}

// count adds findings to the result.
func (p *proof) count(number int, kind cutKind, findings []Finding) {
	tally := p.result.of(kind)
	for _, f := range findings {
		tally.add(f.Verdict)
		p.result.Findings = append(p.result.Findings, Found{Cut: number, Kind: kind, Finding: f})
		if len(p.result.Findings) == mostTold+1 {
			p.meter.tell("and more")
		}
		if len(p.result.Findings) > mostTold {
			continue
		}
		p.meter.tell("cut %d (%s): %s: %s: %s", number, kind, f.Verdict, f.Cell, f.Text)
	}
}

// refused counts a node that does not start after a cut; another error is returned.
func (p *proof) refused(number int, kind cutKind, err error) error {
	var not notServing
	if !errors.As(err, &not) {
		return err
	}
	if err := p.ground.left(); err != nil {
		return err
	}
	p.count(number, kind, []Finding{{Verdict: wrong, Cell: "the node", Text: not.Error()}})
	return nil
}
