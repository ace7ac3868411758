package slices

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A slice comes in one question or in many, is sealed with the last cells or after them,
// and is what it was.
func TestStage(t *testing.T) {
	w := newWorld(t, options{keeps: true})
	for _, size := range []int{0, 1, 300_000, 4 << 20} {
		p := w.payload(size)
		for index := range p.slices {
			switch length := int64(len(p.slices[index])); {
			case length == 0:
				if staged, err := w.send(p, uint8(index), 0, 0, true); err != nil || !staged.Sealed {
					t.Fatalf("an empty slice: %+v, %v", staged, err)
				}
				continue
			case index == 0:
				w.all(p, 0, length)
			case index == 1: // the sealing comes alone
				w.all(p, 1, 70_000)
			default:
				if staged, err := w.send(p, uint8(index), 0, length, false); err != nil || staged.Sealed {
					t.Fatalf("slice %d without a sealing: %+v, %v", index, staged, err)
				}
				if staged, err := w.send(p, uint8(index), length, length, true); err != nil || !staged.Sealed || staged.Offset != length {
					t.Fatalf("a sealing alone: %+v, %v", staged, err)
				}
			}
			w.want(p, uint8(index))
		}
	}
	if n := w.dials.Load(); n > 3 {
		t.Errorf("%d connections were made for questions that came one after the other", n)
	}
}

// What a slice is not, does not get a name: cells of another one, other sums, a wrong place.
func TestStageRefuses(t *testing.T) {
	w := newWorld(t, options{keeps: true})
	p, other := w.payload(400_000), w.payload(400_000)
	size := int64(len(p.slices[0]))
	for what, c := range map[string]struct {
		change func(*gateway.SliceStage) io.Reader
		kind   errs.Kind
	}{
		"cells of another slice":   {func(*gateway.SliceStage) io.Reader { return bytes.NewReader(p.slices[1]) }, errs.Corrupt},
		"cells of another payload": {func(*gateway.SliceStage) io.Reader { return bytes.NewReader(other.slices[0]) }, errs.Corrupt},
		"other sums":               {func(s *gateway.SliceStage) io.Reader { s.Last = other.sealing; return bytes.NewReader(p.slices[0]) }, errs.Corrupt},
		"a place after the end":    {func(s *gateway.SliceStage) io.Reader { s.Offset = 5; return bytes.NewReader(p.slices[0]) }, errs.Conflict},
		"a slice that is not":      {func(s *gateway.SliceStage) io.Reader { s.Index = 5; return bytes.NewReader(p.slices[0]) }, errs.Invalid},
		"a place before the start": {func(s *gateway.SliceStage) io.Reader { s.Offset = -1; return bytes.NewReader(p.slices[0]) }, errs.Invalid},
		"no payload": {func(s *gateway.SliceStage) io.Reader {
			s.Payload = objects.Generation{}
			return bytes.NewReader(p.slices[0])
		}, errs.Invalid},
		"a part of no upload":        {func(s *gateway.SliceStage) io.Reader { s.Part = 1; return bytes.NewReader(p.slices[0]) }, errs.Invalid},
		"cells that end early":       {func(*gateway.SliceStage) io.Reader { return bytes.NewReader(p.slices[0][:size-1]) }, errs.Canceled},
		"cells that cannot be given": {func(*gateway.SliceStage) io.Reader { return io.MultiReader(bytes.NewReader(p.slices[0][:9]), broken{}) }, errs.Canceled},
	} {
		s, _ := p.stage(0, 0, size, true)
		cells := c.change(s)
		if staged, err := w.road.StageSlice(w.node, w.bucket, name, s, cells); !errs.Is(c.kind, err) || errors.Is(err, objects.ErrOutcomeUnknown) {
			t.Errorf("%s: %+v, %v, want %v", what, staged, err, c.kind)
		}
		if err := w.road.AbandonStage(w.node, w.bucket, name, p.generation); err != nil {
			t.Fatal(err)
		}
	}
	unknown := *w.bucket
	unknown.Name = "unknown"
	s, cells := p.stage(0, 0, size, true)
	var differs *messages.MapDiffers
	if _, err := w.road.StageSlice(w.node, &unknown, name, s, cells); !errors.As(err, &differs) {
		t.Errorf("a bucket that the node does not know: %v", err)
	}
	w.all(p, 0, size) // the control: it was none of p's faults
	w.want(p, 0)
}

