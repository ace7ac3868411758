package loader

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-storage/troupe/objects/errs"
)

func lockThread() { runtime.LockOSThread() }

func threadTime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		panic(err)
	}
	return time.Duration(now.Nano())
}

// What another process used is counted, threads that have ended included: the
// figure that everything else is divided from. Compared with what the process
// itself is told by getrusage.
func TestCPUOfAChildIsWhatItSays(t *testing.T) {
	command := exec.Command(os.Args[0], "burn")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout = write
	child, err := startChild(command)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := child.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	said, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	got, err := child.Process.CPU()
	if err != nil {
		t.Fatal(err)
	}
	// Between its getrusage and our look it prints a line and goes to sleep; the
	// runtime's own threads may do a little.
	if low, high := time.Duration(said)-2*time.Millisecond, time.Duration(said)+30*time.Millisecond; got < low || got > high {
		t.Errorf("counted %v, the child says %v", got, time.Duration(said))
	}
	if got < 300*time.Millisecond {
		t.Errorf("counted %v, at least 300ms were burnt by threads that have ended", got)
	}
	stat, err := readStat(child.Process.PID())
	if err != nil {
		t.Fatal(err)
	}
	if coarse := time.Duration(stat.ticks) * clockTick; coarse < got-50*time.Millisecond || coarse > got+50*time.Millisecond {
		t.Errorf("/proc/pid/stat says %v, the clock %v", coarse, got)
	}
	resident, peak, err := child.Process.Memory()
	if err != nil || resident < 1<<20 || peak < resident {
		t.Errorf("resident %d, peak %d, %v", resident, peak, err)
	}
}

// A process that has ended is an error, not a figure; nor is another process
// under its number.
func TestEndedProcessHasNoFigures(t *testing.T) {
	self, err := OpenProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	self.started++ // somebody else's number now
	if _, err := self.CPU(); !errs.Is(errs.NotFound, err) {
		t.Errorf("another process's figures: %v", err)
	}
	if _, err := OpenProcess(1 << 30); !errs.Is(errs.NotFound, err) {
		t.Errorf("process that cannot be: %v", err)
	}
}

// What a child burnt counts for its parent's tree, while it runs and when it has
// ended; it does not for the parent alone, and never for the generator's own.
func TestTreeCountsDescendants(t *testing.T) {
	command := exec.Command("sh", "-c", "'"+os.Args[0]+"' burn; '"+os.Args[0]+"' burn; exit 0")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout = write
	child, err := startChild(command)
	if err != nil {
		t.Fatal(err)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(read)
	if _, err := lines.ReadString('\n'); err != nil { // the first has burnt its share, and runs
		t.Fatal(err)
	}
	tree, err := child.Process.TreeCPU()
	if err != nil {
		t.Fatal(err)
	}
	alone, err := child.Process.CPU()
	if err != nil {
		t.Fatal(err)
	}
	if tree < 300*time.Millisecond || alone > 100*time.Millisecond {
		t.Errorf("the tree used %v, its root %v", tree, alone)
	}
	if resident, peak, err := child.Process.TreeMemory(); err != nil || resident < 5<<20 || peak < resident {
		t.Errorf("resident %d, peak %d, %v", resident, peak, err)
	}
	self, err := OpenProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if members, err := self.tree(); err != nil || len(members) != 1 {
		t.Errorf("the generator's own tree: %d members, %v", len(members), err)
	}
	if err := child.EndInput(); err != nil { // both end
		t.Fatal(err)
	}
	if _, err := lines.ReadString('\n'); err != nil { // the second has burnt its share, the first is counted by the shell
		t.Fatal(err)
	}
	if err := child.Stop(); err != nil {
		t.Error(err)
	}
}

// The server's process is found by where it listens, on its own address or on all.
func TestFindListener(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		process, err := FindListener("127.0.0.1:" + port)
		if err != nil || process.PID() != os.Getpid() {
			t.Errorf("%s: %+v, %v", address, process, err)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		if process, err := FindListener("127.0.0.1:" + port); !errs.Is(errs.NotFound, err) {
			t.Errorf("%s: found after it was closed: %+v, %v", address, process, err)
		}
	}
}
