package prover

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/s3"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/tools/child"
)

const (
	// readyPatience is how long a node may take until it serves.
	readyPatience = 60 * time.Second
	// answerPatience is how long an answer may take to begin. A node gives up on most
	// requests after 30 s by itself, and what is sent here is small: one that takes longer
	// than this hangs.
	answerPatience = 2 * time.Minute
	// logTail is how much of a node's output an error repeats.
	logTail = 4 << 10
)

// TrialFlags are the hidden flags of `serve` that a proof needs.
type TrialFlags struct {
	Journal string // its value is the file of the journal
	Boot    string // its value stands for the boot of the machine
}

// node is a node that serves, of the program itself.
type node struct {
	*child.Child
	s3      s3.Client     // repeats nothing: every request has one outcome
	native  string        // URL
	took    time.Duration // from its start to its first answer
	drained chan struct{} // closed when its standard output has ended
	output  *os.File      // the end of it that is read
}

// startup says how to start a node.
type startup struct {
	journal string // file to record into; empty: it is not recorded
	boot    string // what stands for this boot of the machine; empty: the machine's own
}

// notServing is a node that does not start: all that it had is out of reach.
type notServing struct{ error }

// start starts a node on the mountpaths and waits for its first answer. A node that ends
// instead, or does not answer, is notServing.
func (p *proof) start(ctx context.Context, dirs []string, how startup) (_ *node, err error) {
	arguments := []string{
		"serve", "--s3", "127.0.0.1:0", "--native", "127.0.0.1:0", "--memory", "128MiB", "--min-part", "1",
		"--inline", fmt.Sprint(inlineLimit), "--reserve", "16MiB", "--log-level", "warning",
	}
	for _, dir := range dirs {
		one, err := listOf(dir)
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, "--data", one)
	}
	if how.journal != "" {
		arguments = append(arguments, p.flags.Journal, how.journal)
	}
	if how.boot != "" {
		arguments = append(arguments, p.flags.Boot, how.boot)
	}
	log, err := os.Create(p.ground.path("node.log"))
	if err != nil {
		return nil, errs.E("prove", errs.IO, err)
	}
	defer log.Close() //nolint:errcheck // the node has its own descriptor
	output, input, err := os.Pipe()
	if err != nil {
		return nil, errs.E("prove", errs.IO, err)
	}
	keys := sigv4.Credentials{AccessKey: "prove", SecretKey: rand.Text()}
	command := exec.Command(p.program, arguments...)
	command.Env = append(ownEnvironment(), "TROUPE_ROOT_ACCESS_KEY="+keys.AccessKey, "TROUPE_ROOT_SECRET_KEY="+keys.SecretKey)
	command.Stdout, command.Stderr = input, log
	began := time.Now()
	started, err := child.Start(command)
	if err = errors.Join(err, input.Close()); err != nil {
		return nil, errs.E("prove", errors.Join(err, output.Close()))
	}
	n := &node{Child: started, output: output, drained: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.kill())
		}
	}()
	address, err := n.announced(ctx)
	if err == nil {
		err = n.answers(ctx)
		n.took = time.Since(began)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, notServing{fmt.Errorf("the node does not serve: %w%s", err, p.logTail())}
	}
	connection, err := client.New(client.Config{Endpoint: address, Credentials: keys, Patience: -1, Answer: answerPatience})
	n.s3 = s3.Client{Connection: connection}
	return n, err
}

// listOf is a list of one directory as a flag takes it, which holds several between commas:
// a node must not take a part of a name for a mountpath.
func listOf(dir string) (string, error) {
	var list strings.Builder
	w := csv.NewWriter(&list)
	if err := w.Write([]string{dir}); err != nil {
		return "", errs.E("prove", dir, errs.Invalid, err)
	}
	w.Flush()
	return strings.TrimSuffix(list.String(), "\n"), w.Error()
}

// ownEnvironment is this process's without what is meant for other nodes.
func ownEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "TROUPE_") })
}

// announced waits until the node has said where it serves. Whatever else it prints is
// read, so that it never waits for a reader.
func (n *node) announced(ctx context.Context) (s3 string, err error) {
	said := make(chan [2]string, 1)
	go func() {
		defer close(n.drained)
		var at [2]string
		for lines := bufio.NewScanner(n.output); lines.Scan(); {
			words := strings.Fields(lines.Text())
			if len(words) < 2 || !strings.HasPrefix(words[1], "http://") {
				continue
			}
			switch words[0] {
			case "S3":
				at[0] = words[1]
			case "Native":
				at[1] = words[1]
			}
			if at[0] != "" && at[1] != "" {
				said <- at
				break
			}
		}
		io.Copy(io.Discard, n.output) //nolint:errcheck // it ends with the node
	}()
	patience := time.NewTimer(readyPatience)
	defer patience.Stop()
	select {
	case at := <-said:
		n.native = at[1]
		return at[0], nil
	case <-n.Exited():
		return "", fmt.Errorf("it ended: %w", cmp.Or(n.Err(), errors.New("without a word")))
	case <-patience.C:
		return "", fmt.Errorf("it did not say where it serves within %v", readyPatience)
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// answers waits for the first answer.
func (n *node) answers(ctx context.Context) error {
	ctx, done := context.WithTimeout(ctx, readyPatience)
	defer done()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	asks := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.native+"/v1/health?readiness=true", nil)
		if err != nil {
			return err
		}
		answer, err := asks.Do(request)
		if err == nil {
			if err := answer.Body.Close(); err != nil {
				return err
			}
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(answer.Status)
		}
		select {
		case <-n.Exited():
			return fmt.Errorf("it ended before it was ready: %w", errors.Join(n.Err(), err))
		case <-ctx.Done():
			return fmt.Errorf("it was not ready after %v: %w", readyPatience, err)
		case <-poll.C:
		}
	}
}

// kill ends the node with kill -9, whether it runs or not, and frees what it has here.
func (n *node) kill() error {
	err := n.Kill()
	return errors.Join(err, n.free())
}

// stop ends the node as a service manager does.
func (n *node) stop() error {
	err := n.Stop()
	return errors.Join(err, n.free())
}

func (n *node) free() error {
	if n.s3.Connection != nil {
		n.s3.Close()
	}
	<-n.drained // it has ended
	if err := n.output.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return errs.E("prove", errs.IO, err)
	}
	return nil
}

// logTail is the end of what the last node has logged.
func (p *proof) logTail() string {
	content, err := os.ReadFile(p.ground.path("node.log"))
	if err != nil || len(content) == 0 {
		return ""
	}
	return "; its log ends: " + strings.TrimSpace(string(content[max(0, len(content)-logTail):]))
}