// zeros is cells without an end, of nothing.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(room []byte) (int, error) {
	clear(room)
	return len(room), nil
}

// broken is cells that cannot be read.
type broken struct{}

// Read implements io.Reader.
func (broken) Read([]byte) (int, error) { return 0, errors.New("the encoder failed") }

// A connection that breaks off in the middle of the cells leaves those that came; the node
// says where to go on, and from there it becomes the slice that it is. Small and large, since
// small ones are sent in one write.
func TestStageIsCut(t *testing.T) {
	for what, size := range map[string]int{"small": 500_000, "large": 5 << 20} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, options{keeps: true})
			p := w.payload(size)
			length := int64(len(p.slices[3]))
			came := make(chan struct{}, 1)
			w.came = func(int64) {
				select {
				case came <- struct{}{}:
				default:
				}
			}
			w.cut.Store(length / 2)
			staged, err := w.send(p, 3, 0, length, true)
			var away *messages.NodeAway
			if !errors.As(err, &away) || away.Begun || errors.Is(err, objects.ErrOutcomeUnknown) {
				t.Fatalf("cells that were cut: %+v, %v", staged, err)
			}
			w.cut.Store(0)
			if what == "large" {
				<-came // the next question ends this one's cells
			}
			at, err := w.send(p, 3, 0, 0, false)
			if err != nil || at.Sealed || at.Offset >= length {
				t.Fatalf("where to go on: %+v, %v", at, err)
			}
			if what == "large" && at.Offset == 0 {
				t.Error("nothing of what came was kept")
			}
			if _, err := w.send(p, 3, at.Offset+1, length, true); !errs.Is(errs.Conflict, err) {
				t.Errorf("a gap: %v", err)
			}
			if at.Offset > 0 {
				if _, err := w.send(p, 3, 0, length, true); !errs.Is(errs.Conflict, err) {
					t.Errorf("from the start again, over what is there: %v", err)
				}
			}
			if staged, err := w.send(p, 3, at.Offset, length, true); err != nil || !staged.Sealed || staged.Offset != length {
				t.Fatalf("going on at %d: %+v, %v", at.Offset, staged, err)
			}
			w.want(p, 3)
		})
	}
}

