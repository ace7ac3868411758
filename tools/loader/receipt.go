package loader

import (
	"bytes"

	"github.com/troupe-storage/troupe/objects"
)

// receiptClass returns the durability class that an X-Troupe-Receipt names, or
// nothing. The class is a word of its own wherever it stands, so the form of the
// rest (pairs or JSON) may grow.
func receiptClass(receipt []byte) string {
	for word := range bytes.FieldsFuncSeq(receipt, func(c rune) bool {
		return c < 'a' || c > 'z'
	}) {
		switch objects.Durability(word) {
		case objects.Synced:
			return string(objects.Synced)
		case objects.Relaxed:
			return string(objects.Relaxed)
		}
	}
	return ""
}
