package protocol

// Mood is how often each kind of step comes, in relation to the others, in the
// order of table. Rules guard against different accidents: a mood makes those of
// one sort frequent.
type Mood [17]uint16

// moods returns all moods. The columns: messages arrive, clients act, maps are
// adopted, nodes go on, messages are lost, are repeated, deadlines pass, nodes are written down,
// drafts are written, nodes pause, are killed, Consul goes or comes, tombstones are dropped, the operator plans, disasters; of slices: what is staged expires, one is damaged.
func moods() []Mood {
	return []Mood{
		{520, 100, 60, 90, 20, 20, 15, 20, 40, 20, 20, 5, 15, 15, 10}, // of everything something
		{600, 80, 60, 100, 10, 10, 5, 25, 60, 5, 10, 0, 5, 5, 5},      // nodes leave and return
		{600, 80, 60, 130, 5, 10, 5, 20, 80, 5, 5, 0, 30, 40, 5},      // plans
		{550, 100, 40, 60, 10, 60, 10, 15, 40, 5, 10, 0, 60, 10, 0},   // deletes, and messages that come again
		{500, 140, 60, 60, 5, 5, 5, 6, 60, 4, 3, 0, 5, 4, 40},         // pauses, losses
	}
}

// sliceMoods returns the moods of runs with slices, in the same order.
func sliceMoods() []Mood {
	return []Mood{
		{520, 70, 50, 110, 12, 10, 20, 20, 40, 10, 30, 3, 6, 0, 6, 6, 3},  // of everything something
		{520, 60, 70, 110, 6, 5, 15, 40, 90, 4, 40, 0, 3, 0, 3, 3, 1},     // nodes leave and return
		{420, 80, 50, 90, 70, 15, 70, 30, 70, 5, 60, 0, 4, 0, 4, 30, 2},   // writes end anywhere
		{520, 60, 60, 120, 8, 5, 15, 25, 70, 4, 30, 0, 3, 0, 25, 4, 10},   // disks are lost
		{520, 70, 50, 110, 8, 40, 30, 20, 50, 4, 25, 0, 25, 0, 3, 4, 1},   // deletes, and messages that come again
		{520, 60, 20, 110, 25, 15, 25, 60, 90, 25, 25, 2, 3, 0, 3, 15, 1}, // nodes that do not know that they were written down
	}
}

// planMoods returns the moods of runs with slices and plans, in the same order.
func planMoods() []Mood {
	return []Mood{
		{520, 50, 70, 160, 6, 6, 10, 10, 110, 4, 10, 0, 5, 30, 6, 3, 0},   // plans
		{520, 60, 70, 140, 10, 10, 20, 30, 90, 6, 30, 2, 5, 20, 12, 5, 0}, // and nodes that leave and return
		{520, 70, 30, 140, 8, 30, 20, 15, 90, 20, 15, 0, 15, 30, 4, 5, 0}, // and maps that are adopted late
	}
}

// lossMood returns the mood of those in which nodes are given up, which no plan may be under way for.
func lossMood() Mood {
	return Mood{540, 70, 60, 140, 5, 5, 5, 10, 90, 4, 6, 0, 5, 2, 40, 3, 0}
}

// localMoods returns the moods of runs of profile Local. The columns that differ (local.go): a
// well mountpath is written down, the map follows the mountpaths, one hangs or goes on, one
// fails or is there again, all start anew.
func localMoods() []Mood {
	return []Mood{
		{560, 110, 0, 90, 0, 0, 15, 6, 60, 15, 30, 10, 5},  // of everything something
		{560, 110, 0, 120, 0, 0, 25, 2, 60, 2, 25, 30, 5},  // starts, with these and then with those
		{560, 110, 0, 120, 0, 0, 10, 4, 80, 40, 10, 3, 15}, // mountpaths that hang
	}
}

// table returns what is done, in the order of a mood's columns.
func (Mood) table(w *world) [17]func(uint64) {
	if w.profile.Local {
		return w.localTable()
	}
	return [17]func(uint64){
		w.stepDeliver, w.stepClient, w.stepAdopt, w.stepGoOn, w.stepDrop, w.stepRepeat, w.stepDeadline, w.stepDown,
		w.stepWriteMap, w.stepPause, w.stepKill, w.stepConsul, w.stepCompact, w.stepOperator, w.stepDisaster,
		w.stepExpire, w.stepDamage,
	}
}

// choose returns the column of a step.
func (m Mood) choose(s uint64) int {
	var sum uint64
	for _, part := range m {
		sum += uint64(part)
	}
	at := s % sum
	for i, part := range m {
		if at < uint64(part) {
			return i
		}
		at -= uint64(part)
	}
	return 0
}
