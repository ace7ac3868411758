package supervisors

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/objects/errs"
)

// The budget of descriptors, a line per consumer. Were they to run out, the
// index could not begin a new log and would die; so connections are bounded, and
// refused first.
const (
	perConnection = 2   // its socket, and the file that it is sent
	perMountpath  = 64  // logs, directories, locks
	perTransfer   = 2   // work file and directory
	fixedFiles    = 640 // the index's tables and blobs of all mountpaths (512), and the runtime's
	listeners     = 2

	// leastConnections is what a listener must at least be able to serve.
	leastConnections = 16
)

// fitConnections returns how many connections each listener may have so that
// the node stays within the process's limit of open files, at most wanted. Go's
// runtime has raised the soft limit to the hard one already.
func fitConnections(wanted, mountpaths, transfers int) (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, errs.E("supervisors.fitConnections", errs.IO, err)
	}
	others := uint64(fixedFiles + mountpaths*(perMountpath+transfers*perTransfer))
	least := others + listeners*leastConnections*perConnection
	if limit.Cur < least {
		return 0, errs.E("supervisors.fitConnections", errs.Invalid, fmt.Errorf("the limit of open files is %d; %d mountpaths need at least %d (ulimit -n)", limit.Cur, mountpaths, least))
	}
	return int(min(uint64(wanted), (limit.Cur-others)/(listeners*perConnection))), nil
}
