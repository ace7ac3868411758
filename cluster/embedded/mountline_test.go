package embedded

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/smap"
)

// Disks of a node fail, come back, are left out of a start, forget their document, and
// the power goes between two writes: one line of mount maps is ever served. Who serves
// has seen what was served before, whichever disks each start found.
func TestOneLineOfMountMaps(t *testing.T) {
	const histories = 500
	served, refused := 0, 0
	for seed := range uint64(histories) {
		y := newYard(seed, lax{})
		if err := y.run(); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, y.story())
		}
		served, refused = served+y.served, refused+y.refused
	}
	t.Logf("%d histories: %d starts or changes served a map, %d starts could not", histories, served, refused)
	if served < histories || refused < histories/4 {
		t.Errorf("%d served, %d refused: the histories are too tame", served, refused)
	}
}

// Negative controls: each rule switched off shows what it is for.
func TestOneLineOfMountMapsNeedsItsRules(t *testing.T) {
	type control struct {
		rule  lax
		shows error
	}
	for name, c := range map[string]control{
		"more than half start": {lax{start: true}, errTwoLines}, "half have what is published": {lax{publish: true}, errTwoLines}, "it goes to all that are there": {lax{here: true}, errNotServed},
	} {
		found := false
		for seed := uint64(0); seed < 4000 && !found; seed++ {
			y := newYard(seed, c.rule)
			if err := y.run(); errors.Is(err, c.shows) {
				found = true
				t.Logf("without %q, seed %d: %v", name, seed, err)
			}
		}
		if !found {
			t.Errorf("without %q nothing goes wrong: the control controls nothing", name)
		}
	}
}

// yard is the disks of one node, and what lives of the node served.
type yard struct {
	random   *rand.Rand
	rule     lax
	disks    []*yardDisk
	power    int // writes until the power goes; negative: it stays
	line     []*smap.Smap
	parents  map[smap.Hash]smap.Hash // of maps whose making was seen
	proposed []*smap.Smap
	steps    []string

	served, refused int
	refusedFirst    bool // the first look of this life found no map served, or it did not begin
}

// yardDisk is a shelf whose disk fails.
type yardDisk struct {
	*shelf
	yard *yard
	dead bool
}

var (
	errNoPower  = errors.New("the power is gone")
	errTwoLines = errors.New("two lines")
	// errNotServed is what the last start, which has all disks, is not to end with.
	errNotServed = errors.New("with all disks there the map is not served")
)

func (d *yardDisk) Read(name string) ([]byte, error) {
	if d.dead {
		return nil, errs.E("yard.Read", d.name, errs.IO)
	}
	return d.shelf.Read(name)
}

func (d *yardDisk) Write(name string, content []byte) error {
	switch {
	case d.yard.power == 0:
		return errNoPower
	case d.dead:
		return errs.E("yard.Write", d.name, errs.IO)
	}
	if d.yard.power > 0 {
		d.yard.power--
	}
	return d.shelf.Write(name, content)
}

func newYard(seed uint64, rule lax) *yard {
	y := &yard{random: rand.New(rand.NewPCG(seed, 16)), rule: rule, parents: make(map[smap.Hash]smap.Hash)}
	for i := range 2 + y.random.IntN(5) {
		y.disks = append(y.disks, &yardDisk{shelf: newShelf(fmt.Sprintf("d%d", i)), yard: y})
	}
	return y
}

func (y *yard) note(format string, args ...any) {
	y.steps = append(y.steps, fmt.Sprintf(format, args...))
}

func (y *yard) story() (all string) {
	for _, s := range y.steps {
		all += s + "\n"
	}
	return all
}

// run plays lives of the node, the last of which finds all its disks well.
func (y *yard) run() error {
	lives := 3 + y.random.IntN(6)
	for life := range lives {
		y.power = -1
		var present []*yardDisk
		for _, d := range y.disks {
			d.dead = false
			if life == 0 || y.random.IntN(5) < 3 {
				present = append(present, d)
			}
		}
		if life > 0 && y.random.IntN(3) == 0 {
			y.power = y.random.IntN(4 * len(y.disks))
		}
		if len(present) == 0 {
			continue
		}
		if d := y.disks[y.random.IntN(len(y.disks))]; life > 0 && y.random.IntN(20) == 0 {
			d.docs[nodeDocument] = []byte("{")
			y.note("the document of %s is damaged", d.name)
		}
		if err := y.live(present); err != nil {
			return err
		}
	}
	y.power = -1
	for _, d := range y.disks {
		d.dead = false
	}
	was := len(y.line)
	if err := y.live(y.disks); err != nil {
		return err
	}
	if len(y.line) == 0 || was > 0 && y.refusedFirst && !y.damaged() {
		return errNotServed
	}
	return nil
}

// damaged reports whether a document was damaged at any time: then it is right to wait.
func (y *yard) damaged() bool {
	return slices.ContainsFunc(y.steps, func(s string) bool { return len(s) > 12 && s[:12] == "the document" })
}

