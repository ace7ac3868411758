package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/test/consul"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/s3client"
)

func TestMain(m *testing.M) { process.Main(m) }

// patience is how long anything may take on a busy machine.
const patience = 3 * time.Minute

// output is what the program says. Safe for concurrent use.
type output struct {
	mu    sync.Mutex
	text  strings.Builder
	wrote chan struct{} // has room for one: something was written
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.wrote <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// running is a cluster that a test runs.
type running struct {
	t     *testing.T
	out   *output
	end   context.CancelFunc
	ended chan error
}

func start(t *testing.T, s settings) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t: t, out: &output{wrote: make(chan struct{}, 1)}, end: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- run(ctx, s, r.out) }()
	t.Cleanup(cancel)
	return r
}

// says waits until the output matches, and returns what the groups are.
func (r *running) says(pattern string) []string {
	r.t.Helper()
	expression, late := regexp.MustCompile(pattern), time.After(patience)
	for {
		if found := expression.FindStringSubmatch(r.out.String()); found != nil {
			return found
		}
		select {
		case <-r.out.wrote:
		case err := <-r.ended:
			r.t.Fatalf("it ended before it said %q: %v\n%s", pattern, err, r.out)
		case <-late:
			r.t.Fatalf("it did not say %q:\n%s", pattern, r.out)
		}
	}
}

// stopped waits for its end.
func (r *running) stopped() {
	r.t.Helper()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Fatalf("%v\n%s", err, r.out)
		}
	case <-time.After(patience):
		r.t.Fatalf("it does not end\n%s", r.out)
	}
}

// freePorts returns a first port for a cluster with three nodes, below those that the
// system gives to clients.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		first := 11000 + 50*rand.IntN(400)
		if free(first) {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

func free(first int) bool {
	for port := first; port < first+40; port++ {
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			return false
		}
		defer listener.Close()
	}
	return true
}

// What a newcomer does with `make cluster`: it comes up and says where, any node
// serves, a killed node comes back by itself, it ends in order, and the next run has
// what was stored.
func TestCluster(t *testing.T) {
	if _, err := consul.Binary(); err != nil {
		process.Missing(t, "there is no Consul: %v", err)
	}
	s := settings{dir: filepath.Join(t.TempDir(), "cluster"), port: freePorts(t), nodes: 3, mountpaths: 4, again: time.Second}
	r := start(t, s)
	r.says(`Ctrl-C ends all of it`)
	client := func(number int) *s3client.Client { return s3client.New(loopback(s.port+10*number+1), process.Keys()) }
	if err := client(1).CreateBucket(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := client(i%3+1).Put(t.Context(), "hello", "k"+strconv.Itoa(i), []byte("payload")); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Join(s.dir, "secret")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the secret: %v, %v", info, err)
	}

	pasted(t, s)

	// A second one on the same directory is refused and harms nothing.
	err := run(t.Context(), s, &output{wrote: make(chan struct{}, 1)})
	if err == nil || !strings.Contains(err.Error(), "make cluster-stop") {
		t.Errorf("a second one: %v", err)
	}

	pid, err := strconv.Atoi(r.says(`(?m)^  2 +http\S+ +http\S+ +(\d+)$`)[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.says(`node 2 has ended`)
	r.says(`node 2 is ready again`)
	r.end()
	r.stopped()

	r = start(t, s)
	r.says(`Ctrl-C ends all of it`)
	for number := 1; number <= 3; number++ {
		list, err := client(number).List(t.Context(), "hello", "", 100)
		if err != nil || len(list) != 20 {
			t.Errorf("node %d lists %v, %v", number, list, err)
		}
	}
	r.end()
	r.stopped()
}

// pasted runs what README.md has one paste below "Many nodes", with the ports and the
// directory of this cluster.
func pasted(t *testing.T, s settings) {
	t.Helper()
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(readme), "\n## Many nodes\n")
	part, _, _ = strings.Cut(part, "\n## ")
	_, block, _ := strings.Cut(part, "```sh\n")
	block, _, there := strings.Cut(block, "```")
	if !there || !strings.Contains(part, "make cluster") {
		t.Fatal("README.md has no commands for many nodes")
	}
	path, err := process.ToolsPath()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := process.LookTool(path, "aws"); err != nil {
		process.Missing(t, "%v", err)
	}
	block = regexp.MustCompile(`127\.0\.0\.1:21(\d{3})`).ReplaceAllStringFunc(block, func(address string) string {
		port, err := strconv.Atoi(address[strings.LastIndexByte(address, ':')+1:])
		if err != nil {
			t.Fatal(err)
		}
		return loopback(port - 21000 + s.port)
	})
	block = strings.NewReplacer("bin/troupe", process.Built(), "data/cluster", s.dir, "data/parts", filepath.Join(t.TempDir(), "parts"), "cut -d/ -f3", "grep -o 'node[0-9]'").Replace(block)
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", block)
	shell.Dir = root
	shell.Env = append(os.Environ(), "PATH="+path, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_CA_BUNDLE=", "TROUPE_CA_FILE=")
	said, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("what README.md has one paste: %v\n%s\n%s", err, block, said)
	}
	for _, want := range []string{"3 up", "leads", "node1", "node2", "node3"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("what README.md has one paste does not show %q:\n%s", want, said)
		}
	}
}

// A directory that nobody uses has nothing to end, and one that is used is not taken
// twice.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	out := &output{wrote: make(chan struct{}, 1)}
	if err := stopOther(t.Context(), dir, out); err != nil || !strings.Contains(out.String(), "no cluster has ever run") {
		t.Errorf("%v: %s", err, out)
	}
	held, err := takeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeLock(dir); err == nil || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("it is taken twice: %v", err)
	}
	if err := held.release(); err != nil {
		t.Fatal(err)
	}
	if err := stopOther(t.Context(), dir, out); err != nil || !strings.Contains(out.String(), "no cluster runs on") {
		t.Errorf("%v: %s", err, out)
	}
	again, err := takeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.release(); err != nil {
		t.Error(err)
	}
}
