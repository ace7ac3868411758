package consul

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/troupe-storage/troupe/test/process"
)

const (
	// readyWithin is how long a start may take: three seconds on an idle machine, and
	// the machine may be busy with other suites.
	readyWithin = 2 * time.Minute
	readyProbe  = 50 * time.Millisecond
	// portTries is how often ports are chosen anew, when somebody else took one of them
	// between the choice and the start.
	portTries = 5
	// taken is in the log when somebody else has one of the ports.
	taken = "address already in use"
	// member is the name of the machine in the catalogue.
	member = "machine"
)

// Config says how a server is to be. Dir is its own, and exists.
type Config struct {
	Binary, Dir string
	// Management is the token that may do everything. Empty: there are no tokens, and
	// everybody may; otherwise who has none may do nothing.
	Management string
	// Ports are those of its API, of its own calls and of gossip; nil: three that are
	// free. A server that is to come back with its data in another process needs the
	// same ones.
	Ports []int
	// TLS makes it speak HTTPS only, and refuse whoever shows no certificate of the same
	// authority. nil: HTTP.
	TLS *process.Files
	// Host is the address that it listens on; default 127.0.0.1.
	Host string
}

// Server is a Consul process. Its methods are called by one goroutine at a time; its
// fields may be read by any.
type Server struct {
	// Address is HOST:PORT of its API, over restarts.
	Address string

	config Config
	client *http.Client
	ports  []int
	child  *process.Child // nil: it is not running
}

// Start starts a server and returns when it can be written to. The caller kills it.
func Start(ctx context.Context, config Config) (*Server, error) {
	if config.Host == "" {
		config.Host = "127.0.0.1"
	}
	s := &Server{config: config}
	transport := &http.Transport{DisableKeepAlives: true}
	if config.TLS != nil {
		pair, err := tls.LoadX509KeyPair(config.TLS.Cert, config.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("consul.Start: %w", err)
		}
		// Its own certificate is the client's, too; that it is trusted is for tests to see.
		transport.TLSClientConfig = &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}
	}
	s.client = &http.Client{Transport: transport}
	var failures []error
	for range portTries {
		if err := s.choosePorts(); err != nil {
			return nil, err
		}
		err := s.begin(ctx)
		if err == nil {
			return s, nil
		}
		failures = append(failures, err)
		if !strings.Contains(s.Log(), taken) || config.Ports != nil {
			break
		}
		if err := s.Wipe(); err != nil {
			return nil, err
		}
	}
	return nil, errors.Join(failures...)
}

// choosePorts takes ports that nobody listens on at this moment.
func (s *Server) choosePorts() error {
	if s.ports = s.config.Ports; s.ports != nil {
		s.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.ports[0]))
		return nil
	}
	for range 3 { // API, server, gossip
		listener, err := net.Listen("tcp", net.JoinHostPort(s.config.Host, "0"))
		if err != nil {
			return fmt.Errorf("consul.choosePorts: %w", err)
		}
		defer listener.Close() // all stay open until the last is known, so that no two are the same
		s.ports = append(s.ports, listener.Addr().(*net.TCPAddr).Port)
	}
	s.Address = net.JoinHostPort(s.config.Host, strconv.Itoa(s.ports[0]))
	return nil
}

// settings is the server's configuration file.
func (s *Server) settings() ([]byte, error) {
	off := map[string]any{"enabled": false}
	ports := map[string]any{
		"http": s.ports[0], "https": -1, "server": s.ports[1], "serf_lan": s.ports[2],
		"serf_wan": -1, "grpc": -1, "grpc_tls": -1, "dns": -1,
	}
	settings := map[string]any{
		"server": true, "bootstrap_expect": 1, "node_name": member, "datacenter": "dc1",
		"data_dir": s.dataDir(), "bind_addr": s.config.Host, "client_addr": s.config.Host,
		"ports": ports, "performance": map[string]any{"raft_multiplier": 1},
		"connect": off, "peering": off, "ui_config": off,
		"disable_update_check": true, "log_level": "WARN",
	}
	if s.config.Management != "" {
		settings["acl"] = map[string]any{
			"enabled": true, "default_policy": "deny",
			"tokens": map[string]any{"initial_management": s.config.Management, "agent": s.config.Management},
		}
	}
	if t := s.config.TLS; t != nil {
		ports["http"], ports["https"] = -1, s.ports[0]
		settings["tls"] = map[string]any{"https": map[string]any{
			"ca_file": t.Authority, "cert_file": t.Cert, "key_file": t.Key, "verify_incoming": true,
		}}
	}
	return json.MarshalIndent(settings, "", "  ")
}

func (s *Server) dataDir() string { return filepath.Join(s.config.Dir, "data") }

// Restart starts the process again on the same data and ports after Kill, and returns
// when it can be written to. A connection of somebody else's may have taken one of the
// ports for itself meanwhile: then it tries again until that has ended.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	probe := time.NewTicker(time.Second)
	defer probe.Stop()
	for {
		before := len(s.Log())
		err := s.begin(ctx)
		if err == nil || !strings.Contains(s.Log()[before:], taken) {
			return err
		}
		select {
		case <-probe.C:
		case <-ctx.Done():
			return err
		}
	}
}

