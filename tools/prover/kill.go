package prover

import (
	"context"
	"errors"
)

// kills is the first part of a round: a node under load that is killed again and again.
func (p *proof) kills(ctx context.Context, round, first int) (err error) {
	wanted := false
	for i := range killsOfRound {
		wanted = wanted || !p.skips(first+i)
	}
	if !wanted {
		return nil
	}
	dirs, err := p.ground.mountpaths()
	if err != nil {
		return err
	}
	n, err := p.start(ctx, dirs, startup{})
	if err != nil {
		return err
	}
	defer func() { // whatever is left
		if n != nil {
			err = errors.Join(err, n.kill())
		}
	}()
	if err := p.prepare(ctx, n); err != nil {
		return err
	}
	h := newHistory()
	load := newLoad(p.Seed, 2*round, h, p.isRelaxed(), func() int64 { return 0 })
	for number := first; number < first+killsOfRound && !p.ends(number); number++ {
		before := load.acknowledged.Load()
		var killing error
		killed := false
		load.run(ctx, n.s3, int64(1+p.chance(number).IntN(killAcks)), func() { killing, killed = n.Kill(), true })
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if killing != nil {
			return killing
		}
		if !killed {
			if err := p.ground.left(); err != nil {
				return err
			}
			load.find("the node", "it stopped answering before it was killed, or took no writes any more%s", p.logTail())
		}
		tally := p.result.of(kill)
		tally.Cuts++
		tally.Acknowledged += load.acknowledged.Load() - before
		p.count(number, kill, load.taken())
		if err := n.kill(); err != nil {
			return err
		}
		n, err = p.start(ctx, dirs, startup{})
		if err != nil {
			return p.refused(number, kill, err)
		}
		tally.answered(n.took)
		const always = 1
		x, err := p.check(ctx, n, number, h, kill, always)
		if err != nil {
			return err
		}
		h.settle(x.found)
		p.meter.cut(p.result)
	}
	return nil
}