// A question that comes twice is answered as it stands: cells are not there twice, and what
// is sealed is said to be.
func TestStageComesTwice(t *testing.T) {
	w := newWorld(t, options{keeps: true})
	p := w.payload(600_000)
	length := int64(len(p.slices[0]))
	if _, err := w.send(p, 0, 0, 100_000, false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.send(p, 0, 0, 100_000, false); !errs.Is(errs.Conflict, err) {
		t.Errorf("cells that are there: %v", err)
	}
	if at, err := w.send(p, 0, 0, 0, false); err != nil || at.Offset != 100_000 || at.Sealed {
		t.Errorf("where it stands: %+v, %v", at, err)
	}
	for time := range 2 {
		staged, err := w.send(p, 0, 100_000, length, true)
		if err != nil || !staged.Sealed || staged.Offset != length {
			t.Fatalf("sealed, time %d: %+v, %v", time+1, staged, err)
		}
	}
	if took := w.cells.Load(); took != length {
		t.Errorf("%d bytes of cells were taken of a slice of %d", took, length)
	}
	w.want(p, 0)
}

// A connection that turned out to be closed by the other node is no failure of a stage that
// fits a slab, nor are its cells there twice: whether the node had got them, or not.
func TestStageOnAClosedConnection(t *testing.T) {
	w := newWorld(t, options{keeps: true})
	p := w.payload(600_000)
	length := int64(len(p.slices[0]))
	var from int64
	for _, c := range []struct {
		what string
		how  func(*connection)
		took int64 // bytes of cells, in the end
	}{
		{"before the question", func(c *connection) { c.breaks.Store(true) }, 50_000},
		{"after the question", func(c *connection) { c.deaf.Store(true) }, 50_000},
		{"after the sealing", func(c *connection) { c.deaf.Store(true) }, length - 100_000},
	} {
		if at, err := w.send(p, 0, 0, 0, false); err != nil || at.Offset != from { // and the connection is one that is kept
			t.Fatalf("%s: where it stands: %+v, %v", c.what, at, err)
		}
		for len(w.ended) > 0 {
			<-w.ended
		}
		before, used := w.cells.Load(), w.used.Load().(*connection)
		c.how(used)
		to := from + c.took
		last := to == length
		staged, err := w.send(p, 0, from, to, last)
		if err != nil || staged != (gateway.SliceStaged{Offset: to, Sealed: last}) {
			t.Fatalf("%s: %+v, %v", c.what, staged, err)
		}
		if took := w.cells.Load() - before; took != c.took || !used.closed.Load() {
			t.Fatalf("%s: %d bytes of cells were taken, want %d; the connection broke: %v", c.what, took, c.took, used.closed.Load())
		}
		from = to
	}
	w.want(p, 0)
}

// standing is cells of which no more come until it is released.
type standing struct {
	first    io.Reader
	released chan struct{}
}

// Read implements io.Reader.
func (s *standing) Read(room []byte) (int, error) {
	if n, err := s.first.Read(room); err == nil {
		return n, nil
	}
	<-s.released
	return 0, errors.New("released")
}

// Cells that stand still end after their time: the node that waits for them says so, keeps
// what came, and lets go of the slice.
func TestStageStandsStill(t *testing.T) {
	w := newWorld(t, options{keeps: true, stall: 300 * time.Millisecond})
	p := w.payload(5 << 20)
	length := int64(len(p.slices[0]))
	cells := &standing{bytes.NewReader(p.slices[0][:1<<20]), make(chan struct{})}
	result := make(chan error, 1)
	go func() {
		s, _ := p.stage(0, 0, length, true)
		_, err := w.road.StageSlice(w.node, w.bucket, name, s, cells)
		result <- err
	}()
	<-w.ended // it does not wait for ever
	if at, err := w.send(p, 0, 0, 0, false); err != nil || at.Offset != 1<<20 || at.Sealed {
		t.Errorf("what came before: %+v, %v", at, err)
	}
	close(cells.released)
	if err := <-result; !errs.Is(errs.Canceled, err) {
		t.Errorf("who gave no cells: %v", err)
	}
	if staged, err := w.send(p, 0, 1<<20, length, true); err != nil || !staged.Sealed {
		t.Errorf("going on: %+v, %v", staged, err)
	}
	w.want(p, 0)
}

// A node that takes no cells, or does not answer, is away after its time, and what was asked
// is not of unknown outcome. What it hangs in keeps nobody else's slices from coming.
func TestStageIsNotTaken(t *testing.T) {
	for what, more := range map[string]int64{"small": 0, "large": 16 << 20} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, options{keeps: true, stall: 200 * time.Millisecond})
			hangs, goesOn := make(chan struct{}), make(chan struct{})
			first := true
			w.came = func(int64) {
				if first {
					first = false
					close(hangs)
					<-goesOn
				}
			}
			p, other := w.payload(500_000), w.payload(200_000)
			length := int64(len(p.slices[0]))
			result := make(chan error, 1)
			go func() {
				s, cells := p.stage(0, 0, length, false) // the wait for a sealing is longer
				s.Stall = 500 * time.Millisecond
				s.Length += more // nobody gets to see what they are
				cells = io.MultiReader(cells, io.LimitReader(zeros{}, more))
				_, err := w.road.StageSlice(w.node, w.bucket, name, s, cells)
				result <- err
			}()
			<-hangs
			var away *messages.NodeAway
			if err := <-result; !errors.As(err, &away) || away.Begun {
				t.Errorf("a node that hangs: %v", err)
			}
			if _, err := w.send(p, 0, 0, 0, false); !errs.Is(errs.Busy, err) {
				t.Errorf("the slice that hangs: %v", err)
			}
			size := int64(len(other.slices[1]))
			w.all(other, 1, size)
			close(goesOn)
			<-w.ended // at the latest; the road has given the connection up
			w.want(other, 1)
		})
	}
}

