package member

import (
	"testing"
	"time"
)

// What fails every two seconds fills no log: it is told of at first and once a minute,
// and of the next series at once.
func TestRepeatedFailuresAreToldOfOnceAMinute(t *testing.T) {
	var r repeated
	for series := range 2 {
		begun := time.Duration(series) * time.Hour
		var told []time.Duration
		for after := time.Duration(0); after < 150*time.Second; after += 2 * time.Second {
			if r.failed(begun + after) {
				told = append(told, after)
			}
		}
		if len(told) != 3 || told[0] != 0 || told[1] != time.Minute || told[2] != 2*time.Minute {
			t.Errorf("series %d was told of after %v, want 0, 1 and 2 minutes", series, told)
		}
		if failures, lasted := r.ended(begun + 150*time.Second); failures != 75 || lasted != 150*time.Second {
			t.Errorf("series %d had %d failures in %s", series, failures, lasted)
		}
	}
	if failures, _ := r.ended(3 * time.Hour); failures != 0 {
		t.Errorf("%d failures were left", failures)
	}
}
