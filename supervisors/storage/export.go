package storage

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/troupe-storage/troupe/mountpath/offline"
	"github.com/troupe-storage/troupe/objects/errs"
)

// ExportOptions say what to export, and where to.
type ExportOptions struct {
	Data         []string // directories of mountpaths
	Bucket       string   // only this one; empty: every bucket
	Prefix       string   // of names
	WithoutIndex bool
	// To is a directory that is empty or not there, a file whose name ends in
	// .tar, or "-" for a tar on Out.
	To       string
	Out      io.Writer
	Found    func(line string)                 // nil: nobody is told
	Progress func(objects int, payloads int64) // nil: nobody is told
}

// Exported is what an export did.
type Exported struct {
	offline.Exported
	To string `json:"to"`
	// Missing are mountpaths of the node that were not given: their objects are not
	// in the export.
	Missing []Missing `json:"missing_mountpaths"`
}

// Whole reports whether everything wanted was exported.
func (e *Exported) Whole() bool { return len(e.Findings) == 0 && len(e.Missing) == 0 }

// Export exports objects of mountpaths that no node has open. It changes nothing
// on them. What could not be exported is in the result.
func Export(o ExportOptions) (result *Exported, err error) {
	const op errs.Op = "storage.Export"
	s, err := openSet(o.Data, func(string) bool { return false })
	if err != nil {
		return nil, errs.E(op, err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, m := range s.mounts {
		if target, absErr := filepath.Abs(o.To); absErr == nil && o.To != "-" && strings.HasPrefix(target+"/", m.Name+"/") {
			return nil, errs.E(op, o.To, errs.Invalid, errors.New("it lies on the mountpath that is exported"))
		}
	}
	result = &Exported{To: o.To, Missing: s.missed()}
	sink, closeFile, err := openSink(o)
	if err != nil {
		return nil, errs.E(op, err)
	}
	reading := offline.Reading{
		Buckets: s.buckets, WithoutIndex: o.WithoutIndex, Bucket: o.Bucket, Prefix: o.Prefix, Log: s.log,
		Found: func(f offline.Finding) {
			if o.Found != nil {
				o.Found(f.String())
			}
		},
	}
	done, err := offline.Export(s.mounts, reading, sink, func(e *offline.Exported) {
		if o.Progress != nil {
			o.Progress(e.Objects, e.Bytes)
		}
	})
	if done != nil {
		result.Exported = *done
	}
	if err = errors.Join(err, closeFile()); err != nil {
		return result, errs.E(op, err)
	}
	if o.Bucket != "" && !hasBucket(s, o.Bucket) {
		return result, errs.E(op, o.Bucket, errs.NotFound, errors.New("no document speaks of a bucket of that name"))
	}
	return result, nil
}

func hasBucket(s *set, name string) bool {
	for _, doc := range s.buckets {
		if doc.Name == name {
			return true
		}
	}
	return false
}

func openSink(o ExportOptions) (sink offline.Sink, closeFile func() error, err error) {
	switch {
	case o.To == "-":
		return offline.NewArchive(o.Out), func() error { return nil }, nil
	case strings.HasSuffix(o.To, ".tar"):
		file, err := os.OpenFile(o.To, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, nil, errs.E("storage.openSink", o.To, errs.IO, err)
		}
		return offline.NewArchive(file), func() error { return errors.Join(file.Sync(), file.Close()) }, nil
	default:
		sink, err := newTree(o.To)
		return sink, func() error { return nil }, err
	}
}
