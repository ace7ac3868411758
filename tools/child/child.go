package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
)

// stopPatience is how long a server may take to end after SIGTERM; a clean
// stop flushes memtables, 16 MiB for each mountpath.
const stopPatience = 30 * time.Second

// Child is a process that a command started. It ends with the command. Safe for
// concurrent use.
type Child struct {
	command  *exec.Cmd
	lifeline io.WriteCloser // its standard input
	exited   chan struct{}  // closed when it has ended
	err      error          // how it ended; read after exited
}

// Start starts a command in a process group of its own, so that Ctrl-C
// reaches who started it only, who then stops its children in order.
func Start(command *exec.Cmd) (*Child, error) {
	const op errs.Op = "child.Start"
	lifeline, err := command.StdinPipe()
	if err != nil {
		return nil, errs.E(op, command.Path, errs.IO, err)
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	child := &Child{command: command, lifeline: lifeline, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Pdeathsig is about the thread that started the child: it must live as long.
		runtime.LockOSThread()
		defer close(child.exited)
		err := command.Start()
		started <- err
		if err == nil {
			child.err = command.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, errs.E(op, command.Path, errs.IO, err)
	}
	return child, nil
}

// PID is the process's number.
func (c *Child) PID() int { return c.command.Process.Pid }

// Exited is closed when the child has ended.
func (c *Child) Exited() <-chan struct{} { return c.exited }

// Err says how the child ended, as exec.Cmd.Wait does: once Exited is closed.
func (c *Child) Err() error { return c.err }

// EndInput ends the child's standard input. May be called again.
func (c *Child) EndInput() error {
	if err := c.lifeline.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return errs.E("child.EndInput", c.command.Path, errs.IO, err)
	}
	return nil
}

// Stop ends the child: the end of its input for those that heed it and SIGTERM;
// then, when its patience is over, SIGKILL, which is an error. May be called again.
func (c *Child) Stop() error {
	const op errs.Op = "child.Stop"
	closeErr := c.EndInput()
	if err := c.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errs.E(op, c.command.Path, errs.IO, err)
	}
	select {
	case <-c.exited:
	case <-time.After(stopPatience):
		return errs.E(op, c.command.Path, errs.IO, errors.Join(
			fmt.Errorf("it did not end within %v of SIGTERM and was killed", stopPatience), c.Kill()))
	}
	var exit *exec.ExitError
	if errors.As(c.err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGTERM {
			return nil // it has no handler: a bare handler
		}
	}
	if err := errors.Join(closeErr, c.err); err != nil {
		return errs.E(op, c.command.Path, errs.IO, err)
	}
	return nil
}

// Kill ends the child with SIGKILL and waits until it is gone. One that has ended is
// no error.
func (c *Child) Kill() error {
	err := c.command.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	if err != nil {
		return errs.E("child.Kill", c.command.Path, errs.IO, err)
	}
	<-c.exited
	return c.EndInput()
}
