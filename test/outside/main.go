// Command outside runs suites that others wrote against one node of the real binary on
// loopback, prints what passed and failed, and fails where fewer pass than
// docs/compatibility.md says. It is run by `make outside` in the folder of this file.
//
// The suites are run as programs: nothing of them is linked into the product.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The root pair of the nodes.
const (
	accessKey = "troupe"
	secretKey = "troupe-secret"
)

// How long one suite may take, and a node until it answers.
const (
	suiteWithin = 15 * time.Minute
	readyWithin = time.Minute
)

// page has the counts that a run is compared with.
const page = "../../docs/compatibility.md"

// suite is one of what is run.
type suite struct {
	name string // as in the page's table
	// command builds it into dir and returns how it is run against the node at address.
	command func(ctx context.Context, dir, address string) (*exec.Cmd, error)
	passed  *regexp.Regexp // a line of the output for each test that passed; its group is the name
	failed  *regexp.Regexp
}

// suites are all there are.
func suites() []suite {
	return []suite{
		{"minio-go", minioGo,
			regexp.MustCompile(`(?m)"name":"minio-go: (\w+)".*"status":"PASS"`),
			regexp.MustCompile(`(?m)"name":"minio-go: (\w+)".*"status":"(?:FAIL|NA)"`)},
		{"rclone", rclone,
			regexp.MustCompile(`(?m)^ *--- PASS: (\S+)`),
			regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)},
	}
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "outside:", err)
		os.Exit(1)
	}
}

// run runs the suites that names says, or all.
func run(ctx context.Context, names []string) error {
	counts, err := written()
	if err != nil {
		return err
	}
	var all []error
	known := suites()
	for _, name := range names {
		if !slices.ContainsFunc(known, func(s suite) bool { return s.name == name }) {
			return fmt.Errorf("there is no suite %q", name)
		}
	}
	for _, s := range known {
		if len(names) != 0 && !slices.Contains(names, s.name) {
			continue
		}
		want, ok := counts[s.name]
		if !ok {
			all = append(all, fmt.Errorf("%s: %s has no row of it", s.name, page))
			continue
		}
		passed, failed, err := s.against(ctx)
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", s.name, err))
			continue
		}
		fmt.Printf("%s: %d passed, %d failed\n", s.name, len(passed), len(failed))
		for _, name := range failed {
			fmt.Printf("  %s\n", name)
		}
		if len(passed) < want {
			all = append(all, fmt.Errorf("%s: %d passed, and %s says %d", s.name, len(passed), page, want))
		}
	}
	return errors.Join(all...)
}

