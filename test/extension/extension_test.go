package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/api/client"
	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/supervisors"
	"github.com/troupe-storage/troupe/test/s3client"
)

// waitTime bounds every wait of these tests.
const waitTime = 60 * time.Second

// program is the extension as a process, and what speaks to it.
type program struct {
	t       *testing.T
	dir     string
	binary  string
	process *exec.Cmd
	said    bytes.Buffer // on standard error
	s3      *s3client.Client
	control client.Control
}

// build compiles the program, as anybody would theirs.
func build(t *testing.T) *program {
	t.Helper()
	p := &program{t: t, dir: t.TempDir()}
	p.binary = filepath.Join(p.dir, "extension")
	compile := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", p.binary, ".")
	if said, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if err := os.Mkdir(filepath.Join(p.dir, "d0"), 0o755); err != nil {
		t.Fatal(err)
	}
	p.start()
	t.Cleanup(p.stop)
	return p
}

// start starts the process and reads where it listens.
func (p *program) start() {
	p.t.Helper()
	p.process = exec.Command(p.binary, "-data", filepath.Join(p.dir, "d0"), "-native", "127.0.0.1:0", "-s3", "127.0.0.1:0")
	p.process.Stderr = &p.said
	out, err := p.process.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	var native, s3 string
	lines := bufio.NewReader(out)
	if _, err := fmt.Fscanf(lines, "native %s\ns3 %s\n", &native, &s3); err != nil {
		_ = p.process.Wait() // it says more on standard error
		p.t.Fatalf("it does not say where it listens: %v\n%s", err, p.said.String())
	}
	keys := sigv4.Credentials{AccessKey: supervisors.DefaultAccessKey, SecretKey: supervisors.DefaultSecretKey}
	p.s3 = s3client.New(s3, keys)
	p.t.Cleanup(p.s3.Close)
	connection, err := client.New(client.Config{Endpoint: "http://" + native, Credentials: keys, Patience: -1})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(connection.Close)
	p.control = client.Control{Connection: connection}
}

// stop ends the process in order.
func (p *program) stop() {
	if p.process == nil {
		return
	}
	p.t.Helper()
	if err := p.process.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Error(err)
	}
	if err := p.process.Wait(); err != nil {
		p.t.Errorf("it did not stop cleanly: %v\n%s", err, p.said.String())
	}
	p.process = nil
}

// kill ends the process at once.
func (p *program) kill() {
	p.t.Helper()
	if err := p.process.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.process.Wait(); !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	p.process = nil
}

func (p *program) actor(address string) api.Actor {
	p.t.Helper()
	var a api.Actor
	if err := p.control.Get(p.t.Context(), api.ActorsPath+"/"+address, nil, &a); err != nil {
		p.t.Fatal(err)
	}
	return a
}

func (p *program) post(path string, in any) api.Job {
	p.t.Helper()
	var job api.Job
	if err := p.control.Post(p.t.Context(), path, nil, in, &job); err != nil {
		p.t.Fatal(err)
	}
	return job
}

func (p *program) job(id string, wait time.Duration) api.Job {
	p.t.Helper()
	var job api.Job
	if err := p.control.Get(p.t.Context(), api.JobsPath+"/"+id, url.Values{"wait": {wait.String()}}, &job); err != nil {
		p.t.Fatal(err)
	}
	return job
}

func (p *program) must(answer *s3client.Answer, err error) *s3client.Answer {
	p.t.Helper()
	if err == nil {
		err = answer.Err()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return answer
}

// tally waits until the tally shows so many bytes of photos. The object that it
// writes is what there is to wait for.
func (p *program) tally(want int64) {
	p.t.Helper()
	var last string
	for deadline := time.Now().Add(waitTime); time.Now().Before(deadline); {
		answer, err := p.s3.Get(p.t.Context(), tallyBucket, tallyObject)
		if err != nil {
			p.t.Fatal(err)
		}
		var total map[string]int64
		if answer.OK() && json.Unmarshal(answer.Body, &total) == nil && total["photos"] == want {
			return
		}
		last = string(answer.Body)
	}
	p.t.Fatalf("the tally says %s, want photos %d", last, want)
}

// content is an object's bytes.
func content(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("object %d\n", i)), 1+i*100) }

func (p *program) fill(n int) (want string, size int64) {
	p.t.Helper()
	for _, bucket := range []string{"photos", tallyBucket} {
		if err := p.s3.CreateBucket(p.t.Context(), bucket); err != nil {
			p.t.Fatal(err)
		}
	}
	for i := range n {
		name, body := fmt.Sprintf("%04d", i), content(i)
		p.must(p.s3.Put(p.t.Context(), "photos", name, body))
		want += fmt.Sprintf("%x  %s\n", sha256.Sum256(body), name)
		size += int64(len(body))
	}
	return want, size
}

