package intra

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/messages/wire"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
	"github.com/troupe-storage/troupe/objects/slab"
)

// What lies in slices goes between nodes as it lies, and is checked by who reads it: cells
// tell by themselves whether they are whole, and of what.

// AbandonStage implements gateway.Peers.
func (r *Road) AbandonStage(node *messages.NodeView, bucket *objects.BucketDoc, name string, payload objects.Generation) error {
	q := &wire.UnstageQuestion{About: wire.AboutOf(bucket, true), Name: []byte(name), Payload: wire.GenerationOf(payload)}
	return unknowing(r.ask(node, pathUnstage, reads, q, new(wire.Nothing)))
}

// Slice implements gateway.Peers.
func (r *Road) Slice(node *messages.NodeView, bucket *objects.BucketDoc, name string, w *gateway.SliceWanted) (io.ReadCloser, error) {
	q := &wire.SliceQuestion{
		About: wire.AboutOf(bucket, true), Name: []byte(name), Payload: wire.GenerationOf(w.Payload), Index: uint32(w.Index),
		Offset: w.Offset, Length: w.Length, UploadId: []byte(w.UploadID), Part: int64(w.Part),
	}
	x, err := r.exchangeWithin(node, pathSlice, reads, q, cmp.Or(w.Begin, answerTime))
	if err != nil {
		return nil, unknowing(err)
	}
	body := x.body()
	body.stall = cmp.Or(w.Stall, stallTime)
	var answer wire.SliceAnswer
	err = unframe(body, &answer)
	if err == nil && (answer.Length != w.Length || body.left != w.Length) {
		err = fmt.Errorf("it sends %d bytes of %d for %d", body.left, answer.Length, w.Length)
	}
	if err != nil {
		return nil, errors.Join(unreadable(node, reads, err), body.Close())
	}
	return body, nil
}

// HaveSlices implements gateway.Peers.
func (r *Road) HaveSlices(node *messages.NodeView, bucket *objects.BucketDoc, name string, payloads []objects.Generation) (gateway.HeldSlices, error) {
	q := &wire.HaveQuestion{About: wire.AboutOf(bucket, true), Name: []byte(name), Payloads: make([]*wire.Generation, len(payloads))}
	for i, p := range payloads {
		q.Payloads[i] = wire.GenerationOf(p)
	}
	var answer wire.HaveAnswer
	if err := r.ask(node, pathSlices, reads, q, &answer); err != nil {
		return gateway.HeldSlices{}, unknowing(err)
	}
	if len(answer.Indices) != len(payloads) {
		return gateway.HeldSlices{}, unreadable(node, reads, fmt.Errorf("it is about %d payloads of %d", len(answer.Indices), len(payloads)))
	}
	held := gateway.HeldSlices{Indices: make([][]uint8, len(payloads)), Lost: answer.Lost}
	for i, indices := range answer.Indices {
		for _, index := range indices {
			if _, err := wire.IndexOf(uint32(index), 0); err != nil {
				return gateway.HeldSlices{}, unreadable(node, reads, err)
			}
		}
		held.Indices[i] = indices
	}
	return held, nil
}

// BuildSlice implements gateway.Peers.
func (r *Road) BuildSlice(node *messages.NodeView, bucket *objects.BucketDoc, name string, b *gateway.SliceBuild) (gateway.Built, error) {
	q := &wire.BuildQuestion{
		About: wire.AboutOf(bucket, true), Name: []byte(name), Record: wire.RecordOf(b.Record), Parts: wire.PartsOf(b.Parts), Index: uint32(b.Index), Verify: b.Verify,
	}
	var answer wire.BuildAnswer
	if err := r.ask(node, pathBuild, reads, q, &answer); err != nil { // it may be asked again
		return gateway.Built{}, unknowing(err)
	}
	if answer.Bytes < 0 || answer.Of < answer.Bytes {
		return gateway.Built{}, unreadable(node, reads, fmt.Errorf("%d bytes of %d are made", answer.Bytes, answer.Of))
	}
	return gateway.Built{Done: answer.Done, Bytes: answer.Bytes, Of: answer.Of}, nil
}

// onSlices answers a question about slices.
func (s *Server) onSlices(ctx *fasthttp.RequestCtx, path string) error {
	switch path {
	case pathStage:
		return s.onStage(ctx)
	case pathUnstage:
		return s.onUnstage(ctx)
	case pathSlice:
		return s.onSlice(ctx)
	case pathSlices:
		return s.onHave(ctx)
	}
	return s.onBuild(ctx)
}

