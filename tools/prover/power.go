package prover

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Names on the ground.
const (
	journalName  = "journal"
	recoveryName = "recovery"
)

// recorded is a node's life that was recorded, and what it was asked and answered in it.
// As JSON it is what is kept of a failure beside the journal.
type recorded struct {
	Seed       uint64              `json:"seed"`
	Durability objects.Durability  `json:"durability"`
	First      int                 `json:"first"` // the number of the first cut
	Cut        int                 `json:"cut"`   // the number of the cut that failed
	Dirs       []string            `json:"mountpaths"`
	Bucket     int64               `json:"bucket"` // the position at which the bucket was there
	Cells      map[string][]*entry `json:"cells"`
	// Acknowledged is how many requests were.
	Acknowledged int64 `json:"acknowledged"`

	history *history
	size    int64 // of the journal
}

// powerCutPlan is what a cut of the power does.
type powerCutPlan struct {
	number int
	at     int64
	chance *rand.Rand // of what becomes of what was not synced; nil: it is gone
	torn   bool
	again  bool // the recovery is cut, too
	random *rand.Rand
}

// powerCuts is the second part of a round: a node is recorded under load, and its power
// cut at many positions.
func (p *proof) powerCuts(ctx context.Context, round, first int) error {
	last := first + cutsOfRound - 1
	if p.ends(first) || p.Only > 0 && (p.Only < first || p.Only > last) {
		return nil
	}
	r, err := p.record(ctx, round, first)
	if err != nil {
		return err
	}
	var plans []powerCutPlan
	for number := first; number <= last && (p.Cuts == 0 || number <= p.Cuts); number++ {
		if !p.skips(number) {
			plans = append(plans, p.plan(r, number))
		}
	}
	return p.cuts(ctx, r, plans)
}

// record runs a node under load, from empty directories on, and records it.
func (p *proof) record(ctx context.Context, round, first int) (_ *recorded, err error) {
	dirs, err := p.ground.mountpaths()
	if err != nil {
		return nil, err
	}
	if err := p.ground.remove(journalName); err != nil {
		return nil, err
	}
	journal := p.ground.path(journalName)
	n, err := p.start(ctx, dirs, startup{journal: journal})
	if err != nil {
		return nil, err
	}
	ended := false
	defer func() {
		if !ended {
			err = errors.Join(err, n.kill())
		}
	}()
	if err := p.prepare(ctx, n); err != nil {
		return nil, err
	}
	// The journal grows while the node works, and its length is a position: what is
	// behind it had not happened when it was read.
	file, err := os.Open(journal)
	if err != nil {
		return nil, errs.E("prove", errs.IO, err)
	}
	defer file.Close()               //nolint:errcheck // it is only looked at
	var unseen atomic.Pointer[error] // why a position is not known
	position := func() int64 {
		info, err := file.Stat()
		if err != nil {
			unseen.Store(&err)
			return 0
		}
		return info.Size()
	}
	r := &recorded{Seed: p.Seed, Durability: p.Durability, First: first, Dirs: dirs, Bucket: position(), history: newHistory()}
	load := newLoad(p.Seed, 2*round+1, r.history, p.isRelaxed(), nil)
	enough := func() { load.over.Store(true) }
	load.position = func() int64 {
		at := position()
		if at > mostRecorded {
			enough()
		}
		return at
	}
	load.run(ctx, n.s3, recordedAcks, enough)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case <-n.Exited():
		return nil, fmt.Errorf("the node ended while it was recorded: %w%s", cmp.Or(n.Err(), errors.New("without an error")), p.logTail())
	default:
	}
	if !load.over.Load() {
		return nil, cmp.Or(p.ground.left(), fmt.Errorf("the node stopped answering while it was recorded, or took no writes any more%s", p.logTail()))
	}
	ended = true
	if err := n.stop(); err != nil {
		return nil, fmt.Errorf("%w%s", err, p.logTail())
	}
	r.size = position()
	if err := unseen.Load(); err != nil {
		return nil, errs.E("prove", journal, errs.IO, *err)
	}
	r.Acknowledged = load.acknowledged.Load()
	p.result.PowerCuts.Acknowledged += r.Acknowledged
	p.count(first, powerCut, load.taken())
	return r, p.verify(journal, r)
}

// verify compares the journal with what lies on the disk: one that leaves something out
// proves nothing.
func (p *proof) verify(journal string, r *recorded) (err error) {
	recording, err := p.open(journal, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, recording.Close()) }()
	if err := recording.Advance(r.size); err != nil {
		return err
	}
	return recording.Compare()
}

// plan decides about a cut: half of them are made at the very moment of an
// acknowledgement, the others anywhere, from the node's first step to its last.
func (p *proof) plan(r *recorded, number int) powerCutPlan {
	random := p.chance(number)
	c := powerCutPlan{number: number, random: random, at: random.Int64N(r.size + 1)}
	if acks := r.history.acknowledgements(); len(acks) > 0 && random.IntN(2) == 0 {
		c.at = acks[random.IntN(len(acks))]
	}
	switch random.IntN(5) {
	case 0, 1:
	case 2:
		c.chance = rand.New(rand.NewPCG(random.Uint64(), 0))
	default:
		c.chance, c.torn = rand.New(rand.NewPCG(random.Uint64(), 0)), true
	}
	c.again = random.IntN(afterRecovery) == 0
	return c
}

