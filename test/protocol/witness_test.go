package protocol_test

import "github.com/troupe-storage/troupe/test/protocol"

// witnesses returns, for rules whose absence random schedules show, the seed of one
// that does.
func witnesses() map[protocol.Rule]uint64 {
	return map[protocol.Rule]uint64{
		protocol.DurableAdoption: 1834,
		protocol.Fence:           1834,
		protocol.RelayOnce:       1160,
		protocol.StartCounter:    14,
		protocol.GreaterStays:    3570,
		protocol.AckAll:          22,
		protocol.Settle:          9,
		protocol.Confirm:         132,
		protocol.TakeThenAsk:     2389,
		protocol.LastToLeave:     33,
		protocol.CatchUp:         33,
		protocol.HintsOfSettling: 274,
		protocol.ReportSince:     366,
		protocol.OneLeaves:       718,
		protocol.CompareAndSet:   66,
		protocol.NextOwnersAck:   1122,
		protocol.SwitchWalked:    90,
		protocol.SourcesAfter:    79,
		protocol.LesserCount:     6449,
		protocol.LostIsUnknown:   13,
		protocol.LostLeaves:      2260,
	}
}

// sliceWitnesses returns likewise seeds of runs with slices.
func sliceWitnesses() map[protocol.Rule]uint64 {
	return map[protocol.Rule]uint64{
		protocol.SamePayload: 14,
		protocol.SliceFirst:  159,
		protocol.MinSlices:   20,
		protocol.AskInCharge: 106029,
		protocol.LostIsTold:  654,
		protocol.CountAll:    89,
		protocol.KeepSettled: 1,
		protocol.NamedAgain:  326,
		protocol.BackRenews:  464,
	}
}

// planWitnesses returns likewise seeds of runs with slices and plans.
func planWitnesses() map[protocol.Rule]uint64 {
	return map[protocol.Rule]uint64{
		protocol.IndexKept:   1,
		protocol.RemapFirst:  1,
		protocol.SpareSlices: 206,
	}
}

// localWitnesses returns likewise seeds of runs with the mountpaths of a node.
func localWitnesses() map[protocol.Rule]uint64 {
	return map[protocol.Rule]uint64{
		protocol.MountHalf: 472,
		protocol.MountMost: 65,
		protocol.MountHere: 4,
	}
}

// elsewhere returns the rules whose absence TestScenarios shows.
func elsewhere() []protocol.Rule {
	return []protocol.Rule{
		protocol.LaneBarrier, protocol.AbsenceDeletes, protocol.CatchUpGuard, protocol.StoredSinceAsked, protocol.HintsComplete,
		protocol.TombstonesAllUp, protocol.DroppedBound, protocol.AckNames, protocol.CopyDropsBeyond, protocol.SwitchUnchanged, protocol.CountsOfMap, protocol.Alone, protocol.FromAsking, protocol.GiveUpWaits,
		protocol.OwnIsProof, protocol.Follows, protocol.WitnessInSync, protocol.CountCurrent, protocol.RoomNext, protocol.WantedForm,
	}
}

// unshown returns the rules whose absence nothing shows, and why.
func unshown() map[protocol.Rule]string {
	return map[protocol.Rule]string{
		protocol.DocumentAfterMap: "the map fences: who has a document too early is refused by the others, or is the only owner by both counts, and none of them changes before it has adopted the plan. The rule is there for buckets that are made, which the model does not have",
		protocol.ObtainFirst:      "without it a record that nobody can give is spread to owners that need no payload, and then gone back from all the same: 20,000 schedules went well. It costs one question and spares a store",
		protocol.FitsNext:         "a next owner that is away voids the walk when it returns, and is copied to again; a form that next owners have no room for is refused by `room next`. It stays because what is acknowledged is to be at `min_slices` owners after the switch, too",
		protocol.OneWrite:         "settling before judging keeps writes of a key apart in the model, but for accidents too rare for a search of 40 s",
		protocol.HintsUnsettled:   "without it, a write that failed comes to light later, which linearizability allows",
	}
}
