package loader

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
)

// bench runs this test binary as `troupe bench` with keys in its environment.
func bench(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0], append([]string{"bench", "--scratch", t.TempDir()}, args...)...)
	command.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+testAccess, "AWS_SECRET_ACCESS_KEY="+testSecret)
	return command
}

// serveFake is the command line that starts the fake S3 as a process.
func serveFake() string { return "'" + os.Args[0] + "' fake-s3 {data} {native} {s3}" }

// readDocument reads what --json wrote.
func readDocument(t *testing.T, path string) document {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	if d.Environment.Cores == 0 || d.Environment.Kernel == "unknown" || d.Environment.Filesystem == "unknown" {
		t.Errorf("environment %+v", d.Environment)
	}
	return d
}

// The whole command: a server and the bare handler are started, driven in turns,
// measured, and stopped; the figures are in the table and in the JSON.
func TestBenchAgainstAServerItStarts(t *testing.T) {
	figures := filepath.Join(t.TempDir(), "figures.json")
	command := bench(t, "--serve", serveFake(), "--op", "get=3,head=1", "--size", "8KiB", "--keys", "100", "--ops", "400",
		"--verify", "--baseline", "--pairs", "2", "--durability", "relaxed", "--cleanup", "--warmup", "10ms", "--json", figures)
	var out, progress bytes.Buffer
	command.Stdout, command.Stderr = &out, &progress
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, &progress)
	}
	d := readDocument(t, figures)
	var who []string
	for _, run := range d.Runs {
		who = append(who, run.Who)
		if micros, known := run.Result.ServerMicros(); run.Result.Ops != 400 || !known || micros <= 0 || micros > 1e5 || run.Result.Resident < 1<<20 {
			t.Errorf("%s: %+v", run.Who, run.Result)
		}
	}
	if !slices.Equal(who, []string{"bare memory", "bare file", "server", "bare memory", "bare file", "server"}) {
		t.Errorf("turns: %v", who)
	}
	for _, text := range []string{"| op ", "server CPU µs/op", "GET=3,HEAD=1 (bare file)", "| GET ", "RSS"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%q is not in\n%s", text, &out)
		}
	}
	if strings.Contains(strings.Join(d.Environment.Command, " "), testSecret) {
		t.Error("the secret key is in the figures")
	}
}

// The reference table, in little: every row of it is measured beside the bare
// handler, and buckets have the class that the row names.
func TestReferenceSuite(t *testing.T) {
	figures := filepath.Join(t.TempDir(), "figures.json")
	command := bench(t, "--suite", "reference", "--serve", serveFake(), "--segment", "30ms", "--put-bytes", "4MiB",
		"--json", figures, "--debt-patience", "5s", "--connections", "3")
	var out, progress bytes.Buffer
	command.Stdout, command.Stderr = &out, &progress
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, &progress)
	}
	t.Logf("\n%s", &out)
	rows := readDocument(t, figures).Rows
	var want []Row
	for _, g := range referenceGroups() {
		want = append(want, g.rows...)
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i, row := range rows {
		want[i].Operation = 0 // not in the JSON; the title is
		if row.Class != want[i].Class || row.ETag != want[i].ETag || row.Target != want[i].Target ||
			row.Reason != "" || len(row.Server) != 1 || len(row.Comparison) != len(want[i].Reference) || row.Micros.Median <= 0 {
			t.Errorf("row %d: %+v", i, row)
		}
		for _, c := range row.Comparison {
			if c.Ratio <= 0 || c.Measured.Median <= 0 || len(row.Bare) != len(row.Comparison) {
				t.Errorf("%s: %+v", row.Title, c)
			}
		}
		if strings.HasPrefix(row.Title, "PUT") {
			for _, result := range row.Server {
				if result.Class != string(row.Class) || result.Debt != DebtPaid || result.Bytes != 4<<20 {
					t.Errorf("%s %s: %+v", row.Title, row.Class, result)
				}
			}
		}
	}
	if rows[3].Title != "LIST, 1,000 keys a page" || rows[3].Server[0].Entries == 0 {
		t.Errorf("%+v", rows[3])
	}
	if !strings.Contains(out.String(), "| PUT 1MiB, fast ETag ") {
		t.Errorf("%s", &out)
	}
}