// An actor of one's own is supervised, listed and killed like the node's, and
// what it does with the node's objects is seen by S3 clients. A panic in it costs
// itself a restart.
func TestActorOfOnesOwn(t *testing.T) {
	p := build(t)
	_, size := p.fill(20)
	p.tally(size)
	before := p.actor("node/tally")
	if before.Kind != "tally" || before.Parent != "node" || before.Restarts != 0 {
		t.Errorf("it is listed as %+v", before)
	}
	var changed api.ActorChanged
	if err := p.control.Post(t.Context(), api.ActorsPath+"/node/tally", nil, api.ActorAction{Action: api.ActorKill}, &changed); err != nil {
		t.Fatal(err)
	}
	if after := p.actor("node/tally"); after.Restarts != 1 {
		t.Errorf("after a kill it has %d restarts", after.Restarts)
	}
	body := content(1)
	p.must(p.s3.Put(t.Context(), "photos", "more", body))
	p.tally(size + int64(len(body)))

	if err := p.s3.CreateBucket(t.Context(), poison); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(waitTime); ; {
		a := p.actor("node/tally")
		if a.Restarts > 2 && strings.Contains(a.LastCause, "does not like") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not panic: %+v", a)
		}
	}
	if got := p.must(p.s3.Get(t.Context(), "photos", "more")); !bytes.Equal(got.Body, body) {
		t.Error("its panic cost an object")
	}
	var actors api.Actors
	if err := p.control.Get(t.Context(), api.ActorsPath, url.Values{"pattern": {"node/*"}}, &actors); err != nil {
		t.Fatal(err)
	}
	for _, a := range actors.Actors {
		if a.Address != "node/tally" && a.Restarts > 0 {
			t.Errorf("its panic restarted %s", a.Address)
		}
	}
}

// A kind of job of one's own is listed and controlled like the node's; a kill of the
// whole process in its middle costs a page. A panic in one costs the job.
func TestJobOfOnesOwn(t *testing.T) {
	p := build(t)
	want, _ := p.fill(120)
	fallen := p.job(p.post(api.JobsPath, api.StartJob{Kind: "fall"}).ID, waitTime)
	if fallen.State != "failed" || !strings.Contains(fallen.Error, "it fell") {
		t.Errorf("a job that panics is %s: %s", fallen.State, fallen.Error)
	}
	err := p.control.Post(t.Context(), api.JobsPath, nil, api.StartJob{Kind: "checksum-report", Parameters: json.RawMessage(`{"bucket": "photos"}`)}, nil)
	var refused *client.Failure
	if !errors.As(err, &refused) || refused.Status != 400 || !strings.Contains(refused.Message, "into") {
		t.Errorf("parameters that it does not take: %v", err)
	}

	job := p.post(api.JobsPath, api.StartJob{
		Kind: "checksum-report", Parameters: json.RawMessage(`{"bucket": "photos", "into": "zz-sums"}`), Rate: &api.JobRate{Objects: 150},
	})
	for p.job(job.ID, 0).Progress.Objects < 60 { // beyond its first page; each look is a request
		if now := p.job(job.ID, 0); now.State != "running" {
			t.Fatalf("it is not in its middle: %+v", now)
		}
	}
	p.kill()
	p.start()
	ended := p.job(job.ID, waitTime)
	if ended.State != "finished" || ended.Runs != 2 || ended.Bucket != "photos" || ended.Progress.Errors != 0 {
		t.Errorf("it ended as %+v", ended)
	}
	if n := ended.Progress.Objects; n < 120 || n > 120+pageObjects {
		t.Errorf("it counts %d objects of 120; a kill costs a page of %d at most", n, pageObjects)
	}
	got := p.must(p.s3.Get(t.Context(), "photos", "zz-sums"))
	if string(got.Body) != want {
		t.Errorf("the report is\n%.300s\nwant\n%.300s", got.Body, want)
	}
	pages, err := p.s3.List(t.Context(), "photos", "zz-sums.page", 10)
	if err != nil || len(pages) != 0 {
		t.Errorf("%d pages are left (%v)", len(pages), err)
	}
}

// What docs/extending.md shows is what is tested here.
func TestDocumentShowsTheCode(t *testing.T) {
	document, err := os.ReadFile("../../docs/extending.md")
	if err != nil {
		t.Fatal(err)
	}
	var code string
	for _, name := range []string{"main.go", "tally.go", "report.go"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code += string(content)
	}
	blocks := 0
	for i, block := range strings.Split(string(document), "```go\n") {
		shown, _, closed := strings.Cut(block, "```")
		if i == 0 || !closed {
			continue
		}
		blocks++
		for piece := range strings.SplitSeq(shown, "\n…\n") {
			if !strings.Contains(code, strings.Trim(piece, "\n")) {
				t.Errorf("the document shows what is not in the code:\n%s", piece)
			}
		}
	}
	if blocks < 3 {
		t.Errorf("only %d blocks of code were compared", blocks)
	}
}
