package protocol

import (
	"github.com/troupe-storage/troupe/objects/placement"
)

// Schedule is a run: what is done in each step follows from its number.
type Schedule []uint64

// ScheduleOf returns the schedule of a seed, and the profile that it runs under.
func ScheduleOf(seed uint64) (Profile, Schedule) {
	draw := func(salt, n uint64) int { return int(placement.Mix(seed*31+salt) % n) }
	p := Profile{Nodes: 3 + draw(1, 2), Copies: 1 + draw(2, 3), Keys: 1 + draw(3, 3), Clients: 2 + draw(4, 2), Steps: 200 + 100*draw(5, 5)}
	p.MinCopies = max(1, p.Copies-draw(6, 2))
	if p.Copies == 3 {
		p.MinCopies = 1 + draw(6, 2)
	}
	p.Mood = moods()[draw(10, uint64(len(moods())))]
	p.Plans, p.Disks = draw(7, 2) == 0 || p.Mood == moods()[2], draw(8, 3) == 0
	p.Losses = p.Mood == moods()[4] && draw(9, 3) > 0
	if p.Losses && draw(11, 2) == 0 {
		p.Copies, p.MinCopies = 1, 1
	}
	p.Recounts = p.Plans && !p.Losses && draw(12, 2) == 0
	if p.Losses {
		p.Plans, p.Steps = true, 3*p.Steps
	}
	s := make(Schedule, p.Steps)
	for i := range s {
		s[i] = placement.Mix(seed<<20 + uint64(i) + 1)
	}
	return p, s
}

// SlicesOf returns the schedule of a seed with slices, three of data and two of parity on
// five or six nodes, and the profile that it runs under.
func SlicesOf(seed uint64) (Profile, Schedule) {
	draw := func(salt, n uint64) int { return int(placement.Mix(seed*37+salt+1<<40) % n) }
	p := Profile{Nodes: 5 + draw(1, 2), Copies: 5, MinCopies: 1, Keys: 1 + draw(3, 4)/3, Clients: 2 + draw(4, 2), Steps: 200 + 100*draw(5, 5)}
	p.Data, p.Parity, p.MinSlices = 3, 2, [...]int{4, 4, 4, 3, 5}[draw(6, 5)]
	p.Mood = sliceMoods()[draw(10, uint64(len(sliceMoods())))]
	p.Absent = draw(2, 3)
	if p.Mood == sliceMoods()[3] || draw(7, 4) == 0 {
		p.Disks, p.Breaks = true, p.MinSlices-p.Data
		if draw(8, 3) == 0 {
			p.Breaks = 1 + draw(9, 3) // what was acknowledged may be lost
		}
	}
	s := make(Schedule, p.Steps)
	for i := range s {
		s[i] = placement.Mix(1<<60 + seed<<20 + uint64(i) + 1)
	}
	return p, s
}

// PlansOf returns the schedule of a seed with slices and plans, which join and drain nodes, give
// up lost ones, or convert the bucket, and the profile that it runs under.
func PlansOf(seed uint64) (Profile, Schedule) {
	draw := func(salt, n uint64) int { return int(placement.Mix(seed*41+salt+1<<41) % n) }
	p := Profile{Nodes: 5 + draw(1, 2), Copies: 5, MinCopies: 2, Keys: 1 + draw(3, 4)/3, Clients: 2 + draw(4, 2), Steps: 300 + 100*draw(5, 4)}
	p.Data, p.Parity, p.MinSlices = 3, 2, [...]int{4, 4, 3, 5}[draw(6, 4)]
	p.Plans, p.Mood, p.Absent = true, planMoods()[draw(10, uint64(len(planMoods())))], draw(2, 3)
	switch draw(7, 3) {
	case 0:
		p.Losses, p.Steps, p.Mood = true, 2*p.Steps, lossMood()
	case 1:
		p.Forms = []Form{{Data: 3, Parity: 2}, {Data: 2, Parity: 1}, {Copies: 3}, {Data: 2, Parity: 2}}
		if p.Nodes == 6 {
			p.Forms = append(p.Forms, Form{Data: 4, Parity: 2})
		}
		p.Steps *= 2
	}
	s := make(Schedule, p.Steps)
	for i := range s {
		s[i] = placement.Mix(2<<60 + seed<<20 + uint64(i) + 1)
	}
	return p, s
}

// LocalOf returns the schedule of a seed with the mountpaths of one node, and the profile that it
// runs under.
func LocalOf(seed uint64) (Profile, Schedule) {
	draw := func(salt, n uint64) int { return int(placement.Mix(seed*43+salt+1<<42) % n) }
	p := Profile{Local: true, Nodes: 2 + draw(1, 4), Copies: 2, MinCopies: 1, Keys: 1 + draw(3, 2), Clients: 2 + draw(4, 2), Steps: 200 + 100*draw(5, 4)}
	p.Copies = min(p.Nodes, 2+draw(2, 2))
	p.Mood = localMoods()[draw(10, uint64(len(localMoods())))]
	s := make(Schedule, p.Steps)
	for i := range s {
		s[i] = placement.Mix(3<<60 + seed<<20 + uint64(i) + 1)
	}
	return p, s
}

// Verdict is what became of a run.
type Verdict struct {
	Wrong        string   // empty: nothing
	Inconclusive bool     // the judge took too long for one key
	Trace        []string // if it was asked for
	Operations   int      // that clients began
	Acknowledged int      // of them done
	Maps         uint64   // versions that were written
	Backs        int      // how often a record was gone back from; of the last start of nodes
	Losses       int      // how often one was settled without its payload
	Plans        int      // how many were finished
	Conversions  int      // likewise
	GivenUp      int      // how many nodes were
	Starts       int      // how often all mountpaths started anew
	Unserved     int      // of them without serving a mount map at once
}

// Run plays a schedule and judges it.
func Run(p Profile, s Schedule, rules Rules, trace bool) Verdict {
	w := newWorld(p, rules, trace)
	for _, step := range s {
		w.step(step)
	}
	atRest := w.rest()
	wrong, conclusive := judge(w.history)
	v := Verdict{Wrong: wrong, Inconclusive: !conclusive, Trace: w.trace, Maps: w.kv.Version()}
	if wrong == "" {
		v.Wrong = atRest
	}
	v.Starts, v.Unserved = w.process.lives, w.process.unserved
	v.Plans, v.Conversions, v.GivenUp = w.plans, w.conversions, w.givenUp
	for _, h := range w.hosts {
		v.Backs, v.Losses = v.Backs+h.node.backs, v.Losses+h.node.losses
	}
	if v.Wrong == "" {
		v.Wrong = w.told()
	}
	for _, e := range w.history {
		if e.op.ID > 0 {
			v.Operations++
		}
		if e.answer.Outcome == Done {
			v.Acknowledged++
		}
	}
	return v
}

// Shrink leaves out steps of a schedule that goes wrong, as long as it still goes
// wrong in the same way, or until it has been played budget times.
func Shrink(p Profile, s Schedule, rules Rules, budget int) Schedule {
	for size := len(s) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(s) && budget > 0; {
			shorter := append(append(Schedule{}, s[:at]...), s[at+size:]...)
			budget--
			if Run(p, shorter, rules, false).Wrong != "" {
				s = shorter
				continue
			}
			at += size
		}
	}
	return s
}