// What a connection that nobody uses any more has left of a slice does not go on beside what
// is sent anew: the later question ends the earlier, and waits for it.
func TestStagesOfOneSliceComeOneAfterTheOther(t *testing.T) {
	w := newWorld(t, options{keeps: true})
	p := w.payload(5 << 20)
	length := int64(len(p.slices[0]))
	came := make(chan struct{}, 1)
	w.came = func(all int64) {
		if all == 1<<20 {
			came <- struct{}{}
		}
	}
	cells := &standing{bytes.NewReader(p.slices[0][:1<<20]), make(chan struct{})}
	result := make(chan error, 1)
	go func() {
		s, _ := p.stage(0, 0, length, true)
		_, err := w.road.StageSlice(w.node, w.bucket, name, s, cells)
		result <- err
	}()
	<-came
	at, err := w.send(p, 0, 0, 0, false) // n2 would wait 30 s for the first
	if err != nil || at.Offset != 1<<20 {
		t.Fatalf("where it stands: %+v, %v", at, err)
	}
	if staged, err := w.send(p, 0, at.Offset, length, true); err != nil || !staged.Sealed {
		t.Fatalf("going on: %+v, %v", staged, err)
	}
	close(cells.released)
	if err := <-result; err == nil {
		t.Error("the question that was ended succeeded")
	}
	if most := w.most.Load(); most != 1 {
		t.Errorf("%d questions wrote one slice at a time", most)
	}
	w.want(p, 0)
}

