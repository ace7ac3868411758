package supervisors

import (
	"os"
	"strings"
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
