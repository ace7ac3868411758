package loader

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/tools/child"
)

const (
	// readyPatience is how long a server may take until it is ready.
	readyPatience = 60 * time.Second
	readyPoll     = 20 * time.Millisecond
	// logTail is how much of a server's output an error repeats.
	logTail = 2 << 10
)

// Child is a server that the generator started. It ends with the generator.
type Child struct {
	*child.Child
	Process *Process
}

// startChild starts a command, whose CPU time and memory are read.
func startChild(command *exec.Cmd) (*Child, error) {
	const op errs.Op = "loader.startChild"
	started, err := child.Start(command)
	if err != nil {
		return nil, errs.E(op, err)
	}
	process, err := OpenProcess(started.PID())
	if err != nil {
		return nil, errs.E(op, command.Path, errors.Join(err, started.Stop()))
	}
	return &Child{started, process}, nil
}

// bareServer is the bare handler in a process of its own.
type bareServer struct {
	*Child
	endpoint string
}

// startBare starts the bare handler with the command line that runs ServeBare.
func startBare(line []string, directory string) (*bareServer, error) {
	const op errs.Op = "loader.startBare"
	command := exec.Command(line[0], append(line[1:len(line):len(line)], "--directory", directory)...)
	command.Stderr = os.Stderr
	announced, announce, err := os.Pipe()
	if err != nil {
		return nil, errs.E(op, errs.IO, err)
	}
	defer announced.Close() //nolint:errcheck // only read
	command.Stdout = announce
	started, err := startChild(command)
	if err = errors.Join(err, announce.Close()); err != nil {
		return nil, errs.E(op, err)
	}
	if err := announced.SetReadDeadline(time.Now().Add(readyPatience)); err != nil {
		return nil, errs.E(op, errs.IO, errors.Join(err, started.Stop()))
	}
	address, err := bufio.NewReader(announced).ReadString('\n')
	if err != nil {
		return nil, errs.E(op, errs.IO, errors.Join(fmt.Errorf("it said no address: %w", err), started.Stop()))
	}
	return &bareServer{Child: started, endpoint: "http://" + strings.TrimSpace(address)}, nil
}

// served is a server under test that the generator started in a directory of
// its own.
type served struct {
	*Child
	endpoint string // of S3
	native   string // of the native listener
	tls      *tls.Config
	log      string // file with its output
}

// startServer starts the server that a command line describes and waits until it
// is ready. In the line, {data} stands for the directory (every path that begins
// with it is made), {s3} and {native} for free loopback addresses.
func startServer(ctx context.Context, line, directory string, load Load) (*served, error) {
	const op errs.Op = "loader.startServer"
	words, err := splitWords(line)
	if err != nil || len(words) == 0 {
		return nil, errs.E(op, line, errs.Invalid, errors.Join(errors.New("not a command line"), err))
	}
	addresses, err := freeAddresses(2)
	if err != nil {
		return nil, errs.E(op, errs.IO, err)
	}
	data := filepath.Join(directory, "data")
	fill := strings.NewReplacer("{data}", data, "{s3}", addresses[0], "{native}", addresses[1])
	for i, word := range words {
		words[i] = fill.Replace(word)
		for path := range strings.FieldsFuncSeq(words[i], func(c rune) bool { return c == ',' || c == '=' }) {
			if path != data && !strings.HasPrefix(path, data+"/") {
				continue
			}
			if err := os.MkdirAll(path, 0o755); err != nil {
				return nil, errs.E(op, errs.IO, err)
			}
		}
	}
	s := &served{endpoint: load.Endpoint, tls: load.TLS, log: filepath.Join(directory, "server.log")}
	if strings.Contains(line, "{s3}") {
		scheme, _, _ := strings.Cut(load.Endpoint, "://")
		s.endpoint = scheme + "://" + addresses[0]
	}
	if strings.Contains(line, "{native}") {
		s.native = "http://" + addresses[1]
	}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, errs.E(op, errs.IO, err)
	}
	command := exec.Command(words[0], words[1:]...)
	command.Stdout, command.Stderr = log, log
	s.Child, err = startChild(command)
	if err = errors.Join(err, log.Close()); err != nil {
		return nil, errs.E(op, line, err)
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, errs.E(op, line, errors.Join(err, s.Stop(), s.tail()))
	}
	return s, nil
}

// awaitReady asks until the server says that it is ready, or that it cannot be.
func (s *served) awaitReady(ctx context.Context) error {
	ready := func() (bool, error) {
		status, _, err := question{method: "GET", url: s.native + "/v1/health?readiness=true", tls: s.tls, limit: maxErrorBytes}.ask(ctx)
		return status == 200, err
	}
	if s.native == "" { // somebody else's: it is ready when it answers, if only that we may not
		ready = func() (bool, error) {
			status, _, err := question{method: "GET", url: s.endpoint + "/", tls: s.tls, limit: maxErrorBytes}.ask(ctx)
			return status != 0 && status < 500, err
		}
	}
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	patience := time.After(readyPatience)
	for {
		is, err := ready()
		if err == nil && is {
			return nil
		}
		select {
		case <-poll.C:
		case <-s.Exited():
			return errs.E("", errs.Offline, errors.Join(errors.New("the server ended"), s.Err()))
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			return errs.E("", errs.Offline, errors.Join(fmt.Errorf("not ready after %v", readyPatience), err))
		}
	}
}

// tail is the end of the server's output as an error, or nil if it said nothing.
func (s *served) tail() error {
	content, err := os.ReadFile(s.log)
	if err != nil {
		return err
	}
	if len(content) == 0 {
		return nil
	}
	return fmt.Errorf("its output ends: %s", content[max(0, len(content)-logTail):])
}

// freeAddresses returns loopback addresses nobody listens at. Somebody else may
// take one before it is used; the server then says so.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close() //nolint:errcheck // nobody connected
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// splitWords splits a command line at spaces; single and double quotes keep them.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inside, quote := false, rune(0)
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, inside = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if inside {
				words = append(words, word.String())
				word.Reset()
				inside = false
			}
		default:
			word.WriteRune(c)
			inside = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%c is not closed in %q", quote, line)
	}
	if inside {
		words = append(words, word.String())
	}
	return words, nil
}
