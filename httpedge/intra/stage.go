package intra

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Cells of a slice go to the node that is to have it while a body comes in, in one question
// or in several, each of which says where in the slice its cells go.

// StageSlice implements gateway.Peers.
func (r *Road) StageSlice(node *messages.NodeView, bucket *objects.BucketDoc, name string, s *gateway.SliceStage, cells io.Reader) (gateway.SliceStaged, error) {
	const op errs.Op = "intra.StageSlice"
	if cells == nil != (s.Length == 0) {
		return gateway.SliceStaged{}, errs.E(op, objects.Key{Bucket: bucket.Bucket, Name: name}, errs.Internal, fmt.Errorf("a stage of %d bytes", s.Length))
	}
	q := &wire.StageQuestion{
		About: wire.AboutOf(bucket, true), Name: []byte(name), Payload: wire.GenerationOf(s.Payload),
		Slicing: wire.SlicingOf(&objects.Slicing{Data: s.Form.Data, Parity: s.Form.Parity, CellBytes: s.Form.CellBytes}),
		Index:   uint32(s.Index), Offset: s.Offset, Length: s.Length, Last: wire.SealingOf(s.Last), UploadId: []byte(s.UploadID), Part: int64(s.Part),
	}
	text, err := framedQuestion(node, pathStage, q, s.Length)
	if err != nil {
		return gateway.SliceStaged{}, err
	}
	sending := staging{Road: r, node: node, stall: s.Stall, text: text, cells: cells, left: s.Length}
	if sending.stall == 0 {
		sending.stall = gateway.Deadline
	}
	sending.wait = sending.stall
	if s.Last != nil {
		sending.wait = max(sending.wait, receiveTime)
	}
	if s.Length > 0 || s.Last != nil {
		sending.where = func() (gateway.SliceStaged, error) {
			at := *s
			at.Length, at.Last = 0, nil
			return r.StageSlice(node, bucket, name, &at, nil)
		}
	}
	staged, err := sending.send(s)
	return staged, unknowing(certain(err))
}

// certain is a failure of what can be asked again: the outcome is never unknown.
func certain(err error) error {
	var away *messages.NodeAway
	if errors.As(err, &away) && away.Begun {
		return &messages.NodeAway{Node: away.Node, Reason: away.Reason}
	}
	return err
}

// errUnknown is a node that answered that it knows no such question.
var errUnknown = errors.New("it knows no questions about slices; is it of an older version?")

// unknowing makes a node that knows no questions about slices one that cannot be asked.
func unknowing(err error) error {
	var unknown *unknownError
	if errors.As(err, &unknown) {
		return &messages.NodeAway{Node: unknown.node, Reason: errUnknown.Error()}
	}
	return err
}

// staging is one StageQuestion on its way. Not safe for concurrent use.
type staging struct {
	*Road
	node        *messages.NodeView
	stall, wait time.Duration // see gateway.SliceStage.Stall; wait is for the answer
	text        []byte        // head and question
	cells       io.Reader     // nil: none
	left        int64         // bytes of cells that are not read yet
	where       func() (gateway.SliceStaged, error)
}

// send sends the question with its cells. One that fits a slab is sent again where a
// connection turns out to have been closed, unless the node has got it: it says so itself.
func (g *staging) send(s *gateway.SliceStage) (none gateway.SliceStaged, err error) {
	window, err := g.Slabs.Lease(1)
	if err != nil {
		return none, errs.E("intra.StageSlice", err)
	}
	defer window.Release()
	room := window.Slab(0)
	all := int64(len(g.text))+g.left <= int64(len(room))
	first := g.text
	if all && g.left > 0 {
		first = append(append(room[:0], g.text...), room[len(g.text):len(g.text)+int(g.left)]...)
		if _, err := io.ReadFull(g.cells, first[len(g.text):]); err != nil {
			return none, errs.E("intra.StageSlice", errs.Canceled, fmt.Errorf("cells ended early: %w", err))
		}
		g.left = 0
	}
	for fresh := false; ; fresh = true {
		x, err := g.begin(g.node, fresh)
		if err != nil {
			return none, err
		}
		reused := x.reused
		lost, err := g.exchange(x, first, room)
		if err == nil {
			return g.staged(x)
		}
		if lost == nil {
			return none, err // it is who gives the cells that failed
		}
		away := &messages.NodeAway{Node: g.node.ID, Reason: lost.Error()}
		if !all || !reused || fresh || errors.Is(lost, os.ErrDeadlineExceeded) {
			return none, away
		}
		if g.where == nil {
			continue
		}
		switch at, askErr := g.where(); {
		case askErr != nil:
			return none, errors.Join(away, askErr)
		case at.Sealed && s.Last != nil:
			return at, nil
		case at.Offset == s.Offset+s.Length && s.Length > 0 && s.Last == nil:
			return at, nil
		case at.Sealed || at.Offset != s.Offset:
			return none, away
		}
	}
}