// written returns how many tests of each suite pass, as the page says it.
func written() (map[string]int, error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	_, section, ok := strings.Cut(string(text), "\n## Outside suites\n")
	if !ok {
		return nil, fmt.Errorf("%s has no section of outside suites", page)
	}
	counts := map[string]int{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\S+) \| [^|]+ \| [^|]+ \| (\d+) \|`).FindAllStringSubmatch(section, -1) {
		if counts[row[1]], err = strconv.Atoi(row[2]); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", page, row[1], err)
		}
	}
	return counts, nil
}

// against runs a suite against a fresh node and returns the names of what passed and
// failed, each once; a name that did both has failed. Its output is kept in outside-NAME.log
// of the folder that TROUPE_OUTSIDE_LOGS names.
func (s suite) against(ctx context.Context) (passed, failed []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, suiteWithin)
	defer cancel()
	dir, err := os.MkdirTemp("", "troupe-outside-")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	address, stop, err := node(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	command, err := s.command(ctx, dir, address)
	if err != nil {
		return nil, nil, err
	}
	output, running := command.CombinedOutput()
	if logs := os.Getenv("TROUPE_OUTSIDE_LOGS"); logs != "" {
		if err := os.WriteFile(filepath.Join(logs, "outside-"+s.name+".log"), output, 0o644); err != nil {
			return nil, nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, nil, fmt.Errorf("it did not end within %v", suiteWithin)
	}
	failed = names(s.failed, output)
	passed = slices.DeleteFunc(names(s.passed, output), func(name string) bool { return slices.Contains(failed, name) })
	// A suite in which tests fail may say so by how it ends; one that ran none is broken.
	if len(passed) == 0 {
		return nil, nil, fmt.Errorf("no test passed: %v\n%s", running, output[max(0, len(output)-4096):])
	}
	return passed, failed, nil
}

// names returns what the group of pattern matches, sorted, each once.
func names(pattern *regexp.Regexp, output []byte) []string {
	var all []string
	for _, match := range pattern.FindAllSubmatch(output, -1) {
		all = append(all, string(match[1]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// node starts a node with two mountpaths under dir. stop ends it.
func node(ctx context.Context, dir string) (address string, stop func() error, err error) {
	binary := os.Getenv("TROUPE_BINARY")
	if binary == "" {
		return "", nil, errors.New("TROUPE_BINARY does not say where the binary is")
	}
	// Both are open at a time, so that they are two, and closed before the node wants them.
	var free []string
	var listeners []net.Listener
	for range 2 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", nil, err
		}
		listeners = append(listeners, listener)
		free = append(free, listener.Addr().String())
	}
	for _, listener := range listeners {
		if err := listener.Close(); err != nil {
			return "", nil, err
		}
	}
	args := []string{"serve", "--s3", free[0], "--native", free[1]}
	for _, mountpath := range []string{"d0", "d1"} {
		path := filepath.Join(dir, mountpath)
		if err := os.Mkdir(path, 0o755); err != nil {
			return "", nil, err
		}
		args = append(args, "--data", path)
	}
	return serve(ctx, binary, args, free[0])
}

// serve starts the node and waits until it answers.
func serve(ctx context.Context, binary string, args []string, address string) (string, func() error, error) {
	command := exec.Command(binary, args...)
	command.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey)
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		return "", nil, err
	}
	stop := func() error {
		err := command.Process.Kill()
		_ = command.Wait() // says only that it was killed
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
		if err != nil {
			return "", nil, errors.Join(err, stop())
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			return address, stop, answer.Body.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	err := stop()
	return "", nil, errors.Join(fmt.Errorf("the node did not answer within %v: %s", readyWithin, log.Bytes()), err)
}

// module returns the folder of a module that in's go.mod pins.
func module(ctx context.Context, in, path string) (string, error) {
	said, err := goTool(ctx, in, "mod", "download", "-json", path)
	if err != nil {
		return "", err
	}
	said, err = goTool(ctx, in, "list", "-m", "-f", "{{.Dir}}", path)
	return strings.TrimSpace(said), err
}

// goTool runs the go command in a folder and returns its output.
func goTool(ctx context.Context, in string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = in
	var complaint bytes.Buffer
	command.Stderr = &complaint
	said, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, complaint.Bytes())
	}
	return string(said), nil
}

// environment is that of the suites: without what a machine sets for Amazon's programs.
func environment(more ...string) []string {
	return append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "RCLONE_")
	}), more...)
}

// minioGo is the functional tests of minio-go. They ask a public host unless
// SERVER_ENDPOINT is set, so that there is nothing to run without an address of loopback.
func minioGo(ctx context.Context, dir, address string) (*exec.Cmd, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return nil, fmt.Errorf("%q is no address of loopback", address)
	}
	at, err := module(ctx, ".", "github.com/minio/minio-go/v7")
	if err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "minio-go")
	if _, err := goTool(ctx, ".", "build", "-trimpath", "-o", program, filepath.Join(at, "functional_tests.go")); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, program)
	command.Dir = dir
	command.Env = environment("SERVER_ENDPOINT="+address, "ACCESS_KEY="+accessKey, "SECRET_KEY="+secretKey,
		"ENABLE_HTTPS=0", "ENABLE_KMS=1", "MINT_MODE=full", "RUN_ON_FAIL=1")
	return command, nil
}

// rclone is the tests of rclone's backend of S3. They look for files of rclone's source
// above the working directory.
func rclone(ctx context.Context, dir, address string) (*exec.Cmd, error) {
	at, err := module(ctx, ".", "github.com/rclone/rclone")
	if err != nil {
		return nil, err
	}
	program, config := filepath.Join(dir, "rclone.test"), filepath.Join(dir, "rclone.conf")
	if _, err := goTool(ctx, ".", "test", "-c", "-trimpath", "-o", program, "github.com/rclone/rclone/backend/s3"); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("[TroupeS3]\ntype = s3\nprovider = Other\nendpoint = http://%s\naccess_key_id = %s\nsecret_access_key = %s\nforce_path_style = true\n",
		address, accessKey, secretKey)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, program, "-test.v", "-remote", "TroupeS3:")
	command.Dir = filepath.Join(at, "backend", "s3")
	command.Env = environment("RCLONE_CONFIG=" + config)
	return command, nil
}
