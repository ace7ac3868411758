package slices

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
)

// keeper keeps slices in a store, as the actors of a mountpath will.
type keeper struct {
	store  *store.Store
	chunk  int           // bytes that it takes at a time
	came   func(n int64) // told how many bytes of cells have come in all; may be nil
	builds func(*gateway.SliceBuild) (gateway.Built, error)

	cells  atomic.Int64
	stages atomic.Int64 // that began to take cells
	under  atomic.Int64 // that take cells now
	most   atomic.Int64 // of them at a time
}

func keyOf(bucket *objects.BucketDoc, name string) objects.Key {
	return objects.Key{Bucket: bucket.Bucket, Name: name}
}

// StageSlice implements gateway.SliceKeeper.
func (k *keeper) StageSlice(bucket *objects.BucketDoc, name string, s *gateway.SliceStage, cells *gateway.Arrival) (gateway.SliceStaged, error) {
	key := keyOf(bucket, name)
	slice := store.Slice{Payload: s.Payload, Index: s.Index, UploadID: s.UploadID, Part: s.Part}
	if at, sealed := k.store.StagedTo(key, slice); sealed || cells == nil && s.Last == nil {
		return gateway.SliceStaged{Offset: at, Sealed: sealed}, nil
	}
	staged, err := k.store.ContinueStage(key, store.StageOptions{
		Payload: s.Payload, Form: s.Form, Index: s.Index, SizeHint: -1, UploadID: s.UploadID, Part: s.Part,
	}, s.Offset)
	if err != nil {
		return gateway.SliceStaged{}, err
	}
	if cells != nil {
		k.stages.Add(1)
		k.most.Store(max(k.most.Load(), k.under.Add(1)))
		err = k.take(staged, cells.Body)
		k.under.Add(-1)
		if err != nil {
			return gateway.SliceStaged{}, err
		}
	}
	if s.Last == nil {
		return gateway.SliceStaged{Offset: staged.Size()}, nil
	}
	if err := staged.Seal(*s.Last); err != nil {
		return gateway.SliceStaged{}, err
	}
	return gateway.SliceStaged{Offset: staged.Size(), Sealed: true}, nil
}

func (k *keeper) take(staged *store.Staged, cells io.Reader) error {
	for room := make([]byte, k.chunk); ; {
		n, err := cells.Read(room)
		if n > 0 {
			if err := staged.Append(room[:n]); err != nil {
				return err
			}
			if all := k.cells.Add(int64(n)); k.came != nil {
				k.came(all)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errs.E("keeper.take", staged.Key, errs.Canceled, err)
		}
	}
}

// AbandonStage implements gateway.SliceKeeper.
func (k *keeper) AbandonStage(bucket *objects.BucketDoc, name string, payload objects.Generation) error {
	return k.store.AbandonStage(keyOf(bucket, name), payload)
}

// Slice implements gateway.SliceKeeper.
func (k *keeper) Slice(bucket *objects.BucketDoc, name string, w *gateway.SliceWanted) (io.ReadCloser, error) {
	key := keyOf(bucket, name)
	opened, err := k.store.OpenSlice(key, store.Slice{Payload: w.Payload, Index: w.Index, UploadID: w.UploadID, Part: w.Part}, make([]byte, 1<<20))
	if err != nil {
		return nil, err
	}
	if w.Offset+w.Length > opened.Bytes {
		opened.Close()
		return nil, errs.E("keeper.Slice", key, errs.Invalid, fmt.Errorf("%w: %d bytes from %d of %d", objects.ErrInvalidRange, w.Length, w.Offset, opened.Bytes))
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(opened.File, w.Offset, w.Length), opened.File}, nil
}

// HaveSlices implements gateway.SliceKeeper.
func (k *keeper) HaveSlices(bucket *objects.BucketDoc, name string, payloads []objects.Generation) (gateway.HeldSlices, error) {
	held := gateway.HeldSlices{Lost: true}
	for _, p := range payloads {
		indices, err := k.store.HaveSlices(keyOf(bucket, name), p)
		if err != nil {
			return held, err
		}
		held.Indices = append(held.Indices, indices)
	}
	return held, nil
}

// BuildSlice implements gateway.SliceKeeper.
func (k *keeper) BuildSlice(_ *objects.BucketDoc, name string, b *gateway.SliceBuild) (gateway.Built, error) {
	if k.builds == nil {
		return gateway.Built{}, errs.E("keeper.BuildSlice", name, errs.Offline, fmt.Errorf("%w: 2 of 3 were asked", erasure.ErrTooFew))
	}
	return k.builds(b)
}