func (s *Server) onUnstage(ctx *fasthttp.RequestCtx) error {
	var q wire.UnstageQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	if err := s.Slices.AbandonStage(bucket, string(q.Name), q.Payload.Value()); err != nil {
		return err
	}
	return give(ctx, new(wire.Nothing))
}

func (s *Server) onSlice(ctx *fasthttp.RequestCtx) error {
	var q wire.SliceQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	wanted := &gateway.SliceWanted{Payload: q.Payload.Value(), Offset: q.Offset, Length: q.Length, UploadID: string(q.UploadId)}
	var err error
	if wanted.Index, err = wire.IndexOf(q.Index, 0); err == nil {
		wanted.Part, err = wire.PartOf(q.UploadId, q.Part)
	}
	if err == nil && (q.Offset < 0 || q.Length <= 0 || q.Offset+q.Length < 0) {
		err = fmt.Errorf("%w: %d bytes from %d", objects.ErrInvalidRange, q.Length, q.Offset)
	}
	if err != nil {
		return invalid(q.About, err)
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	frame, err := appendFrame(nil, &wire.SliceAnswer{Length: q.Length})
	if err != nil {
		return err
	}
	window, err := s.Gateway.Slabs.Lease(1)
	if err != nil {
		return errs.E("intra.onSlice", string(q.Name), err)
	}
	cells, err := s.Slices.Slice(bucket, string(q.Name), wanted)
	if err != nil {
		window.Release()
		return err
	}
	ctx.SetBodyStream(&givenCells{Reader: io.MultiReader(bytes.NewReader(frame), cells), cells: cells, window: window}, len(frame)+int(q.Length))
	return nil
}

// givenCells is the answer to a SliceQuestion. It releases the window and closes the cells
// when it is closed.
type givenCells struct {
	io.Reader
	cells  io.Closer
	window *slab.Window
}

// WriteTo implements io.WriterTo: with larger pieces than fasthttp has room for.
func (g *givenCells) WriteTo(w io.Writer) (total int64, err error) {
	for room := g.window.Slab(0); ; {
		n, err := g.Read(room)
		if n > 0 {
			written, writeErr := w.Write(room[:n])
			total += int64(written)
			if writeErr != nil {
				return total, writeErr
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Close implements io.Closer. fasthttp calls it once.
func (g *givenCells) Close() error {
	g.window.Release()
	return g.cells.Close()
}

func (s *Server) onHave(ctx *fasthttp.RequestCtx) error {
	var q wire.HaveQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	if len(q.Payloads) > gateway.MaxHaveSlices {
		return invalid(q.About, fmt.Errorf("%d payloads, at most %d can be asked for", len(q.Payloads), gateway.MaxHaveSlices))
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	payloads := make([]objects.Generation, len(q.Payloads))
	for i, p := range q.Payloads {
		payloads[i] = p.Value()
	}
	held, err := s.Slices.HaveSlices(bucket, string(q.Name), payloads)
	if err != nil {
		return err
	}
	return give(ctx, &wire.HaveAnswer{Indices: held.Indices, Lost: held.Lost})
}

func (s *Server) onBuild(ctx *fasthttp.RequestCtx) error {
	var q wire.BuildQuestion
	if err := read(ctx, &q); err != nil {
		return err
	}
	build, err := buildOf(&q)
	if err != nil {
		return invalid(q.About, err)
	}
	bucket, _, err := s.bucket(q.About)
	if err != nil {
		return err
	}
	built, err := s.Slices.BuildSlice(bucket, string(q.Name), build)
	if err != nil {
		return err
	}
	return give(ctx, &wire.BuildAnswer{Done: built.Done, Bytes: built.Bytes, Of: built.Of})
}

// buildOf is what a BuildQuestion holds.
func buildOf(q *wire.BuildQuestion) (*gateway.SliceBuild, error) {
	record, err := q.Record.Meta()
	if err != nil {
		return nil, err
	}
	if record == nil || record.Slicing == nil {
		return nil, errors.New("a slice of no record, or of one without slices")
	}
	build := &gateway.SliceBuild{Record: record, Verify: q.Verify}
	if build.Parts, err = wire.Parts(q.Parts); err != nil {
		return nil, err
	}
	build.Index, err = wire.IndexOf(q.Index, record.Slicing.Width())
	return build, err
}
