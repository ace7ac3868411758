package kill

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/test/model"
	"github.com/troupe-storage/troupe/test/process"
	"github.com/troupe-storage/troupe/test/soak"
)

const (
	// seedVariable repeats a run.
	seedVariable = "TROUPE_KILL_SEED"
	// cyclesVariable asks for another number of cycles.
	cyclesVariable = "TROUPE_KILL_CYCLES"

	bucket = "kill"

	// How many acknowledgements of a cycle come before the kill.
	fewestAcks = 40
	mostAcks   = 600
	// answerWithin is where a slow start becomes a fault. What is promised (2 s)
	// is a figure that the test reports; only a hang fails it.
	answerWithin = 10 * time.Second
)

// TestMain builds the binary once.
func TestMain(m *testing.M) { process.Main(m) }

// trial is one node under a load.
type trial struct {
	*testing.T
	node    *process.Node
	load    *Load
	seed    uint64
	random  *rand.Rand
	slowest time.Duration // start after a kill
}

// seedOf returns the seed of a short run: given, or 1.
func seedOf(t *testing.T) uint64 {
	text := os.Getenv(seedVariable)
	if text == "" {
		return 1
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", seedVariable, err)
	}
	return seed
}

// cycles says how many a run has, and is told of each.
type cycles interface {
	More() bool
	Add(done int64, next uint64)
}

// fewCycles are those of a short run.
type fewCycles struct{ left int }

// More implements cycles.
func (f *fewCycles) More() bool { return f.left > 0 }

// Add implements cycles.
func (f *fewCycles) Add(done int64, _ uint64) { f.left -= int(done) }

// cyclesOf returns the cycles of a short run: as many as asked for, or a few.
func cyclesOf(t *testing.T, few int) *fewCycles {
	if text := os.Getenv(cyclesVariable); text != "" {
		asked, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", cyclesVariable, err)
		}
		few = asked
	}
	return &fewCycles{few}
}

// count adds what a trial reached to the sums of a soak.
func (t *trial) count(slice *soak.Slice) {
	slice.Count("operations acknowledged", t.load.Acknowledged())
	slice.Most("ms to the first answer", t.slowest.Milliseconds())
	slice.Add(0, t.seed+1)
}

// newTrial starts a node on the directories given, or on four of its own, and a
// load for it.
func newTrial(t *testing.T, seed uint64, data ...string) *trial {
	node := process.ForTest(t, process.Config{Data: data, Args: []string{"--min-part", "1", "--memory", "256MiB"}})
	client := process.ClientForTest(t, node, bucket)
	return &trial{T: t, node: node, load: NewLoad(client, bucket, seed), seed: seed, random: rand.New(rand.NewPCG(seed, 1<<32))}
}

// fail ends the test with what is needed to repeat it.
func (t *trial) fail(cycle int, err error) {
	t.Helper()
	t.Fatalf("cycle %d, seed %d (repeat with %s=%d):\n%v\n%s", cycle, t.seed, seedVariable, t.seed, err, t.node.Log())
}

// acks is after how many acknowledgements the next trouble comes.
func (t *trial) acks() int64 { return int64(fewestAcks + t.random.IntN(mostAcks-fewestAcks)) }

// restart starts the node again and takes the time to its first answer.
func (t *trial) restart(cycle int) {
	t.Helper()
	begin := time.Now()
	if err := t.node.Restart(t.Context()); err != nil {
		t.fail(cycle, err)
	}
	took := time.Since(begin)
	t.slowest = max(t.slowest, took)
	if took > answerWithin {
		t.fail(cycle, fmt.Errorf("the first answer came %s after the start", took))
	}
}

// A node that is killed at a random moment loses nothing that it acknowledged,
// shows nothing torn, half done or half listed, and brings nothing back.
func TestKill(t *testing.T) {
	newTrial(t, seedOf(t)).kills(cyclesOf(t, 20))
}

// TestKillSoak is TestKill with 500 kills.
func TestKillSoak(t *testing.T) {
	trials(t, soak.Row{Name: "kill", Unit: "kills", Goal: 500}, (*trial).kills)
}

// trials runs a slice of a row of kills.
func trials(t *testing.T, row soak.Row, run func(*trial, cycles)) {
	slice := soak.Begin(t, row)
	trial := newTrial(t, slice.Next())
	run(trial, slice)
	trial.count(slice)
}