// begin starts the process once, and returns when it can be written to.
func (s *Server) begin(ctx context.Context) error {
	if s.child != nil {
		return errors.New("consul.Restart: the server is still running")
	}
	settings, err := s.settings()
	if err != nil {
		return fmt.Errorf("consul.Restart: %w", err)
	}
	file := filepath.Join(s.config.Dir, "consul.json")
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		return fmt.Errorf("consul.Restart: %w", err)
	}
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("consul.Restart: %w", err)
	}
	defer log.Close() // the process has its own descriptor
	command := exec.Command(s.config.Binary, "agent", "-config-file", file)
	command.Dir = s.config.Dir
	command.Stdout, command.Stderr = log, log
	child, err := process.Begin(command)
	if err != nil {
		return fmt.Errorf("consul.Restart: %w", err)
	}
	s.child = child
	if err := s.awaitReady(ctx); err != nil {
		return errors.Join(err, s.Kill())
	}
	return nil
}

// awaitReady returns when the server leads, and its machine is in the catalogue:
// sessions need that.
func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	probe := time.NewTicker(readyProbe)
	defer probe.Stop()
	said := errors.New("not asked yet")
	for {
		answer, err := s.Do(ctx, http.MethodGet, "/v1/catalog/node/"+member+"?consistent", nil)
		if err == nil && !strings.Contains(answer, member) {
			err = errors.New("the machine is not in the catalogue yet")
		}
		if err == nil {
			_, err = s.Do(ctx, http.MethodPut, "/v1/kv/ready", strings.NewReader(time.Now().String()))
		}
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			said = err
		}
		select {
		case <-s.child.Ended():
			return fmt.Errorf("consul.awaitReady: the server ended before it was ready: %w\n%s", s.child.Exit(), s.Log())
		case <-ctx.Done():
			return fmt.Errorf("consul.awaitReady: %w; its last answer: %w\n%s", ctx.Err(), said, s.Log())
		case <-probe.C:
		}
	}
}

// Do sends a request to the API with the management token, and returns the body of
// the answer. A status other than 200 is an error.
func (s *Server) Do(ctx context.Context, method, path string, body io.Reader) (string, error) {
	scheme := "http://"
	if s.config.TLS != nil {
		scheme = "https://"
	}
	request, err := http.NewRequestWithContext(ctx, method, scheme+s.Address+path, body)
	if err != nil {
		return "", fmt.Errorf("consul.Do: %w", err)
	}
	if s.config.Management != "" {
		request.Header.Set("X-Consul-Token", s.config.Management)
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return "", fmt.Errorf("consul.Do: %w", err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", fmt.Errorf("consul.Do: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("consul.Do: %s %s: %s: %s", method, path, answer.Status, content)
	}
	return string(content), nil
}

// Pause stops the process with SIGSTOP, and returns when none of its threads runs any
// more: the signal is taken before that.
func (s *Server) Pause(ctx context.Context) error {
	if err := s.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return process.AwaitStopped(ctx, s.child.PID())
}

// Continue lets a paused process go on.
func (s *Server) Continue() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) error {
	if s.child == nil {
		return errors.New("consul.signal: the server is not running")
	}
	if err := s.child.Signal(signal); err != nil {
		return fmt.Errorf("consul.signal: %w", err)
	}
	return nil
}

// Kill ends the process with SIGKILL and waits until it is gone. A server that is not
// running is no error.
func (s *Server) Kill() error {
	if s.child == nil {
		return nil
	}
	err := s.signal(syscall.SIGKILL)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("consul.Kill: %w", err)
	}
	<-s.child.Ended()
	s.child = nil
	return nil
}

// Stop asks the server to end, and waits for it. One that is not running is no error.
func (s *Server) Stop(ctx context.Context) error {
	if s.child == nil {
		return nil
	}
	if err := s.child.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errors.Join(fmt.Errorf("consul.Stop: %w", err), s.Kill())
	}
	select {
	case <-s.child.Ended():
		s.child = nil
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("consul.Stop: %w", ctx.Err()), s.Kill())
	}
}

// Running says whether the process is there.
func (s *Server) Running() bool {
	if s.child == nil {
		return false
	}
	select {
	case <-s.child.Ended():
		return false
	default:
		return true
	}
}

// Wipe removes the data of a server that is not running.
func (s *Server) Wipe() error {
	if s.child != nil {
		return errors.New("consul.Wipe: the server is still running")
	}
	if err := os.RemoveAll(s.dataDir()); err != nil {
		return fmt.Errorf("consul.Wipe: %w", err)
	}
	return nil
}

func (s *Server) logPath() string { return filepath.Join(s.config.Dir, "consul.log") }

// Log returns what the server wrote, over all its restarts; nothing before the first.
func (s *Server) Log() string {
	content, err := os.ReadFile(s.logPath())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(content)
}
