package loader

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Process is a running process whose CPU time and memory are read. It is known
// by its number and the moment it started, so that another process that gets the
// number later is not mistaken for it. Safe for concurrent use. Linux only.
type Process struct {
	pid     int
	started uint64 // clock ticks after boot
}

// clockTick is the unit of /proc/<pid>/stat: USER_HZ, which is 100 on every
// architecture that Linux and Go share.
const clockTick = time.Second / 100

func ownPID() int { return os.Getpid() }

// OpenProcess finds the process with the number; errs.NotFound if there is none.
func OpenProcess(pid int) (*Process, error) {
	const op errs.Op = "loader.OpenProcess"
	stat, err := readStat(pid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.E(op, fmt.Sprint("process ", pid), errs.NotFound, err)
	} else if err != nil {
		return nil, errs.E(op, fmt.Sprint("process ", pid), errs.IO, err)
	}
	return &Process{pid: pid, started: stat.started}, nil
}

// PID returns the process's number.
func (p *Process) PID() int { return p.pid }

// CPU returns the user and system time that all threads of the process have
// used, those that have ended included, but not its children's.
//
// It reads the process's CPU clock, which counts nanoseconds and is what the sum
// over /proc/<pid>/task/*/schedstat would be if threads never ended. Where the
// kernel refuses that clock, /proc/<pid>/stat is read, in steps of 10 ms.
// (clock_getcpuclockid(3): clock number = ^pid << 3 | CPUCLOCK_SCHED)
func (p *Process) CPU() (time.Duration, error) {
	const op errs.Op = "loader.CPU"
	stat, err := readStat(p.pid)
	if err != nil || stat.started != p.started {
		return 0, errs.E(op, fmt.Sprint("process ", p.pid), errs.NotFound, errors.Join(errors.New("it has ended"), err))
	}
	var now unix.Timespec
	if err := unix.ClockGettime(^int32(p.pid)<<3|cpuClockSched, &now); err == nil {
		return time.Duration(now.Nano()), nil
	}
	return time.Duration(stat.ticks) * clockTick, nil
}

// cpuClockSched selects the scheduler's count, user and system time in
// nanoseconds, of a process's CPU clock. (Linux: include/linux/posix-timers.h)
const cpuClockSched = 2

// Memory returns the process's resident set in bytes, now and at its highest
// since the process started (VmRSS, VmHWM).
func (p *Process) Memory() (resident, peak int64, err error) {
	const op errs.Op = "loader.Memory"
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0, 0, errs.E(op, fmt.Sprint("process ", p.pid), errs.NotFound, err)
	}
	read := func(name string) int64 {
		_, rest, found := strings.Cut(string(status), "\n"+name+":")
		if !found {
			return 0
		}
		line, _, _ := strings.Cut(rest, "\n")
		kibibytes, parseErr := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(line), " kB"), 10, 64)
		if parseErr != nil {
			err = errs.E(op, fmt.Sprint("process ", p.pid), errs.IO, parseErr)
		}
		return kibibytes << 10
	}
	return read("VmRSS"), read("VmHWM"), err
}

// processStat is what is taken from /proc/<pid>/stat.
type processStat struct {
	parent      int
	ticks       uint64 // utime + stime
	reapedTicks uint64 // cutime + cstime: of children that have ended and were waited for, and theirs
	started     uint64
}

// readStat reads /proc/<pid>/stat. The command in parentheses may hold spaces
// and parentheses; the fields are counted from the last one. (proc_pid_stat(5))
func readStat(pid int) (processStat, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processStat{}, err
	}
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	const state, ppid, utime, stime, cutime, cstime, started = 3, 4, 14, 15, 16, 17, 22 // fields count from 1 in the manual
	if len(fields) <= started-state {
		return processStat{}, fmt.Errorf("/proc/%d/stat: %q", pid, content)
	}
	var stat processStat
	var numbers [6]uint64
	for i, field := range []int{ppid, utime, stime, cutime, cstime, started} {
		if numbers[i], err = strconv.ParseUint(string(fields[field-state]), 10, 64); err != nil {
			return processStat{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
	}
	stat.parent, stat.started = int(numbers[0]), numbers[5]
	stat.ticks, stat.reapedTicks = numbers[1]+numbers[2], numbers[3]+numbers[4]
	return stat, nil
}

// FindListener returns the process on this machine that listens at a TCP
// address ("127.0.0.1:9000"); errs.NotFound if there is none that may be looked at.
func FindListener(address string) (*Process, error) {
	const op errs.Op = "loader.FindListener"
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, errs.E(op, address, errs.Invalid, err)
	}
	inodes := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if err := addListeners(inodes, table, resolved.AddrPort()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errs.E(op, address, errs.IO, err)
		}
	}
	// Processes and descriptors come and go while we look, and those of others may
	// not be looked at: whatever cannot be read is not it.
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return nil, errs.E(op, address, errs.IO, err)
	}
	holders := make(map[int]bool)
	for _, descriptor := range descriptors {
		link, err := os.Readlink(descriptor)
		if err != nil || !inodes[link] {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(descriptor, "/")[2]); err == nil {
			holders[pid] = true
		}
	}
	for pid := range holders {
		// Workers hold the socket of the master that made them: it is the master.
		if stat, err := readStat(pid); err == nil && !holders[stat.parent] {
			return OpenProcess(pid)
		}
	}
	return nil, errs.E(op, address, errs.NotFound, errors.New("no process on this machine that listens there may be looked at"))
}

// addListeners adds the sockets of a table that listen at the address, or at its
// port on all addresses, as /proc shows them among descriptors.
func addListeners(inodes map[string]bool, table string, wanted netip.AddrPort) error {
	file, err := os.Open(table)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		const listening = "0A" // TCP_LISTEN
		if len(fields) < 10 || fields[3] != listening {
			continue
		}
		addressText, portText, found := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(portText, 16, 16)
		if !found || err != nil || uint16(port) != wanted.Port() {
			continue
		}
		raw, err := hex.DecodeString(addressText)
		if err != nil {
			continue
		}
		for i := 0; i+4 <= len(raw); i += 4 { // words of the machine, which are little-endian where we run
			raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
		}
		address, ok := netip.AddrFromSlice(raw)
		if ok && (address.IsUnspecified() || address.Unmap() == wanted.Addr().Unmap()) {
			inodes["socket:["+fields[9]+"]"] = true
		}
	}
	return lines.Err()
}
