package loader

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Some servers are several processes: a shell that started one, a master with
// workers. What they cost is the whole tree's.

// TreeCPU returns the user and system time of the process and all that descend
// from it: of those that run as CPU counts it, of those that have ended as their
// parents were told, in steps of 10 ms. The generator, where it is a descendant
// itself, does not count, nor does what it started.
//
// A process that leaves the tree, by ending its parent, takes its time with it.
func (p *Process) TreeCPU() (time.Duration, error) {
	const op errs.Op = "loader.TreeCPU"
	sum, err := p.CPU()
	if err != nil {
		return 0, err
	}
	members, err := p.tree()
	if err != nil {
		return 0, errs.E(op, fmt.Sprint("process ", p.pid), errs.IO, err)
	}
	for _, member := range members {
		sum += time.Duration(member.stat.reapedTicks) * clockTick
		if member.process.pid == p.pid {
			continue
		}
		used, err := member.process.CPU()
		if errs.Is(errs.NotFound, err) {
			continue // it ended since the tree was read
		} else if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// TreeMemory returns what Memory does, summed up over the process and all that
// descend from it. Memory that they share counts for each of them.
func (p *Process) TreeMemory() (resident, peak int64, err error) {
	const op errs.Op = "loader.TreeMemory"
	members, err := p.tree()
	if err != nil {
		return 0, 0, errs.E(op, fmt.Sprint("process ", p.pid), errs.IO, err)
	}
	for _, member := range members {
		r, m, err := member.process.Memory()
		if errs.Is(errs.NotFound, err) && member.process.pid != p.pid {
			continue
		} else if err != nil {
			return 0, 0, err
		}
		resident += r
		peak += m
	}
	return resident, peak, nil
}

// member is a process of a tree.
type member struct {
	process *Process
	stat    processStat
}

// tree returns the process and its descendants. Processes that come or go
// meanwhile may be missing.
func (p *Process) tree() ([]member, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]member)
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // not a process
		}
		if stat, err := readStat(pid); err == nil { // otherwise it has ended
			children[stat.parent] = append(children[stat.parent], member{&Process{pid: pid, started: stat.started}, stat})
		}
	}
	stat, err := readStat(p.pid)
	if err != nil || stat.started != p.started {
		return nil, errors.Join(errors.New("it has ended"), err)
	}
	tree := []member{{p, stat}}
	if p.pid == ownPID() {
		tree[0].stat.reapedTicks = 0 // they were servers and bare handlers
		return tree, nil
	}
	for i := 0; i < len(tree); i++ {
		for _, child := range children[tree[i].process.pid] {
			if child.process.pid != ownPID() {
				tree = append(tree, child)
			}
		}
	}
	return tree, nil
}