// live is one life of the node.
func (y *yard) live(present []*yardDisk) error {
	var shelves []Shelf
	var ids []string
	for _, d := range present {
		shelves, ids = append(shelves, d), append(ids, d.name)
	}
	y.note("start with %v, power for %d writes", ids, y.power)
	y.refusedFirst = true
	d, err := Open(shelves)
	if err != nil {
		y.note("%v", err)
		return nil
	}
	d.lax = y.rule
	node := d.Node()
	mountpaths := node.Mountpaths
	if node.Version == 0 {
		if len(present) < len(y.disks) {
			return nil // it is not founded yet: its first start has all
		}
		mountpaths = nil
		for _, disk := range y.disks {
			mountpaths = append(mountpaths, Mountpath{ID: disk.name, Path: "/" + disk.name})
		}
	}
	if _, err := d.Begin(shelves, mountpaths); err != nil {
		y.note("it does not start: %v", err)
		return nil
	}
	_, served := d.Mounts()
	y.refusedFirst = served == nil
	for range 1 + y.random.IntN(8) {
		if err := y.look(d); err != nil {
			return err
		}
		if y.power == 0 {
			y.note("the power went")
			return nil
		}
		y.happen(d)
	}
	return y.look(d)
}

// look judges what is served now.
func (y *yard) look(d *Documents) error {
	_, served := d.Mounts()
	if served == nil {
		y.note("not served")
		y.refused++
		return nil
	}
	y.served++
	if len(y.line) == 0 {
		y.line = append(y.line, served)
		return nil
	}
	last := y.line[len(y.line)-1]
	if served.Hash() == last.Hash() {
		return nil
	}
	y.note("version %d is served: %s", served.Version(), states(served))
	y.learn(served)
	for hash := served.Hash(); hash != last.Hash(); {
		parent, known := y.parents[hash]
		if !known {
			return fmt.Errorf("%w: version %d (%s) is served, which does not come after version %d (%s), served before", errTwoLines, served.Version(), states(served), last.Version(), states(last))
		}
		hash = parent
	}
	y.line = append(y.line, served)
	return nil
}

// learn notes the versions that a start may have made of those that are known, until it
// served one: without the mountpaths that it missed, one leaving in each.
func (y *yard) learn(served *smap.Smap) {
	for _, m := range append(slices.Clone(y.line), y.proposed...) {
		for _, node := range served.Nodes() {
			if !node.State.Away() {
				continue
			}
			next, err := without(m, func(id string) bool { return id == string(node.ID) })
			if err != nil || next.Hash() == m.Hash() {
				continue
			}
			y.parents[next.Hash()] = m.Hash()
			m = next
		}
	}
}

func states(m *smap.Smap) (all string) {
	for _, node := range m.Nodes() {
		all += fmt.Sprintf("%s %s, ", node.ID, node.State)
	}
	return all[:max(0, len(all)-2)]
}

// happen has something happen to a node that runs.
func (y *yard) happen(d *Documents) {
	disk := y.disks[y.random.IntN(len(y.disks))]
	switch y.random.IntN(6) {
	case 0:
		y.note("%s dies", disk.name)
		disk.dead = true
	case 1:
		if disk.dead {
			disk.dead = false
			y.note("%s is well", disk.name)
		}
		if !isOf(d.present(), disk.name) {
			y.note("%s comes: %v, then %v", disk.name, d.Attach(disk, "/"+disk.name), d.ClaimMounts())
		}
	case 2:
		if len(d.present()) > 1 {
			y.note("%s is disabled: %v", disk.name, d.SetAway(disk.name, "on purpose", y.random.IntN(2) == 0))
		}
	default:
		y.decide(d)
	}
}

// decide writes versions as the supervisor of mountpaths would, some without a cause, as
// for a disk that is slow.
func (y *yard) decide(d *Documents) {
	for range 1 + y.random.IntN(4) {
		latest, served := d.Mounts()
		if served == nil {
			return
		}
		change, serving, changes := latest.Change(), 0, false
		for _, node := range latest.Nodes() {
			if !node.State.Away() {
				serving++
			}
		}
		for _, node := range latest.Nodes() {
			i := slices.IndexFunc(y.disks, func(d *yardDisk) bool { return smap.NodeID(d.name) == node.ID })
			here := isOf(d.present(), string(node.ID)) && !y.disks[i].dead
			state := node.State
			switch {
			case !here && !state.Away(), here && !state.Away() && y.random.IntN(12) == 0:
				if serving > 1 {
					state = smap.Down
				}
			case here && state == smap.Down:
				state = smap.Recovering
			case here && state == smap.Recovering:
				state = smap.Up
			}
			if state != node.State {
				change, changes = change.SetState(node.ID, node.Since, state), true
				break
			}
		}
		next := latest // nothing to change: what is coming is put again
		if changes {
			made, err := change.Done()
			if err != nil {
				panic(err)
			}
			next = made
			y.parents[next.Hash()] = latest.Hash()
			y.proposed = append(y.proposed, next)
		}
		if err := d.PutMounts(next); err != nil {
			y.note("version %d (%s) could not be published: %v", next.Version(), states(next), err)
		}
	}
}
