package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Pause stops the process with SIGSTOP, and returns when none of its threads runs any
// more. It is there and holds what it holds; its connections take what fits the kernel's
// buffers, and answer nothing.
func (n *Node) Pause(ctx context.Context) error {
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return AwaitStopped(ctx, n.PID())
}

// Continue lets a paused process go on.
func (n *Node) Continue() error { return n.Signal(syscall.SIGCONT) }

// AwaitStopped returns when no thread of a process runs any more, after SIGSTOP was sent
// to it: the signal is taken some time after it was sent.
func AwaitStopped(ctx context.Context, pid int) error {
	probe := time.NewTicker(time.Millisecond)
	defer probe.Stop()
	for {
		all, err := stopped(pid)
		if err != nil || all {
			return err
		}
		select {
		case <-probe.C:
		case <-ctx.Done():
			return fmt.Errorf("process.AwaitStopped: %w", ctx.Err())
		}
	}
}

// stopped says whether every thread of a process is stopped (Linux, proc(5)).
func stopped(pid int) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false, fmt.Errorf("process.AwaitStopped: the process has no threads: %w", errors.Join(err, os.ErrProcessDone))
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return false, fmt.Errorf("process.AwaitStopped: %w", err)
		}
		// "pid (name) state …", where the name may hold anything.
		state := stat[bytes.LastIndexByte(stat, ')')+1:]
		if !bytes.HasPrefix(state, []byte(" T")) {
			return false, nil
		}
	}
	return true, nil
}
