package httpedge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/sirupsen/logrus"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Certificate is the certificate and key that listeners show, kept current with
// two files. Handshakes take what is current; connections that are open keep
// what they began with. Safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

// LoadCertificate reads a PEM certificate (its chain behind it) and its key;
// errs.Invalid, naming the file, if they are not a pair.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	if err := c.Load(); err != nil {
		return nil, err
	}
	return c, nil
}

// Load reads the files again. On failure what was current stays.
func (c *Certificate) Load() error {
	pair, err := readPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current.Store(pair)
	return nil
}

// readPair reads a certificate and its key.
func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	const op errs.Op = "httpedge.readPair"
	certificate, err := os.ReadFile(certFile)
	if err != nil {
		return nil, errs.E(op, certFile, errs.Invalid, fmt.Errorf("tls-cert: %w", err))
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, errs.E(op, keyFile, errs.Invalid, fmt.Errorf("tls-key: %w", err))
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, errs.E(op, certFile, errs.Invalid, fmt.Errorf("tls-cert and tls-key %s are not a certificate and its key: %w", keyFile, err))
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, errs.E(op, certFile, errs.Invalid, err)
		}
	}
	return &pair, nil
}

// Expires returns when the current certificate ends.
func (c *Certificate) Expires() time.Time { return c.current.Load().Leaf.NotAfter }

// Fields describes the current certificate for a log.
func (c *Certificate) Fields() logrus.Fields {
	leaf := c.current.Load().Leaf
	return logrus.Fields{
		"file": c.certFile, "subject": leaf.Subject.String(), "names": leaf.DNSNames, "addresses": leaf.IPAddresses,
		"serial": leaf.SerialNumber.Text(16), "expires": leaf.NotAfter.UTC().Format(time.RFC3339),
	}
}

// config is what a listener's handshakes go by: TLS 1.2 or newer with Go's
// choice of ciphers, and HTTP/1.1, which is all that is spoken here.
func (c *Certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// The watch over certificate files. They are looked at rather than waited for:
// what inotify says of renamed directories, of symbolic links that are switched
// (as Kubernetes does) and of network filesystems is not worth relying on, and
// two calls of stat cost nothing.
const (
	watchTime  = 2 * time.Second
	warnBefore = 14 * 24 * time.Hour // how long before its end a certificate is warned of
	warnEvery  = 12 * time.Hour
)

// WatchSpec describes the actor that keeps a certificate current. Its name is
// "certificate". It takes LookAgain.
func WatchSpec(system *actors.System, c *Certificate) actors.Spec {
	return actors.Spec{Name: "certificate", Kind: "certificate", New: func() actor.Actor { return &watcher{system: system, certificate: c} }}
}

// LookAgain asks the certificate's actor to read its files now, changed or not.
// Sent by the node when its settings are read again. No answer.
type LookAgain struct{}

// watcher looks at the files of a certificate and reads them when they changed
// and then stayed as they are from one look to the next: a pair is two files,
// and who replaces them does it one after the other.
type watcher struct {
	system      *actors.System
	certificate *Certificate

	ticker clock.Timer
	loaded mark // of the files when they were read, with success or without
	seen   mark // at the last look
	warned time.Time
}

// mark is what a file's change changes.
type mark [2]struct {
	size     int64
	modified time.Time
	inode    uint64
	absent   bool
}

// look says that it is time to look.
type look struct{}

// Receive implements actor.Actor.
func (w *watcher) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		w.loaded = w.mark()
		w.seen = w.loaded
		w.warn()
		w.schedule(ctx.Self())
	case *actor.Restarting, *actor.Stopping:
		if w.ticker != nil {
			w.ticker.Stop()
		}
	case *look:
		w.onLook()
		w.schedule(ctx.Self())
	case *LookAgain:
		w.load(w.mark())
	default:
		actors.Unexpected(ctx, w.system.Log())
	}
}

func (w *watcher) schedule(self *actor.PID) {
	w.ticker = w.system.Clock().AfterFunc(watchTime, func() { w.system.Root().Send(self, &look{}) })
}

func (w *watcher) onLook() {
	now := w.mark()
	settled := now == w.seen
	w.seen = now
	if now != w.loaded && settled {
		w.load(now)
	}
	w.warn()
}

// load reads the files and says how that went; once for every state of them.
func (w *watcher) load(at mark) {
	w.loaded, w.seen = at, at
	if err := w.certificate.Load(); err != nil {
		w.system.Log().WithError(err).WithFields(w.certificate.Fields()).
			Error("the new certificate is refused; the one that was there stays in use")
		return
	}
	w.system.Log().WithFields(w.certificate.Fields()).Info("certificate loaded")
	w.warned = time.Time{}
	w.warn()
}

// warn says that the certificate ends soon, or has.
func (w *watcher) warn() {
	now := w.system.Clock().Now()
	left := w.certificate.Expires().Sub(now)
	if left > warnBefore || !w.warned.IsZero() && now.Sub(w.warned) < warnEvery {
		return
	}
	w.warned = now
	log := w.system.Log().WithFields(w.certificate.Fields())
	if left <= 0 {
		log.Error("the certificate has expired: clients refuse it")
		return
	}
	log.WithField("left", left.Round(time.Minute).String()).Warn("the certificate expires soon")
}

func (w *watcher) mark() mark {
	var m mark
	for i, name := range []string{w.certificate.certFile, w.certificate.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			m[i].absent = true
			continue
		}
		m[i].size, m[i].modified, m[i].inode = info.Size(), info.ModTime(), inodeOf(info)
	}
	return m
}

// plainOnTLS reports whether a handshake failed because the client spoke plain
// HTTP, and answers it in plain HTTP if so.
func plainOnTLS(err error, answer string) bool {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) || header.Conn == nil || !looksLikeHTTP(header.RecordHeader) {
		return false
	}
	_, _ = io.WriteString(header.Conn, answer) // a courtesy
	_ = header.Conn.Close()
	return true
}

// looksLikeHTTP reports whether the first bytes of a connection are a request's
// method rather than a TLS record.
func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "DELET", "OPTIO", "PATCH", "TRACE", "CONNE":
		return true
	}
	return false
}
