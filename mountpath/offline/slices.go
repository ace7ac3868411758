package offline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/troupe-storage/troupe/mountpath/disk"
	"github.com/troupe-storage/troupe/mountpath/layout"
	"github.com/troupe-storage/troupe/mountpath/store"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Kinds of what is found of slices.
const (
	sliceMissing       = "slice missing"
	sliceDiffers       = "slice differs"
	sliceSize          = "slice of wrong size"
	sliceChecksum      = "slice checksum differs"
	sliceUnnamed       = "slice without record"
	sliceAttributeLost = "slice attribute lost"
	noSliceName        = "no name of a slice"
)

// sliceFault is what is wrong with one slice.
type sliceFault struct {
	kind string
	err  error
}

// sliced compares a record whose payload is in slices with those that this node is to have.
func (c *checking) sliced(o *Object) {
	c.result.Sliced++
	for _, index := range c.ours(&o.Meta) {
		name := layout.SlicePath(o.Meta.Payload, index)
		if fault := c.slice(o, name, index); fault != nil {
			c.told[name] = true
			c.found(Finding{Level: Fault, Kind: fault.kind, Path: layout.Text(name), Detail: fault.err.Error()}.of(o.Key))
		}
	}
}

// ours returns what this node is to have of the payload of a record with a slicing.
func (c *checking) ours(meta *objects.Meta) []uint8 {
	indices, whole := meta.Slicing.Of(objects.NodeDigest(c.mount.Format.NodeID))
	if whole {
		indices = []uint8{objects.WholeIndex}
	}
	return indices
}

// isElsewhere reports whether a payload that is whole at some nodes is not to be at this one:
// it has the record alone.
func (c *checking) isElsewhere(meta *objects.Meta) bool {
	return meta.Slicing != nil && meta.Slicing.Whole && len(c.ours(meta)) == 0
}

// slice compares a slice with its record, and with Verify every cell with its checksum.
func (c *checking) slice(o *Object, name string, index uint8) *sliceFault {
	info, err := c.mount.FS.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &sliceFault{sliceMissing, errors.New("the record says that it is here")}
	}
	if err != nil {
		return &sliceFault{"unreadable", err}
	}
	attribute, err := c.mount.readAttribute(name)
	if err != nil {
		return &sliceFault{"attribute damaged", err}
	}
	if attribute == nil {
		return &sliceFault{sliceAttributeLost, errors.New("it has none")}
	}
	if err := sliceOf(o, attribute, index); err != nil {
		return &sliceFault{sliceDiffers, err}
	}
	if want := store.SliceBytes(attribute); info.Size != want {
		return &sliceFault{sliceSize, fmt.Errorf("it has %d bytes, want %d", info.Size, want)}
	}
	if !c.Verify {
		return nil
	}
	n, err := c.verifySlice(o, name, attribute)
	c.result.Verified += n
	if err != nil {
		return &sliceFault{sliceChecksum, err}
	}
	return nil
}

// sliceOf says in what an attribute is not of the slice that a record names.
func sliceOf(o *Object, a *layout.Attribute, index uint8) error {
	form := erasure.Form{Data: o.Meta.Slicing.Data, Parity: o.Meta.Slicing.Parity, CellBytes: o.Meta.Slicing.CellBytes}
	switch {
	case a.Key.Bucket.ID != o.Key.Bucket.ID || a.Key.Name != o.Key.Name:
		return fmt.Errorf("its attribute is of %s", a.Key)
	case a.Payload != o.Meta.Payload || a.PartNumber > 0:
		return fmt.Errorf("its attribute is of payload %s, part %d", a.Payload, a.PartNumber)
	case a.Form != form || a.Index != index:
		return fmt.Errorf("its attribute is of slice %s in %s with cells of %d bytes, the record says %s with %d", layout.SliceSuffix(a.Index), a.Form, a.Form.CellBytes, form, form.CellBytes)
	case a.Size != o.Meta.Size || a.XXHash != o.Meta.XXHash || a.ETag != o.Meta.ETag:
		return fmt.Errorf("its attribute is of %d bytes with xxhash %016x, the record says %d with %016x", a.Size, a.XXHash, o.Meta.Size, o.Meta.XXHash)
	case index != objects.WholeIndex && len(a.Sums) != form.Slices():
		return fmt.Errorf("its attribute has sums of %d slices of %d", len(a.Sums), form.Slices())
	}
	return nil
}

