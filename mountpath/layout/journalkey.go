package layout

import "github.com/troupe-storage/troupe/objects"

// The journals of a mountpath, each by the byte after KindJournal.
const (
	journalBoot       = 'b'
	journalCheckpoint = 'c'
	journalRelaxed    = 'r'
	journalTombstone  = 't'
	journalDropped    = 'd'
	journalHistory    = 'h'
	journalDestroyed  = 'g'
	journalScrub      = 's'
	journalDamage     = 'q'
)

// BootKey is the key of the boot id under which the mountpath was last opened.
func BootKey() []byte { return []byte{KindJournal, journalBoot} }

// CheckpointKey is the key of the generation of the last checkpoint: every
// relaxed write before it is durable.
func CheckpointKey() []byte { return []byte{KindJournal, journalCheckpoint} }

// RelaxedKey is the key of a relaxed write that no checkpoint has made durable
// yet. The generation comes first, so that a checkpoint ends a range of them.
func RelaxedKey(generation objects.Generation, b objects.BucketID, name string) []byte {
	key := generation.AppendTo([]byte{KindJournal, journalRelaxed})
	key = append(key, b[:]...)
	return append(key, name...)
}

// RelaxedBounds are the bounds of the relaxed writes before a generation; those
// of all of them for the zero generation.
func RelaxedBounds(before objects.Generation) (lower, upper []byte) {
	lower = []byte{KindJournal, journalRelaxed}
	if before.IsZero() {
		return lower, PrefixEnd(lower)
	}
	return lower, before.AppendTo([]byte{KindJournal, journalRelaxed})
}
