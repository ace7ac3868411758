package protocol

// Rule is a rule of the protocol that can be switched off. Its text says what
// holds while it is on.
type Rule string

// Rules, in the order of docs/consistency.md.
const (
	DurableAdoption  Rule = "durable adoption"   // a map is synced before it is acted on
	LaneBarrier      Rule = "lane barrier"       // what was admitted under an older key epoch ends when a newer one is adopted
	Fence            Rule = "fence"              // a receiver at another key epoch changes nothing and refuses
	RelayOnce        Rule = "relay once"         // a request is sent on again only after a refusal that applied nothing
	StartCounter     Rule = "start counter"      // generations of a later start are greater
	GreaterStays     Rule = "greater stays"      // a replica never replaces a record by a lower generation
	OneWrite         Rule = "one write"          // the node in charge handles one write of a key at a time
	AckAll           Rule = "ack all"            // a write is acknowledged when all of the ack set have it
	AckNames         Rule = "ack names"          // an acknowledgement names the generation that it is about
	Settle           Rule = "settle"             // an unsettled record is settled before it is shown, judged or copied
	Confirm          Rule = "confirm"            // a read is answered when all of the ack set are at its key epoch
	TakeThenAsk      Rule = "take, then ask"     // and they are asked after the record was taken
	LastToLeave      Rule = "last to leave"      // when no owner is up, only the last to leave is a source
	CatchUp          Rule = "catch up"           // who returns is no source until it has caught up
	AbsenceDeletes   Rule = "absence deletes"    // who catches up drops what the source does not have
	CatchUpGuard     Rule = "catch-up guard"     // but keeps records of the present key epoch
	StoredSinceAsked Rule = "stored since asked" // and ignores an answer if the key was stored after the question
	HintsComplete    Rule = "hints complete"     // hints count only if their helper was in sync since the other left
	HintsOfSettling  Rule = "hints of settling"  // settling a record that is there already leaves hints, too
	HintsUnsettled   Rule = "own unsettled"      // one's own unsettled records are asked about, hint or none
	ReportSince      Rule = "report since"       // a report names the entry it is about
	OneLeaves        Rule = "one leaves"         // one node leaves what serves in a version of the map
	CompareAndSet    Rule = "compare and set"    // a map replaces the one that it was made from
	TombstonesAllUp  Rule = "tombstones all up"  // a tombstone goes only while all owners are up and no plan covers it
	DroppedBound     Rule = "dropped bound"      // absent keys are refused at or below the greatest dropped generation
	NextOwnersAck    Rule = "next owners ack"    // next owners are in the ack set from the start
	CopyDropsBeyond  Rule = "copy drops beyond"  // a next owner drops what the node in charge does not have
	SwitchWalked     Rule = "switch walked"      // a slot switches when all in charge have walked it
	SwitchUnchanged  Rule = "switch unchanged"   // and no node changed its state since
	SourcesAfter     Rule = "sources after"      // sources are deleted after adopting the switch
	CountsOfMap      Rule = "counts of map"      // the map says how many owners keys have once a plan has changed it, whatever a node's document says
	DocumentAfterMap Rule = "document after map" // a document is used under the map under which it was written, or a later one
	LesserCount      Rule = "lesser count"       // slots switch by the lesser of both counts
	LostIsUnknown    Rule = "lost is unknown"    // a key of a lost disk is unknown, not absent
	LostLeaves       Rule = "lost leaves"        // a node that lost a disk leaves up, and its earlier reports are void
	Alone            Rule = "alone"              // a node that could not confirm its map answers nothing
	FromAsking       Rule = "from asking"        // and counts from the moment it asked
	GiveUpWaits      Rule = "give up waits"      // a loss is accepted long after half of the nodes adopted the down
)

