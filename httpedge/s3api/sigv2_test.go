package s3api

import (
	"testing"

	"github.com/troupe-storage/troupe/api/sigv2"
)

// A subresource that chooses the operation is signed by Signature Version 2, or
// refused with it: else a stranger could turn a link into another operation.
func TestVersion2CoversEverySubresource(t *testing.T) {
	seen := 0
	for level, r := range newRoutes() {
		for name := range r.subresources {
			seen++
			if !sigv2.Covers(name) {
				t.Errorf("level %v: %q is neither signed nor refused", level, name)
			}
		}
	}
	if seen < 40 || sigv2.Covers("prefix") {
		t.Errorf("%d subresources", seen)
	}
}