// verifySlice reads a slice, and compares what is in it with its checksums.
func (c *checking) verifySlice(o *Object, name string, a *layout.Attribute) (int64, error) {
	if a.Index == objects.WholeIndex {
		return o.copy(io.Discard, name, a.Size, a.XXHash)
	}
	file, err := c.mount.FS.OpenFile(name, disk.ReadOnly, 0)
	if err != nil {
		return 0, errs.E("offline.verifySlice", o.Key, errs.Corrupt, err)
	}
	defer file.Close()               // it was only read
	_ = file.Advise(disk.Sequential) // advice may be refused
	defer file.Advise(disk.DontNeed) //nolint:errcheck // likewise
	checker := erasure.NewChecker(a.Payload, a.Form, int(a.Index))
	n, err := io.CopyBuffer(onlyWriter{checker}, struct{ io.Reader }{io.NewSectionReader(file, 0, store.SliceBytes(a))}, make([]byte, copyBytes))
	if err == nil {
		err = checker.Finish(store.SliceLabel(a))
	}
	return n, err
}

// slices looks for what names every file in slices/.
func (c *checking) slices() error {
	return c.mount.files(layout.SlicesDir, func(name string) error {
		payload, index, err := layout.ParseSliceName(path.Base(name))
		if err == nil && layout.SlicePath(payload, index) != name {
			err = errors.New("it is in another directory than its own")
		}
		attribute, attributeErr := c.mount.readAttribute(name)
		var key objects.Key
		if attribute != nil {
			key = attribute.Key
		}
		if err != nil {
			f := Finding{Level: Orphan, Kind: noSliceName, Path: layout.Text(name), Detail: err.Error()}
			c.found(f)
			c.orphan(name, payload, key, f.Kind)
			return nil
		}
		c.sees(payload)
		if attributeErr != nil || attribute == nil {
			if !c.told[name] { // by the record that names it
				c.found(Finding{Level: Fault, Kind: sliceAttributeLost, Path: layout.Text(name), Detail: fmt.Sprintf("nobody knows whose it is: %v", attributeErr)})
			}
			return nil
		}
		named, err := c.isSliceNamed(attribute, payload, index)
		if err == nil && !named {
			c.found(Finding{Level: Orphan, Kind: sliceUnnamed, Path: layout.Text(name), Detail: fmt.Sprintf("payload %s", payload)}.of(key))
			c.orphan(name, payload, key, sliceUnnamed)
		}
		return err
	}, c.unreadable)
}

// isSliceNamed reports whether the record of a key, a reclaim entry or an intent names a slice.
func (c *checking) isSliceNamed(a *layout.Attribute, payload objects.Generation, index uint8) (bool, error) {
	key := a.Key
	meta, err := c.catalog.record(key)
	if err != nil {
		return true, nil // told as a damaged entry
	}
	if meta != nil && !meta.Deleted && meta.Payload == payload && meta.Slicing != nil && (index == objects.WholeIndex || slices.Contains(c.ours(meta), index)) {
		return true, nil // who wrote may keep all of it beside
	}
	value, err := c.catalog.get(layout.ReclaimKey(nil, key.Bucket.ID, key.Name, payload))
	if err != nil {
		return false, err
	}
	if value != nil {
		reclaim, err := layout.DecodeReclaim(value)
		if err != nil || slices.Contains(reclaim.Indices, index) {
			return true, nil // a damaged one was told
		}
	}
	if value, err = c.catalog.get(layout.IntentKey(nil, key.Bucket.ID, key.Name, payload)); err != nil || value == nil {
		return false, err
	}
	intent, err := layout.DecodeIntent(value)
	return err != nil || slices.Contains(intent.Indices, index), nil // likewise
}
