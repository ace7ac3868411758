package backend

import (
	"fmt"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Within returns how many bytes a Read gives of an object of a size: Invalid if it begins
// behind the end.
func Within(r Read, size int64) (length int64, err error) {
	if r.Offset < 0 || r.Offset > size || r.Offset == size && size > 0 {
		return 0, errs.E("backend.Read", errs.Invalid, fmt.Errorf("offset %d of %d bytes", r.Offset, size))
	}
	if length = size - r.Offset; r.Length >= 0 {
		length = min(length, r.Length)
	}
	return length, nil
}
