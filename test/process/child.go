package process

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Child is a process that ends with the test that started it, whatever becomes of that:
// the kernel kills it.
type Child struct {
	process *os.Process
	ended   chan struct{}
	exit    error // why it ended; valid once ended is closed
}

// Begin starts a command. Whoever begins a child waits for its end.
func Begin(command *exec.Cmd) (*Child, error) {
	// A process group of its own: Ctrl-C in a terminal reaches the test, which then ends
	// the child in its own way.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	child := &Child{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the *thread* that forked ends: this goroutine
		// keeps its thread until the child is gone.
		runtime.LockOSThread()
		err := command.Start()
		child.process = command.Process
		started <- err
		if err == nil {
			child.exit = command.Wait()
		}
		close(child.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return child, nil
}

// PID is the process id.
func (c *Child) PID() int { return c.process.Pid }

// Signal sends the child a signal; os.ErrProcessDone says that it has ended.
func (c *Child) Signal(signal os.Signal) error { return c.process.Signal(signal) }

// Ended is closed when the child has ended.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Exit says why it has ended, as exec.Cmd.Wait does: once Ended is closed.
func (c *Child) Exit() error { return c.exit }
