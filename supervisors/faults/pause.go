package faults

import (
	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/mountpath/disk"
)

// suspend suspends an actor for as long as the fault lasts. One that is suspended
// already, by an operator or another fault, is left to whoever did that. It is called
// in the actor's own turn, too.
func (i *Injected) suspend(system *actors.System, address string) {
	i.mu.Lock()
	suspended := !i.ended && system.Suspend(address) // of one that has ended, nobody would resume it
	if suspended {
		if i.paused == nil {
			i.paused = make(map[string]struct{})
		}
		i.paused[address] = struct{}{}
	}
	i.mu.Unlock()
	if suspended {
		i.hit(func() string { return address })
	}
}

// suspendAll suspends the actors that are there.
func (i *Injected) suspendAll(system *actors.System) {
	for _, a := range system.Actors() {
		if disk.MatchPath(i.fault.Messages.Actor, a.Address) {
			i.suspend(system, a.Address)
		}
	}
}

// resumeAll resumes what an ended fault has suspended, or leaves it to another fault
// that pauses it, too.
// REQUIRES: mu is held.
func (d *Desk) resumeAll(i *Injected) {
	i.mu.Lock()
	paused := i.paused
	i.mu.Unlock()
	for address := range paused {
		if !d.handOver(address) {
			d.system.Resume(address) // one that is gone needs none
		}
	}
}

// handOver has another fault resume an actor, later.
// REQUIRES: mu is held.
func (d *Desk) handOver(address string) bool {
	for _, other := range d.faults {
		m := other.fault.Messages
		if m == nil || m.Do != Pause || !disk.MatchPath(m.Actor, address) {
			continue
		}
		other.mu.Lock()
		if other.paused == nil {
			other.paused = make(map[string]struct{})
		}
		other.paused[address] = struct{}{}
		other.mu.Unlock()
		return true
	}
	return false
}