// Rules of slices, in the order of docs/erasure-coding.md.
const (
	SamePayload Rule = "same payload" // reads and builds combine slices of one payload only
	SliceFirst  Rule = "slice first"  // an owner stores a record only with what it is to hold
	MinSlices   Rule = "min slices"   // a write counts distinct indices of the ack set

	ObtainFirst   Rule = "obtain first"    // settling looks whether the payload can be had, then spreads
	LostIsTold    Rule = "lost is told"    // what may have been acknowledged and cannot be had is corrupt, not what was before
	OwnIsProof    Rule = "own is proof"    // a greater record that another node has and nobody can give is gone over with one's own
	Follows       Rule = "follows"         // going back is to what the record follows
	WitnessInSync Rule = "witness in sync" // going back needs an owner in sync, under the epoch, that lacks it
	CountAll      Rule = "count all"       // or an answer of all owners, none of which has lost a disk
	CountCurrent  Rule = "count current"   // each of which is at the key epoch
	KeepSettled   Rule = "keep settled"    // what an unsettled record replaced is kept until a newer one is settled
	AskInCharge   Rule = "ask in charge"   // who catches up asks the node in charge, which settles first
	NamedAgain    Rule = "named again"     // what is named again is not reclaimed
	BackRenews    Rule = "back renews"     // going back takes a new generation
)

// Rules of slices in plans and conversions.
const (
	IndexKept   Rule = "index kept"   // a new owner takes the indices of the one that leaves
	RemapFirst  Rule = "remap first"  // a plan copies a record that names the next owners
	FitsNext    Rule = "fits next"    // a write counts at next owners by themselves
	RoomNext    Rule = "room next"    // and is of a form that they have room for
	WantedForm  Rule = "wanted form"  // a write has the form that is wanted when it is admitted, and who returns knows which before it is up
	SpareSlices Rule = "spare slices" // a slot switches, and a node is given up, by slices and not by copies
)

// Rules of the mount map.
const (
	MountHalf Rule = "mount half" // a version of the mount map is published on half of the mountpaths that the one before calls up or recovering
	MountMost Rule = "mount most" // and a start serves the one in force if more than half of those are there
	MountHere Rule = "mount here" // a start that publishes one that was coming writes it to all that are there, also those that it calls away
)

// Rules says which rules are on: all but those in it.
type Rules map[Rule]bool

// On reports whether a rule holds.
func (r Rules) On(rule Rule) bool { return !r[rule] }

// Without returns the rules with one switched off.
func Without(rule Rule) Rules { return Rules{rule: true} }

// OfSlices returns the rules that are about slices.
func OfSlices() []Rule {
	return []Rule{
		SamePayload, SliceFirst, MinSlices,
		ObtainFirst, LostIsTold, OwnIsProof, Follows, WitnessInSync, CountAll, CountCurrent, KeepSettled, AskInCharge, NamedAgain, BackRenews,
	}
}

// OfPlans returns the rules that are about slices in plans and conversions.
func OfPlans() []Rule {
	return []Rule{IndexKept, RemapFirst, FitsNext, RoomNext, WantedForm, SpareSlices}
}

// OfMounts returns the rules that are about the mount map.
func OfMounts() []Rule { return []Rule{MountHalf, MountMost, MountHere} }

// All returns every rule but those of slices and of the mount map.
func All() []Rule {
	return []Rule{
		DurableAdoption, LaneBarrier, Fence, RelayOnce, StartCounter, GreaterStays, OneWrite, AckAll, AckNames, Settle, Confirm, TakeThenAsk,
		LastToLeave, CatchUp, AbsenceDeletes, CatchUpGuard, StoredSinceAsked, HintsComplete, HintsOfSettling, HintsUnsettled, ReportSince, OneLeaves, CompareAndSet,
		TombstonesAllUp, DroppedBound, NextOwnersAck, CopyDropsBeyond, SwitchWalked, SwitchUnchanged, SourcesAfter,
		CountsOfMap, DocumentAfterMap, LesserCount, LostIsUnknown, LostLeaves, Alone, FromAsking, GiveUpWaits,
	}
}
