package process

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The root pair of every node that this package starts; also the default pair.
const (
	AccessKey = "troupe"
	SecretKey = "troupe-secret"
)

// How long a node may take to answer after its start and to end after SIGTERM.
// Both are an order of magnitude above what is promised (3 s after kill -9 with
// a million objects), so that a busy machine fails no test and a hang does.
const (
	readyWithin = 60 * time.Second
	stopWithin  = 60 * time.Second
)

// readyProbe is the pause between two questions whether a starting node is ready.
const readyProbe = 10 * time.Millisecond

const (
	// portTries is how often ports are chosen anew, when somebody else took one of them
	// between the choice and the start.
	portTries = 5
	// taken is in the log when somebody else has one of the ports.
	taken = "address already in use"
)

// logTailBytes is how much of a node's log an error carries.
const logTailBytes = 16 << 10

// Config says what node to start.
type Config struct {
	// Binary is the path of the troupe binary; see Build.
	Binary string
	// Dir is the directory that holds the mountpaths (d0, d1, …) and the log
	// (node.log). It belongs to the node until Stop or Kill.
	Dir string
	// Mountpaths is how many mountpaths to make; default 4.
	Mountpaths int
	// Data are directories to be mountpaths, elsewhere than in Dir, instead of
	// those; they are given to the node as they are.
	Data []string
	// Args are further arguments of `troupe serve`.
	Args []string
	// Env are further variables (NAME=value) of the node's environment.
	Env []string
	// Host is the loopback address of the listeners; default 127.0.0.1.
	Host string
	// S3 and Native are addresses (127.0.0.1:PORT) for the listeners; both empty: free ones.
	S3, Native string
	// TLS, if not nil, makes the listeners speak HTTPS with these files.
	TLS *Files
	// Intra is an address for a listener for other nodes of its cluster, Free for a free
	// one, or empty for none; Args say which cluster.
	Intra string
	// Under is the beginning of the command line: a program that becomes the one that
	// follows, as `ip netns exec NAME` does.
	Under []string
}

// Free is an address that nobody listens on.
const Free = "free"

// Node is a troupe process. Its methods are called by one goroutine at a time;
// its fields may be read by any.
type Node struct {
	// S3 and Native are the addresses (127.0.0.1:PORT) of the listeners. They
	// stay the same over restarts. Intra is that of the listener for other nodes; empty:
	// there is none.
	S3, Native, Intra string
	// Mountpaths are the directories that the node was given.
	Mountpaths []string

	config Config
	child  *Child // nil: it is not running
}

// Start starts a node and returns when it is ready. The caller ends it with
// Stop or Kill.
func Start(ctx context.Context, config Config) (*Node, error) {
	if config.Mountpaths == 0 {
		config.Mountpaths = 4
	}
	if config.Host == "" {
		config.Host = "127.0.0.1"
	}
	n := &Node{config: config, Mountpaths: config.Data}
	if config.Data != nil {
		config.Mountpaths = 0
	}
	for i := range config.Mountpaths {
		path := filepath.Join(config.Dir, "d"+strconv.Itoa(i))
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, fmt.Errorf("process.Start: %w", err)
		}
		n.Mountpaths = append(n.Mountpaths, path)
	}
	for try := 1; ; try++ {
		free, err := freeAddresses(config.Host, 3)
		if err != nil {
			return nil, fmt.Errorf("process.Start: %w", err)
		}
		if n.S3, n.Native, n.Intra = config.S3, config.Native, config.Intra; n.S3 == "" {
			n.S3, n.Native = free[0], free[1]
		}
		if n.Intra == Free {
			n.Intra = free[2]
		}
		err = n.Restart(ctx)
		if err == nil {
			return n, nil
		}
		if try == portTries || config.S3 != "" || !strings.Contains(err.Error(), taken) {
			return nil, err
		}
	}
}

// freeAddresses returns loopback addresses that nobody listens on. Another
// process, or a connection of one, may take one before the node does; the node then
// fails to start and says so.
func freeAddresses(host string, count int) ([]string, error) {
	var addresses []string
	for range count {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, err
		}
		defer listener.Close() // all stay open until the last is known, so that no two are the same
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// Restart starts the process again on the same directories and ports after
// Stop or Kill, and returns when it is ready.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Launch(); err != nil {
		return err
	}
	if err := n.AwaitReady(ctx); err != nil {
		return errors.Join(err, n.Kill())
	}
	return nil
}

// Launch starts the process as Restart does, and does not wait for it.
func (n *Node) Launch() error {
	if n.child != nil {
		return errors.New("process.Restart: the node is still running")
	}
	log, err := os.OpenFile(n.LogPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("process.Restart: %w", err)
	}
	defer log.Close() // the process has its own descriptor

	args := []string{"serve"}
	for _, path := range n.Mountpaths {
		args = append(args, "--data", path)
	}
	args = append(args, "--native", n.Native, "--s3", n.S3)
	if t := n.config.TLS; t != nil {
		args = append(args, "--tls-cert", t.Cert, "--tls-key", t.Key)
	}
	if n.Intra != "" {
		args = append(args, "--intra", n.Intra)
	}
	line := append(slices.Clone(n.config.Under), n.config.Binary)
	line = append(append(line, args...), n.config.Args...)
	command := exec.Command(line[0], line[1:]...)
	command.Dir = n.config.Dir
	command.Env = append(os.Environ(), "TROUPE_ROOT_ACCESS_KEY="+AccessKey, "TROUPE_ROOT_SECRET_KEY="+SecretKey)
	command.Env = append(command.Env, n.config.Env...)
	command.Stdout, command.Stderr = log, log
	child, err := Begin(command)
	if err != nil {
		return fmt.Errorf("process.Restart: %w", err)
	}
	n.child = child
	return nil
}

