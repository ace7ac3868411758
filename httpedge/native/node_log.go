package native

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"
)

// KeptLog is what a node keeps of its log. Tail returns what was logged at a severity and
// at worse ones, from so many bytes on of the text of that severity; what is gone is skipped.
// Safe for concurrent use.
type KeptLog interface {
	Tail(severity logrus.Level, offset uint64) []byte
}

// tellLog answers what=log: text, or with all=true a tar.gz of it.
func (r *Request) tellLog() error {
	severity := logrus.InfoLevel
	switch name := r.Query("severity"); name {
	case "", "info":
	case "warning":
		severity = logrus.WarnLevel
	case "error":
		severity = logrus.ErrorLevel
	default:
		return Refuse(fasthttp.StatusBadRequest, "", "severity %q is none of info, warning, error", name)
	}
	offset := uint64(0)
	if text := r.Query("offset"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return Refuse(fasthttp.StatusBadRequest, "", "offset %q is no number of bytes", text)
		}
		offset = n
	}
	all, err := r.Flag("all")
	if err != nil {
		return err
	}
	if severity == logrus.InfoLevel {
		severity = logrus.TraceLevel // what the level of the log lets through
	}
	text := r.h.Log.Tail(severity, offset)
	if !all {
		return r.Text(string(text))
	}
	packed, err := packLog(r.h.NodeID+".log", text, r.h.Now())
	if err != nil {
		return err
	}
	r.ctx.SetContentType("application/gzip")
	r.ctx.SetBody(packed)
	return nil
}

// packLog makes a tar.gz of one file.
func packLog(name string, text []byte, now time.Time) ([]byte, error) {
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: now}); err != nil {
		return nil, err
	}
	if _, err := archive.Write(text); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := zipped.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}
