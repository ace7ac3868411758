package mountpath

import (
	"os"
	"testing"
	"time"
)

var flagged int

func TestWaits(t *testing.T) {
	time.Sleep(time.Second) // want "sleep"
	f := time.Sleep         // want "sleep"
	f(0)
	_, _ = os.ReadFile("tests may look at the disk")
}