// staged reads the answer.
func (g *staging) staged(x *exchange) (none gateway.SliceStaged, err error) {
	if x, err = g.granted(x, reads); err != nil {
		return none, err
	}
	var answer wire.StageAnswer
	if err := g.value(x, reads, &answer); err != nil {
		return none, err
	}
	if answer.Offset < 0 {
		return none, unreadable(g.node, reads, fmt.Errorf("a slice of %d bytes", answer.Offset))
	}
	return gateway.SliceStaged{Offset: answer.Offset, Sealed: answer.Sealed}, nil
}

// exchange sends first, and then the cells that are left through room, and reads the head of
// the answer, which ends them whenever it comes. Lost is what went wrong between the nodes;
// where it is nil and err is not, the cells could not be read. It ends the exchange then.
func (g *staging) exchange(x *exchange, first, room []byte) (lost, err error) {
	if g.left == 0 { // the answer comes afterwards
		if lost = g.write(x, first); lost == nil {
			lost = x.SetReadDeadline(within(g.wait))
		}
		if lost == nil {
			lost = x.answer()
		}
		if lost != nil {
			x.drop()
		}
		return lost, lost
	}
	if lost = x.SetReadDeadline(time.Time{}); lost != nil {
		x.drop()
		return lost, lost
	}
	answered := make(chan struct{})
	var answer error
	go func() { // ends with the answer, the deadline or the connection
		answer = x.answer()
		close(answered)
	}()
	lost = g.write(x, first)
	for early := false; lost == nil && g.left > 0 && !early; {
		part := room[:min(int64(len(room)), g.left)]
		n, err := g.cells.Read(part)
		g.left -= int64(n)
		if n > 0 {
			lost = g.write(x, part[:n])
		}
		if err != nil && g.left > 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			_ = x.Abort() // so that the node sees cells that end early
			<-answered
			x.drop()
			return nil, errs.E("intra.StageSlice", errs.Canceled, fmt.Errorf("cells ended early: %w", err))
		}
		select {
		case <-answered:
			early = true
		default:
		}
	}
	wait := g.wait
	if lost != nil {
		wait = lastWords // it takes no more. It may have said why
	}
	if deadlineErr := x.SetReadDeadline(within(wait)); deadlineErr != nil {
		_ = x.Abort()
		lost = errors.Join(lost, deadlineErr)
	}
	<-answered
	if answer != nil {
		x.drop()
		lost = errors.Join(lost, answer)
		return lost, lost
	}
	if lost != nil || g.left > 0 {
		x.head.SetConnectionClose() // the rest is not sent any more
	}
	return nil, nil
}

// write writes bytes within the time that the node may take none.
func (g *staging) write(x *exchange, b []byte) error {
	if err := x.SetWriteDeadline(within(g.stall)); err != nil {
		return err
	}
	_, err := x.Write(b)
	return err
}

// stageName is a slice that is staged.
type stageName struct {
	payload objects.Generation
	index   uint8
}

// stageTurns lets questions about one slice be answered one after the other: what a
// connection that broke off has left is not to go on beside what was sent anew. Safe for
// concurrent use; the zero value is ready.
type stageTurns struct {
	mu    sync.Mutex
	turns map[stageName]*stageTurn
}

// stageTurn is of one slice.
type stageTurn struct {
	taken chan struct{} // holds one value while a question is answered
	cut   func()        // ends the cells of that one; nil: there is none
	users int           // who has the turn, or waits for it
}

// take waits for the turn of a slice, whose cells cut will end; who has it is cut. False: it
// does not come until late does.
func (t *stageTurns) take(name stageName, cut func(), late <-chan time.Time) (end func(), ok bool) {
	t.mu.Lock()
	turn := t.turns[name]
	if turn == nil {
		turn = &stageTurn{taken: make(chan struct{}, 1)}
		if t.turns == nil {
			t.turns = make(map[stageName]*stageTurn)
		}
		t.turns[name] = turn
	}
	turn.users++
	if turn.cut != nil {
		turn.cut()
	}
	t.mu.Unlock()
	leave := func() { // under mu
		if turn.users--; turn.users == 0 {
			delete(t.turns, name)
		}
	}
	select {
	case turn.taken <- struct{}{}:
	case <-late:
		t.mu.Lock()
		defer t.mu.Unlock()
		leave()
		return nil, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	turn.cut = cut
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		turn.cut = nil
		<-turn.taken
		leave()
	}, true
}