// A node of an earlier release answers that it knows no such question. It is away for whom
// asks, for each question, with and without a body that it does not read.
func TestAnEarlierRelease(t *testing.T) {
	w := newWorld(t, options{})
	small := w.payload(300_000)
	const large = 16 << 20 // more than sockets hold
	wanted := &gateway.SliceWanted{Payload: small.generation, Length: 1}
	for what, ask := range map[string]func() error{
		"stage, small": func() error { _, err := w.send(small, 0, 0, int64(len(small.slices[0])), true); return err },
		"stage, large": func() error {
			s := &gateway.SliceStage{Payload: small.generation, Form: form, Length: large}
			_, err := w.road.StageSlice(w.node, w.bucket, name, s, io.LimitReader(zeros{}, large))
			return err
		},
		"where":   func() error { _, err := w.send(small, 0, 0, 0, false); return err },
		"unstage": func() error { return w.road.AbandonStage(w.node, w.bucket, name, small.generation) },
		"slice":   func() error { _, err := w.road.Slice(w.node, w.bucket, name, wanted); return err },
		"have": func() error {
			_, err := w.road.HaveSlices(w.node, w.bucket, name, []objects.Generation{small.generation})
			return err
		},
		"build": func() error {
			_, err := w.road.BuildSlice(w.node, w.bucket, name, &gateway.SliceBuild{Record: recordOf(small)})
			return err
		},
	} {
		var away *messages.NodeAway
		if err := ask(); !errors.As(err, &away) || away.Begun || !strings.Contains(away.Reason, "older version") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func recordOf(p *payload) *objects.Meta {
	return &objects.Meta{
		Generation: p.generation, Payload: p.generation, Where: objects.Slices, Size: p.sealing.Size, XXHash: p.sealing.XXHash,
		Slicing: &objects.Slicing{Data: form.Data, Parity: form.Parity, CellBytes: form.CellBytes},
	}
}

// Bytes of a slice come as asked for, and not at all where there are none; what a node has is
// told by payload; and what it is to build goes there and back.
func TestSlicesAreTold(t *testing.T) {
	w := newWorld(t, options{keeps: true})
	p, q := w.payload(700_000), w.payload(700_000)
	w.all(p, 4, 1<<20)
	w.all(p, 1, 1<<20)
	if _, err := w.send(p, 2, 0, 1000, false); err != nil { // under way: not had
		t.Fatal(err)
	}
	body, err := w.road.Slice(w.node, w.bucket, name, &gateway.SliceWanted{Payload: p.generation, Index: 4, Offset: 1000, Length: 70_000})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil || !bytes.Equal(got, p.slices[4][1000:71_000]) {
		t.Errorf("a range: %d bytes, %v", len(got), err)
	}
	size := int64(len(p.slices[4]))
	for what, c := range map[string]struct {
		wanted gateway.SliceWanted
		kind   errs.Kind
	}{
		"another index":      {gateway.SliceWanted{Payload: p.generation, Index: 3, Length: 1}, errs.NotFound},
		"one under way":      {gateway.SliceWanted{Payload: p.generation, Index: 2, Length: 1}, errs.NotFound},
		"another payload":    {gateway.SliceWanted{Payload: q.generation, Index: 4, Length: 1}, errs.NotFound},
		"all of the payload": {gateway.SliceWanted{Payload: p.generation, Index: objects.WholeIndex, Length: 1}, errs.NotFound},
		"beyond the end":     {gateway.SliceWanted{Payload: p.generation, Index: 4, Offset: size, Length: 1}, errs.Invalid},
		"nothing":            {gateway.SliceWanted{Payload: p.generation, Index: 4}, errs.Invalid},
		"no slice at all":    {gateway.SliceWanted{Payload: p.generation, Index: 99, Length: 1}, errs.Invalid},
	} {
		if _, err := w.road.Slice(w.node, w.bucket, name, &c.wanted); !errs.Is(c.kind, err) {
			t.Errorf("%s: %v, want %v", what, err, c.kind)
		}
	}
	held, err := w.road.HaveSlices(w.node, w.bucket, name, []objects.Generation{q.generation, p.generation})
	if err != nil || !held.Lost || len(held.Indices) != 2 || len(held.Indices[0]) != 0 || !bytes.Equal(held.Indices[1], []byte{1, 4}) {
		t.Errorf("what it has: %+v, %v", held, err)
	}
	if _, err := w.road.HaveSlices(w.node, w.bucket, name, make([]objects.Generation, gateway.MaxHaveSlices+1)); !errs.Is(errs.Invalid, err) {
		t.Errorf("more payloads than can be asked for: %v", err)
	}
	if err := w.road.AbandonStage(w.node, w.bucket, name, p.generation); err != nil {
		t.Fatal(err)
	}
	if held, err := w.road.HaveSlices(w.node, w.bucket, name, []objects.Generation{p.generation}); err != nil || len(held.Indices[0]) != 0 {
		t.Errorf("what it has of what was abandoned: %+v, %v", held, err)
	}

	build := &gateway.SliceBuild{Record: recordOf(p), Index: 3, Verify: true}
	if _, err := w.road.BuildSlice(w.node, w.bucket, name, build); !errors.Is(err, erasure.ErrTooFew) || !errs.Is(errs.Offline, err) {
		t.Errorf("too few slices: %v", err)
	}
	w.builds = func(b *gateway.SliceBuild) (gateway.Built, error) {
		if b.Index != 3 || !b.Verify || b.Record.Payload != p.generation || b.Record.Slicing.Width() != 5 {
			t.Errorf("it is to build %+v", b)
		}
		return gateway.Built{Bytes: 5, Of: 9}, nil
	}
	if built, err := w.road.BuildSlice(w.node, w.bucket, name, build); err != nil || built != (gateway.Built{Bytes: 5, Of: 9}) {
		t.Errorf("what it has built: %+v, %v", built, err)
	}
	build.Index = 5
	if _, err := w.road.BuildSlice(w.node, w.bucket, name, build); !errs.Is(errs.Invalid, err) {
		t.Errorf("a slice that the form does not have: %v", err)
	}
}

// An answer that breaks off in the middle of the cells is an error, and not its end.
func TestASliceIsCutOnItsWay(t *testing.T) {
	w := newWorld(t, options{keeps: true})
	p := w.payload(5 << 20)
	length := int64(len(p.slices[0]))
	w.all(p, 0, length)
	body, err := w.road.Slice(w.node, w.bucket, name, &gateway.SliceWanted{Payload: p.generation, Length: length})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := w.last.Load().(*connection).Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, body); err == nil || n >= length-1000 {
		t.Errorf("%d bytes, and then %v", n, err)
	}
	_ = body.Close() // of a connection that is closed
	w.want(p, 0)
}
