package supervisors

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Connections give way before the index can run out of descriptors, and a limit
// that leaves no room for clients is refused by name.
func TestConnectionsFitTheLimitOfOpenFiles(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	})
	fit := func(limit uint64) (int, error) {
		next := was
		next.Cur = limit
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &next); err != nil {
			t.Fatal(err)
		}
		return fitConnections(4096, 4, 128)
	}
	if n, err := fit(was.Max); err != nil || n > 4096 {
		t.Errorf("with a limit of %d: %d connections, %v", was.Max, n, err)
	}
	n, err := fit(4096)
	if err != nil || n >= 4096 || n < leastConnections {
		t.Errorf("with a limit of 4096: %d connections, %v", n, err)
	}
	if used := fixedFiles + 4*(perMountpath+128*perTransfer) + listeners*perConnection*n; used > 4096 {
		t.Errorf("%d connections need %d descriptors of 4096", n, used)
	}
	if _, err := fit(1024); err == nil || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("with a limit of 1024: %v", err)
	}
}
