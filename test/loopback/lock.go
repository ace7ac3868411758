package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lock keeps two clusters off one directory. It is held by the process, so that one
// that was killed leaves none; the file tells who holds it.
type lock struct{ file *os.File }

func lockPath(dir string) string { return filepath.Join(dir, "pid") }

// takeLock takes the lock of a directory, or says who has it.
func takeLock(dir string) (*lock, error) {
	file, err := os.OpenFile(lockPath(dir), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(file) // for the message alone
		return nil, errors.Join(fmt.Errorf("a cluster runs on %s already, in process %s; end it with `make cluster-stop`", dir, strings.TrimSpace(string(pid))), file.Close())
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &lock{file}, nil
}

// release gives the lock back.
func (l *lock) release() error { return l.file.Close() }

// stopTime is how long a cluster may take to end; stopProbe is between two looks.
const (
	stopTime  = 3 * time.Minute
	stopProbe = 50 * time.Millisecond
)

// stopOther ends the cluster that another process runs on a directory, and returns
// when it has ended.
func stopOther(ctx context.Context, dir string, out io.Writer) error {
	file, err := os.Open(lockPath(dir))
	if errors.Is(err, os.ErrNotExist) {
		_, err = fmt.Fprintf(out, "no cluster has ever run on %s\n", dir)
		return err
	}
	if err != nil {
		return err
	}
	defer file.Close() // it was only read
	if syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		_, err = fmt.Fprintf(out, "no cluster runs on %s\n", dir)
		return err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("%s does not name the process that holds it: %q", lockPath(dir), text)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	probe := time.NewTicker(stopProbe)
	defer probe.Stop()
	for syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil {
		select {
		case <-probe.C:
		case <-ctx.Done():
			return fmt.Errorf("process %d has not ended: %w", pid, ctx.Err())
		}
	}
	_, err = fmt.Fprintf(out, "the cluster on %s has ended; its data is kept\n", dir)
	return err
}
