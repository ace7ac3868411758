package supervisors

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bootID is the kernel's id of this boot; empty where it does not say, which
// makes every start one after a crash of the system. (Linux, random(4))
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// Awake is the time since the machine started, what it was suspended for included: of a
// clock that Linux has since 2.6.39. (clock_gettime(2), CLOCK_BOOTTIME)
func Awake() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(err) // the kernel has it
	}
	return time.Duration(now.Nano())
}