// cuts makes cuts, in the order of their positions.
func (p *proof) cuts(ctx context.Context, r *recorded, plans []powerCutPlan) (err error) {
	slices.SortFunc(plans, func(a, b powerCutPlan) int { return cmp.Compare(a.at, b.at) })
	recording, err := p.open(p.ground.path(journalName), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, recording.Close()) }()
	for _, c := range plans {
		if !p.until.IsZero() && p.ends(0) {
			break
		}
		if err := p.cut(ctx, r, recording, c); err != nil {
			return err
		}
		p.meter.cut(p.result)
	}
	return p.ground.remove(dataName)
}

// cut makes one cut, and looks at what a node makes of it.
func (p *proof) cut(ctx context.Context, r *recorded, recording Recording, c powerCutPlan) error {
	before := len(p.result.Findings)
	defer func() {
		if len(p.result.Findings) > before && p.failed == nil {
			p.failed = &failure{recorded: r, cut: c.number}
		}
	}()
	if err := p.makeCut(recording, c); err != nil {
		return err
	}
	how := startup{boot: fmt.Sprint("cut ", c.number)}
	if c.again {
		if err := p.ground.remove(recoveryName); err != nil {
			return err
		}
		how.journal = p.ground.path(recoveryName)
	}
	p.result.PowerCuts.Cuts++
	if served, err := p.recover(ctx, r, c, how); err != nil || !served || !c.again || len(p.result.Findings) > before {
		return err
	}
	return p.cutRecovery(ctx, r, recording, c, how.journal)
}

// makeCut makes the directories of a cut.
func (p *proof) makeCut(recording Recording, c powerCutPlan) error {
	if err := recording.Advance(c.at); err != nil {
		return err
	}
	if _, err := p.ground.mountpaths(); err != nil {
		return err
	}
	return recording.Cut(c.chance, c.torn)
}

// recover starts a node on what a cut has left, looks at it and kills it.
func (p *proof) recover(ctx context.Context, r *recorded, c powerCutPlan, how startup) (served bool, err error) {
	tally := p.result.of(powerCut)
	n, err := p.start(ctx, r.Dirs, how)
	if err != nil {
		return false, p.refused(c.number, powerCut, err)
	}
	tally.answered(n.took)
	defer func() { err = errors.Join(err, n.kill()) }()
	if c.at < r.Bucket { // the bucket need not be there, nor anything else
		return true, nil
	}
	_, err = p.check(ctx, n, c.number, r.history, powerCut, c.at)
	return true, err
}

// cutRecovery cuts the power of the node that has just come back from a cut, at some
// moment of that: what was to last lasts still.
func (p *proof) cutRecovery(ctx context.Context, r *recorded, recording Recording, c powerCutPlan, journal string) (err error) {
	info, err := os.Stat(journal)
	if err != nil {
		return errs.E("prove", errs.IO, err)
	}
	recovery, err := p.open(journal, recording)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, recovery.Close(), p.ground.remove(recoveryName)) }()
	second := c
	second.chance, second.torn = rand.New(rand.NewPCG(c.random.Uint64(), 0)), true
	position := c.random.Int64N(info.Size() + 1)
	if err := p.makeCut(recovery, powerCutPlan{at: position, chance: second.chance, torn: true}); err != nil {
		return err
	}
	p.result.PowerCuts.Again++
	twice := *r // what was tried after the first cut may be there after the second
	twice.history = r.history.doubting(triedKey, tried())
	_, err = p.recover(ctx, &twice, second, startup{boot: fmt.Sprint("cut ", c.number, " again")})
	return err
}

// failure is a power cut that showed a finding.
type failure struct {
	*recorded
	cut int
}

// keepFailure leaves the ground so that the cut can be repeated exactly: the journal, what was asked
// and answered, and the directories as the cut left them, before any node saw them.
func (p *proof) keepFailure() (err error) {
	r := p.failed.recorded
	r.Cut, r.Cells = p.failed.cut, r.history.cells
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.ground.path(historyName), content, 0o600); err != nil {
		return errs.E("prove", errs.IO, err)
	}
	recording, err := p.open(p.ground.path(journalName), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, recording.Close()) }()
	return p.makeCut(recording, p.plan(r, r.Cut))
}

// again repeats a cut of a recording that was kept; false: there is none, or not of this cut.
func (p *proof) again(ctx context.Context) (kept bool, err error) {
	if p.Only == 0 {
		return false, nil
	}
	content, err := os.ReadFile(p.ground.path(historyName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, p.ground.wipe()
	}
	if err != nil {
		return true, errs.E("prove", errs.IO, err)
	}
	r := &recorded{history: newHistory()}
	if err := json.Unmarshal(content, r); err != nil {
		return true, errs.E("prove", p.ground.path(historyName), errs.Corrupt, err)
	}
	if p.Only < r.First || p.Only >= r.First+cutsOfRound || p.Seed != r.Seed {
		return true, errs.E("prove", p.ground.dir, errs.Exists,
			fmt.Errorf("what was kept there is of seed %d, cuts %d to %d; remove the directory to make others", r.Seed, r.First, r.First+cutsOfRound-1))
	}
	if dirs := p.ground.mountpathNames(); !slices.Equal(r.Dirs, dirs) {
		return true, errs.E("prove", p.ground.dir, errs.Invalid, fmt.Errorf("what was kept there is of the mountpaths %q: move it back", r.Dirs))
	}
	info, err := os.Stat(p.ground.path(journalName))
	if err != nil {
		return true, errs.E("prove", errs.IO, err)
	}
	r.history.cells, r.size = r.Cells, info.Size()
	p.Durability, p.result.Durability = r.Durability, r.Durability
	p.result.PowerCuts.Acknowledged = r.Acknowledged
	return true, p.cuts(ctx, r, []powerCutPlan{p.plan(r, p.Only)})
}
