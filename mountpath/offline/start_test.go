package offline

import (
	"errors"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
)

// In a cluster a disk holds generations of several nodes side by side. What a check and a
// rebuild say of the start counter is about this node's only.
func TestStartCounterIsTheNodesOwn(t *testing.T) {
	y := newYard(t, 3)
	put := func(name string, start uint64) {
		s := y.open(start)
		content := []byte(name)
		_, err := s.PutInline(y.key(name), y.meta(content), content, objects.Conditions{}, objects.Origin{})
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	put("of the third start", objects.NodeStart(3, objects.NodeDigest("n")))
	put("of another node", objects.NodeStart(9, objects.NodeDigest("other")))
	m := y.mount(true)
	checked, err := Check(m, CheckOptions{Buckets: y.buckets})
	if err != nil || checked.Start != 3 || checked.Faults != 0 {
		t.Errorf("check: %+v, %v; want start 3", checked, err)
	}
	rebuilt, err := Rebuild(m, RebuildOptions{Buckets: y.buckets, Now: time.Unix(9, 0)})
	if err != nil || rebuilt.Start != 3 {
		t.Errorf("rebuild: %+v, %v; want start 3", rebuilt, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}