// A row whose properties cannot be set, or whose receipts name another class, is
// not measured, says why, and is no success; the others are.
func TestRowsThatCannotBeMeasured(t *testing.T) {
	fake := newFakeS3()
	endpoint := serveHTTP(t, fake.handle)
	bare := &bareServer{Child: &Child{}, endpoint: serve(t, NewBare(t.TempDir()).Server())}
	load := Load{Endpoint: endpoint, AccessKey: testAccess, SecretKey: testSecret, Connections: 2}
	suite := Suite{
		Load: load, Bare: bare, Name: "rows", Segment: 10 * time.Millisecond, PutBytes: 64 << 10, Pairs: 1, meter: newMeter(io.Discard),
		groups: []group{newGroup(4096, objects.Relaxed, objects.ETagMD5, []Row{{Operation: Put}})},
	}
	if rows := suite.Run(t.Context()); !strings.Contains(rows[0].Reason, "native") {
		t.Errorf("no native listener: %+v", rows)
	}
	suite.Native = endpoint + "/elsewhere"
	if rows := suite.Run(t.Context()); !strings.Contains(rows[0].Reason, "set-bprops") {
		t.Errorf("a server that refuses properties: %+v", rows)
	}
	suite.Native = endpoint
	fake.change(func() { fake.class = "synced" })
	if rows := suite.Run(t.Context()); !strings.Contains(rows[0].Reason, "the receipts say synced, wanted relaxed") {
		t.Errorf("other class: %+v", rows)
	}
	fake.change(func() { fake.class = "" })
	if rows := suite.Run(t.Context()); rows[0].Reason != "the server's process is not known (--pid)" || len(rows[0].Server) != 1 {
		t.Errorf("no process: %+v", rows)
	}
	var out bytes.Buffer
	if err := writeRows(newSheet(&out), Environment{}, suite.Run(t.Context())); err != nil || !strings.Contains(out.String(), "not measured") {
		t.Errorf("%v\n%s", err, &out)
	}
}

// Failed operations make the command fail, after it has printed its figures.
func TestBenchFailsWhenAnythingFailed(t *testing.T) {
	fake := newFakeS3()
	endpoint := serveHTTP(t, fake.handle)
	command := bench(t, "--endpoint", endpoint, "--op", "get", "--keys", "10", "--ops", "10", "--prepare=false")
	var out, progress bytes.Buffer
	command.Stdout, command.Stderr = &out, &progress
	err := command.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out.String(), "10 × NoSuchKey") {
		t.Errorf("%v\n%s\n%s", err, &out, &progress)
	}
	command = bench(t, "--op", "put,put", "--size", "big", "--pairs", "0")
	if said, err := command.CombinedOutput(); !errors.As(err, &exit) || !bytes.Contains(said, []byte("named twice")) ||
		!bytes.Contains(said, []byte(`"big"`)) || !bytes.Contains(said, []byte("pairs")) {
		t.Errorf("%v\n%s", err, said)
	}
	// A server that never gets ready is stopped and its last words are repeated.
	command = bench(t, "--serve", "'"+os.Args[0]+"' fake-s3 /nowhere/at/all {native} {s3}")
	if said, err := command.CombinedOutput(); !errors.As(err, &exit) || !bytes.Contains(said, []byte("the directory was not made")) {
		t.Errorf("%v\n%s", err, said)
	}
}

// Ctrl-C ends a run with the figures so far.
func TestInterruptPrintsTheFiguresSoFar(t *testing.T) {
	fake := newFakeS3()
	endpoint := serveHTTP(t, fake.handle)
	command := bench(t, "--endpoint", endpoint, "--duration", "1h", "--keys", "10", "--order", "uniform")
	var out, progress bytes.Buffer
	command.Stdout, command.Stderr = &out, &progress
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for fake.seen("PUT") < 100 {
		runtime.Gosched()
	}
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := command.Wait()
	if err != nil || !strings.Contains(out.String(), "interrupted") || !strings.Contains(out.String(), "| PUT ") {
		t.Errorf("%v\n%s\n%s", err, &out, &progress)
	}
}
