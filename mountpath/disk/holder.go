package disk

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LockHolder returns the process that holds a lock that Lock took on a file, as
// /proc/locks tells it (proc_locks(5)); false where it cannot be told: nobody
// holds it, or a process of another namespace does.
func (l *Linux) LockHolder(path string) (pid int, known bool) {
	var stat unix.Stat_t
	if err := unix.Lstat(l.full(path), &stat); err != nil {
		return 0, false
	}
	file, err := os.Open("/proc/locks")
	if err != nil {
		return 0, false
	}
	defer file.Close() // it was only read
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 12345 08:02:131 0 EOF
		fields := strings.Fields(lines.Text())
		if len(fields) >= 6 && fields[1] == "FLOCK" && fields[5] == want {
			pid, err := strconv.Atoi(fields[4])
			return pid, err == nil && pid > 0
		}
	}
	return 0, false
}
