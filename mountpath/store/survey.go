package store

import (
	"fmt"
	"syscall"

	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/objects/errs"
)

// errUnsettled says why a key of a store that is only read is busy.
var errUnsettled = fmt.Errorf("its last write was interrupted, and can be settled when the mountpath takes writes: %w", syscall.EROFS)

// survey is recover for a store that changes nothing. A key with an open intent is
// busy, because what its name holds is not known without settling it, and so is one
// whose relaxed write a crash of the system may have cost its payload. Parts and slices on their
// way in are nobody's yet, and deleted payloads have lost their records already.
func (s *Store) survey(bootID string) error {
	const op errs.Op = "store.survey"
	intents, err := s.journaled([]byte{layout.KindIntent}, []byte{layout.KindIntent + 1})
	if err != nil {
		return errs.E(op, err)
	}
	for _, intent := range intents {
		switch intent.Kind {
		case layout.IntentPart, layout.IntentImportPart, layout.IntentSlice:
		default:
			s.keepBusy(intent)
		}
	}
	lastBoot, err := s.journal(layout.BootKey())
	if err != nil {
		return errs.E(op, err)
	}
	if string(lastBoot) == bootID {
		return nil
	}
	writes, err := s.relaxedWrites()
	if err != nil {
		return errs.E(op, err)
	}
	for _, write := range writes {
		s.keepBusy(write)
	}
	return nil
}

// keepBusy makes the key of an intent busy for as long as the store is open.
func (s *Store) keepBusy(intent *layout.Intent) {
	s.unsettled.add(&openIntent{key: intent.Key, payload: intent.Payload, cause: errUnsettled})
}
