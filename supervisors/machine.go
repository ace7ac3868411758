package supervisors

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/troupe-storage/troupe/api/ais"
	"github.com/troupe-storage/troupe/mountpath/disk"
)

// systemInfo reads what native clients are told of the machine. What cannot be
// read is zero: it is for people to look at.
func systemInfo() ais.SystemInfo {
	var info ais.SystemInfo
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		info.MemoryAvailable = memoryLine(string(text), "MemAvailable:")
		if total := memoryLine(string(text), "MemTotal:"); total > info.MemoryAvailable {
			info.MemoryUsed = total - info.MemoryAvailable
			info.MemoryPercent = 100 * float64(info.MemoryUsed) / float64(total)
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		info.LoadAverage = parseLoad(string(text))
	}
	return info
}

// memoryLine finds a line of /proc/meminfo; in bytes.
func memoryLine(text, name string) uint64 {
	for line := range strings.SplitSeq(text, "\n") {
		rest, ok := strings.CutPrefix(line, name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 54)
		if err != nil {
			return 0
		}
		return n << 10
	}
	return 0
}

// parseLoad reads /proc/loadavg.
func parseLoad(text string) ais.Load {
	var averages [3]float64
	for i, field := range strings.Fields(text) {
		n, err := strconv.ParseFloat(field, 64)
		if i == len(averages) || err != nil {
			break
		}
		averages[i] = n
	}
	return ais.Load{One: averages[0], Five: averages[1], Fifteen: averages[2]}
}

// capacity is what native clients are told of the mountpaths: as last measured.
// A filesystem with several mountpaths counts once.
func (n *Node) capacity() ais.Capacity {
	c := ais.Capacity{Mountpaths: make(map[string]ais.MountpathCapacity), MinPercent: 100}
	seen := make(map[uint64]bool)
	percents := 0
	for _, m := range n.mounts.all() {
		s := m.current.Load()
		if s == nil {
			continue
		}
		space := s.Space()
		used := space.TotalBytes - min(space.TotalBytes, space.FreeBytes)
		percent := percentOf(used, space)
		c.Mountpaths[m.path] = ais.MountpathCapacity{
			Used: used, Avail: space.FreeBytes, Percent: percent,
			FS: ais.FS{Source: m.path, ID: fmt.Sprintf("%d,0", space.Device&(1<<31-1))}, Disks: []string{},
		}
		c.MaxPercent, c.MinPercent = max(c.MaxPercent, percent), min(c.MinPercent, percent)
		percents += percent
		if !seen[space.Device] {
			seen[space.Device] = true
			c.Used, c.Avail = c.Used+used, c.Avail+space.FreeBytes
		}
	}
	if len(c.Mountpaths) > 0 {
		c.AvgPercent = percents / len(c.Mountpaths)
	} else {
		c.MinPercent = 0
	}
	return c
}

func percentOf(used uint64, space disk.Space) int {
	if space.TotalBytes == 0 {
		return 0
	}
	return int(100 * (used >> 10) / (space.TotalBytes>>10 + 1))
}