// AwaitReady returns when the node answers that it is ready; it fails when the
// process ends or the time is over.
func (n *Node) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	probe := time.NewTicker(readyProbe)
	defer probe.Stop()
	client, err := n.client()
	if err != nil {
		return err
	}
	said := errors.New("not asked yet")
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL(n.Native)+"/v1/health?readiness=true", nil)
		if err != nil {
			return fmt.Errorf("process.AwaitReady: %w", err)
		}
		answer, err := client.Do(request)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(answer.Status)
		}
		if ctx.Err() == nil {
			said = err
		}
		select {
		case <-n.child.Ended():
			return fmt.Errorf("process.AwaitReady: the node ended before it was ready: %w\n%s", n.child.Exit(), n.Log())
		case <-ctx.Done():
			return fmt.Errorf("process.AwaitReady: %w; its last answer: %w\n%s", ctx.Err(), said, n.Log())
		case <-probe.C:
		}
	}
}

// Running says whether the process is there. It is false after Stop and Kill,
// and after the process ended by itself.
func (n *Node) Running() bool {
	if n.child == nil {
		return false
	}
	select {
	case <-n.child.Ended():
		return false
	default:
		return true
	}
}

// PID is the process id of a running node.
func (n *Node) PID() int { return n.child.PID() }

// Stop asks the node to end, as a service manager does, and waits for it. An
// exit code other than 0, an end before Stop, and no end in time are errors,
// which carry the node's log. The process is gone afterwards in any case.
func (n *Node) Stop(ctx context.Context) error {
	if n.child == nil {
		return errors.New("process.Stop: the node is not running")
	}
	if !n.Running() {
		exit := n.child.Exit()
		n.child = nil
		return fmt.Errorf("process.Stop: the node had ended by itself: %w\n%s", exit, n.Log())
	}
	if err := n.child.Signal(syscall.SIGTERM); err != nil {
		return errors.Join(fmt.Errorf("process.Stop: %w", err), n.Kill())
	}
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	select {
	case <-n.child.Ended():
		exit := n.child.Exit()
		n.child = nil
		if exit != nil {
			return fmt.Errorf("process.Stop: %w\n%s", exit, n.Log())
		}
		return nil
	case <-ctx.Done():
		err := fmt.Errorf("process.Stop: the node did not end: %w\n%s", ctx.Err(), n.stacks())
		return errors.Join(err, n.Kill())
	}
}

// Signal sends the process a signal, and waits for nothing.
func (n *Node) Signal(signal syscall.Signal) error {
	if n.child == nil {
		return errors.New("process.Signal: the node is not running")
	}
	if err := n.child.Signal(signal); err != nil {
		return fmt.Errorf("process.Signal: %w", err)
	}
	return nil
}

// Wait waits until the process has ended by itself, or by a signal that was sent,
// and returns its exit code; -1 where a signal ended it at once.
func (n *Node) Wait(ctx context.Context) (code int, err error) {
	if n.child == nil {
		return 0, errors.New("process.Wait: the node is not running")
	}
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	select {
	case <-n.child.Ended():
	case <-ctx.Done():
		return 0, fmt.Errorf("process.Wait: the node did not end: %w", ctx.Err())
	}
	ended := n.child.Exit()
	n.child = nil
	var exit *exec.ExitError
	switch {
	case ended == nil:
		return 0, nil
	case errors.As(ended, &exit):
		return exit.ExitCode(), nil
	}
	return 0, fmt.Errorf("process.Wait: %w", ended)
}

// stacks makes a Go process that hangs write the stacks of its goroutines, and
// returns the log with them.
func (n *Node) stacks() string {
	if err := n.child.Signal(syscall.SIGQUIT); err == nil {
		select {
		case <-n.child.Ended():
		case <-time.After(5 * time.Second):
		}
	}
	return n.Log()
}

// Kill ends the process with SIGKILL and waits until it is gone. A node that
// is not running is no error.
func (n *Node) Kill() error {
	if n.child == nil {
		return nil
	}
	err := n.child.Signal(syscall.SIGKILL)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("process.Kill: %w", err)
	}
	<-n.child.Ended()
	n.child = nil
	return nil
}

// LogPath is the file that holds what the node wrote, over all its restarts.
func (n *Node) LogPath() string { return filepath.Join(n.config.Dir, "node.log") }

// Log returns the end of what the node wrote.
func (n *Node) Log() string {
	data, err := os.ReadFile(n.LogPath())
	if err != nil {
		return err.Error()
	}
	if cut := len(data) - logTailBytes; cut > 0 {
		data = append([]byte("…"), data[cut:]...)
	}
	return "log of the node:\n" + strings.TrimRight(string(data), "\n")
}

// Environment returns the variables that the clients' scripts read: where the
// S3 listener is, and the root pair.
func (n *Node) Environment() []string {
	env := []string{"TROUPE_S3=" + n.URL(n.S3), "TROUPE_NATIVE=" + n.URL(n.Native), "TROUPE_ACCESS=" + AccessKey, "TROUPE_SECRET=" + SecretKey}
	if t := n.config.TLS; t != nil {
		env = append(env, "TROUPE_CA="+t.Authority)
	}
	return env
}

// URL is how a client writes the address of one of the node's listeners.
func (n *Node) URL(address string) string {
	if n.config.TLS != nil {
		return "https://" + address
	}
	return "http://" + address
}

// client makes a client whose connections are its own and closed after each
// request: one that is kept would be counted among the node's.
func (n *Node) client() (*http.Client, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if t := n.config.TLS; t != nil {
		authority, err := os.ReadFile(t.Authority)
		if err != nil {
			return nil, fmt.Errorf("process.client: %w", err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(authority)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport}, nil
}