// stagedCells are the bytes of a stage as they come. They may be cut from another goroutine.
type stagedCells struct {
	ctx   *fasthttp.RequestCtx
	from  io.Reader
	size  int64 // bytes in all
	stall time.Duration
	read  int64
	ended atomic.Bool
}

var errStageCut = errors.New("cells of the same slice came by another question")

// Read implements io.Reader. Each read has its time. Bytes that end early are no io.EOF, as
// which a connection that ends gives them: what came would be sealed as if it were all.
func (c *stagedCells) Read(room []byte) (int, error) {
	if err := c.ctx.SetReadDeadline(within(c.stall)); err != nil {
		return 0, err
	}
	if c.ended.Load() { // after the deadline, which cut would have changed
		return 0, errStageCut
	}
	n, err := c.from.Read(room)
	c.read += int64(n)
	switch {
	case err != nil && c.ended.Load():
		err = errStageCut
	case err == io.EOF && c.read < c.size:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// cut ends the cells. A read that waits returns soon.
func (c *stagedCells) cut() {
	c.ended.Store(true)
	_ = c.ctx.Conn().SetReadDeadline(time.Unix(1, 0)) // a connection that is gone ends the read, too
}

// onStage takes cells of a slice.
func (s *Server) onStage(ctx *fasthttp.RequestCtx) (err error) {
	body, length, err := bodyOf(ctx)
	if err != nil {
		return err
	}
	cells := &stagedCells{ctx: ctx, from: body, size: length, stall: s.StallTime}
	defer func() {
		if err != nil || cells.read < length {
			ctx.SetConnectionClose() // what was not read of the cells
		}
	}()
	var q wire.StageQuestion
	if err := unframe(cells, &q); err != nil {
		return errs.E("intra.question", pathStage, errs.Invalid, err)
	}
	stage, err := stageOf(&q)
	if err == nil && stage.Length != length-cells.read {
		err = fmt.Errorf("%d bytes follow of %d", length-cells.read, stage.Length)
	}
	if err != nil {
		return invalid(q.About, err)
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	var arrival *gateway.Arrival
	if stage.Length > 0 {
		arrival = &gateway.Arrival{Body: io.LimitReader(cells, stage.Length), Cut: cells.cut}
	}
	late, timer := s.Clock.NewTimer(s.StallTime)
	defer timer.Stop()
	end, ok := s.stages.take(stageName{stage.Payload, stage.Index}, cells.cut, late)
	if !ok {
		return errs.E("intra.onStage", string(q.Name), errs.Busy, errors.New("an earlier question about the slice has not ended"))
	}
	defer end()
	staged, err := s.Slices.StageSlice(bucket, string(q.Name), stage, arrival)
	if err != nil {
		return err
	}
	return give(ctx, &wire.StageAnswer{Offset: staged.Offset, Sealed: staged.Sealed})
}

// stageOf is what a StageQuestion holds.
func stageOf(q *wire.StageQuestion) (*gateway.SliceStage, error) {
	slicing, err := q.Slicing.Value()
	if err != nil {
		return nil, err
	}
	if slicing == nil || q.Payload == nil {
		return nil, errors.New("a stage of no payload, or of no form")
	}
	stage := &gateway.SliceStage{
		Payload: q.Payload.Value(), Form: erasure.Form{Data: slicing.Data, Parity: slicing.Parity, CellBytes: slicing.CellBytes},
		Offset: q.Offset, Length: q.Length, UploadID: string(q.UploadId),
	}
	if err := stage.Form.Check(); err != nil {
		return nil, err
	}
	if stage.Offset < 0 || stage.Length < 0 || stage.Offset+stage.Length < 0 {
		return nil, fmt.Errorf("%d bytes from %d", q.Length, q.Offset)
	}
	if stage.Index, err = wire.IndexOf(q.Index, stage.Form.Slices()); err != nil {
		return nil, err
	}
	if stage.Part, err = wire.PartOf(q.UploadId, q.Part); err != nil {
		return nil, err
	}
	stage.Last, err = q.Last.Value()
	return stage, err
}