// kills kills the node in cycles, shows that the comparison can fail, and that
// nothing is left when everything is deleted.
func (t *trial) kills(cycles cycles) {
	done := 0
	for ; cycles.More(); done++ {
		if err := t.load.Run(t.Context(), t.acks(), t.node.Kill); err != nil {
			t.fail(done, err)
		}
		if n := t.load.Doubted(); n > 0 {
			t.fail(done, fmt.Errorf("%d requests were answered 500 or 503 though nothing was wrong", n))
		}
		t.restart(done)
		if left := workFiles(t.T, t.node); len(left) > 0 {
			t.fail(done, fmt.Errorf("work files are left after the start: %q", left))
		}
		if err := t.load.Compare(t.Context()); err != nil {
			t.fail(done, err)
		}
		cycles.Add(1, t.seed+1)
	}
	t.controls()
	t.empty()
	if err := t.node.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := payloadFiles(t.T, t.node); len(left) > 0 {
		t.Errorf("seed %d: everything is deleted, and there are still %d payload files: %q", t.seed, len(left), left[:min(len(left), 10)])
	}
	t.Logf("seed %d: %d kills, %d operations acknowledged, none lost; slowest start %s",
		t.seed, done, t.load.Acknowledged(), t.slowest.Round(time.Millisecond))
}

// controls shows that the comparison can fail: an operation that the model was
// not told of, one that was not sent, and a payload that is changed on the disk.
func (t *trial) controls() {
	t.Helper()
	ctx, client := t.Context(), t.load.Client
	key := objects.Key{Name: "w0/k00"}
	before, _ := t.load.Model.Current(model.Object(key))
	if _, err := client.Put(ctx, bucket, key.Name, []byte("forgotten")); err != nil {
		t.Fatal(err)
	}
	t.reports("a write that was not recorded", key.Name+"\" holds 9 bytes")
	if err := t.load.Compare(ctx); err != nil {
		t.Fatalf("settled doubts come back: %v", err)
	}

	t.load.Model.Begin(model.Change{Cell: model.Object(key), Value: before}).Acknowledge()
	t.load.Model.Begin(model.Change{Cell: model.Object(objects.Key{Name: "never sent"}), Value: &model.Value{Size: 1}}).Acknowledge()
	t.reports("a write that was lost", `object "never sent" holds nothing`)

	const damaged = "w0/damaged"
	body := payload(1, 1<<20)
	o := t.load.Model.Begin(model.Change{Cell: model.Object(objects.Key{Name: damaged}), Value: valueOf(body, draft(1))})
	answer, err := client.Put(ctx, bucket, damaged, body, objects.Pair{Name: "x-amz-meta-" + mark, Value: "1"})
	if err != nil || !answer.OK() {
		t.Fatal(answer, err)
	}
	o.Acknowledge()
	t.load.workers[0].keys = append(t.load.workers[0].keys, damaged)
	if err := t.load.Compare(ctx); err != nil {
		t.Fatal(err)
	}
	if err := t.node.Kill(); err != nil {
		t.Fatal(err)
	}
	flip(t.T, t.node, damaged)
	t.restart(-1)
	t.reports("a payload that is not what was written", damaged)
}

// reports fails unless the comparison says what is expected.
func (t *trial) reports(what, text string) {
	t.Helper()
	if err := t.load.Compare(t.Context()); err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("negative control: %s was not reported: %v", what, err)
	}
}

// empty deletes all that is there and waits until it is reclaimed.
func (t *trial) empty() {
	t.Helper()
	ctx, client := t.Context(), t.load.Client
	uploads, err := client.Uploads(ctx, bucket)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range uploads {
		if answer, err := client.Abort(ctx, bucket, u.Key, u.UploadID); err != nil || !answer.OK() {
			t.Fatal("abort", u, answer, err)
		}
	}
	listed, err := client.List(ctx, bucket, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range listed {
		if answer, err := client.Delete(ctx, bucket, o.Key); err != nil || !answer.OK() {
			t.Fatal("delete", o, answer, err)
		}
	}
	if err := t.node.Await(ctx, "nothing left to reclaim", func(m process.Metrics) bool { return m.Sum("troupe_reclaimable_payloads") == 0 }); err != nil {
		t.Fatal(err)
	}
}

// workFiles returns what lies among the work files of a node.
func workFiles(t *testing.T, node *process.Node) []string {
	t.Helper()
	files, err := node.Files(process.WorkFiles)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// payloadFiles returns every file of a node that holds somebody's bytes.
func payloadFiles(t *testing.T, node *process.Node) []string {
	t.Helper()
	files, err := node.Files(process.PayloadFiles)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// flip changes a byte in the middle of an object's file.
func flip(t *testing.T, node *process.Node, key string) {
	t.Helper()
	files := payloadFiles(t, node)
	at := slices.IndexFunc(files, func(path string) bool { return strings.HasSuffix(path, "/"+key) })
	if at < 0 {
		t.Fatalf("no file of %s among %q", key, files)
	}
	file, err := os.OpenFile(files[at], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var b [1]byte
	const middle = 512 << 10
	if _, err := file.ReadAt(b[:], middle); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := file.WriteAt(b[:], middle); err != nil {
		t.Fatal(err)
	}
}
